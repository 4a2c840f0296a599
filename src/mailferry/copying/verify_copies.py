"""The target's side of a comparison: the mailbox that holds the copies, as it is now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mailferry.copying.digests import body_digests
from mailferry.copying.listed_facts import ListedFacts, listed_facts
from mailferry.copying.sides import at_target
from mailferry.copying.sources import ImapBodies
from mailferry.copying.verify_findings import Fault, Verification
from mailferry.model.causes import Refused
from mailferry.plan.arrival_date import instant
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.store.mailboxes import CopiedMailbox


@dataclass(frozen=True, slots=True)
class Copies:
    """What the target lists; empty where the mailbox is gone."""

    listed: ListedFacts = field(default_factory=ListedFacts)
    permanent_flags: frozenset[bytes] | None = None


async def open_copies(target: ImapClient, row: CopiedMailbox, found: Verification) -> Copies | None:
    """Select and list the mailbox of `row` at the target; None when it was told why that cannot be.

    A mailbox that is gone is noted and has no messages. Raises Unavailable.
    """
    with at_target():
        try:
            status = await target.select(row.target_name)  # EXAMINE tells no PERMANENTFLAGS
        except Refused as refusal:
            if await is_listed(target, row.target_name):
                found.found(row.source_name, None, Fault.MAILBOX_REFUSED, f"target: {refusal.text}")
                return None
            found.found(row.source_name, None, Fault.GONE_AT_TARGET)
            return Copies()
        if row.target_uidvalidity not in {None, status.uidvalidity}:
            found.found(row.source_name, None, Fault.RENUMBERED, "target")
            return None
        listed = await listed_facts(target, status.exists, instant)
    return Copies(listed, status.permanent_flags)


async def is_listed(client: ImapClient, name: bytes) -> bool:
    """Whether the server lists a mailbox of that name that can hold messages."""
    names = {one.name for one in await client.list_mailboxes() if one.selectable}
    return name in names or (name.upper() == INBOX and INBOX in {one.upper() for one in names})


async def copies_digests(target: ImapClient, uids: Collection[int]) -> Mapping[int, bytes]:
    """Return the digests of messages of the selected mailbox by UID."""
    with at_target():
        return (await body_digests(ImapBodies(target), uids)).by_uid
