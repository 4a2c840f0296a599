"""Keywords that a target refused together: each is tried alone, so that one of them costs no other.

Cyrus has room for a hundred of them in a mailbox, Dovecot takes none over 50 octets; both say so of the
whole command, whatever else it was to do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mailferry.copying.sides import at_target
from mailferry.model.causes import Cause, Refused
from mailferry.remote.imap_client import FlagChange, ImapClient


def keywords_of(flags: Collection[bytes]) -> frozenset[bytes]:
    """Return what of these flags is no system flag (RFC 3501 2.3.2)."""
    return frozenset(flag for flag in flags if not flag.startswith(b"\\"))


async def add_keywords(
    target: ImapClient, uids: Sequence[int], keywords: Collection[bytes]
) -> frozenset[bytes]:
    """Give these messages of the selected mailbox each keyword that the target takes; return the others.

    A single one is not tried again: it was refused by itself.
    """
    refused = frozenset(keywords)
    for keyword in sorted(refused) if len(refused) > 1 else ():
        try:
            with at_target():
                await target.store_flags(uids, (keyword,), FlagChange.ADD)
        except Refused as refusal:
            if refusal.cause is Cause.TARGET_OVER_QUOTA:
                raise
            continue
        refused -= {keyword}
    return refused
