"""Who else may open a mailbox: GETACL (RFC 4314 3.3). Rights are listed for the administrator, never moved."""

from __future__ import annotations

from collections.abc import Sequence

from mailferry.remote.imap_answers import Listener
from mailferry.remote.imap_link import ImapLink
from mailferry.wire.imap_commands import astring
from mailferry.wire.imap_responses import Untagged
from mailferry.wire.imap_values import BadResponse, as_bytes


class RightsReader(Listener):
    """Gathers the identifiers of ACL answers by the mailbox's raw name."""

    def __init__(self) -> None:
        self.identifiers: dict[bytes, list[bytes]] = {}

    def untagged(self, response: Untagged) -> None:
        """Take one mailbox's list; one that cannot be understood counts as not told."""
        if response.kind != b"ACL" or not response.values:
            return
        try:
            name, *pairs = response.values
            self.identifiers[as_bytes(name)] = [as_bytes(one) for one in pairs[::2]]
        except BadResponse:
            return


async def shared_with(link: ImapLink, names: Sequence[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """Return the mailboxes that others may open, each with all its identifiers, the owner's among them.

    The owner stands in the list under a name that only the server knows, so a mailbox is shared when
    the list has two. What takes rights away (`-name`, RFC 4314 2) shares nothing. A mailbox whose list the
    server does not tell is left out, and so are all where it does not offer ACL.
    """
    if b"ACL" not in link.capabilities:
        return {}
    reader = RightsReader()
    for asked in [link.send("getacl", b"GETACL", astring(name), listener=reader) for name in names]:
        await link.answer(asked)
    granted = {
        name: tuple(one for one in listed if not one.startswith(b"-"))
        for name, listed in reader.identifiers.items()
    }
    return {name: listed for name, listed in granted.items() if len(listed) > 1}
