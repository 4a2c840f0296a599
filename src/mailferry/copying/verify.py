"""`account verify` and `account receipt`: source and target compared message by message.

Nothing is changed on either side. Bodies are compared by digests computed now, of all messages or of a sample
that is the same for the same account whenever it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection

from mailferry.copying.book import Register, open_book
from mailferry.copying.desk import CopyDesk
from mailferry.copying.digests import body_digests
from mailferry.copying.learning import UNKNOWN_UID
from mailferry.copying.preparing import plan_for
from mailferry.copying.sides import Pair, at_target, open_pair
from mailferry.copying.sources import ImapBodies
from mailferry.model.mail import MessageFacts
from mailferry.plan.arrival_date import instant
from mailferry.plan.differences import flags_key
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.sendable import sendable_date, sendable_flags
from mailferry.store import ledger, mailboxes, skipped
from mailferry.store.mailboxes import CopiedMailbox

AT_ONCE = 200


class Fault(StrEnum):
    """What is wrong with one message."""

    NOT_COPIED = "not_copied"
    COPY_MISSING = "copy_missing"
    BODY_DIFFERS = "body_differs"
    FLAGS_DIFFER = "flags_differ"
    DATE_DIFFERS = "date_differs"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Difference:
    """One message that is not alike on both sides."""

    mailbox: bytes
    source_uid: int
    fault: Fault
    detail: str = ""


@dataclass(slots=True)
class Verification:
    """What a comparison found."""

    messages: int = 0
    bodies_compared: int = 0
    skipped: int = 0
    target_only: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def alike(self) -> bool:
        """Whether every source message has its equal copy or a named skip."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """What became of one message: `copied`, or `skipped` with its reason."""

    mailbox: bytes
    target_mailbox: bytes
    source_uid: int
    target_uid: int | None
    digest: str
    result: str
    reason: str = ""


async def verify_account(desk: CopyDesk, account_id: int, *, sample: float = 1.0) -> Verification:
    """Compare all mailboxes; bodies of a `sample` share (0 to 1) of the messages.

    Raises Refused or Unavailable when a server ends it.
    """
    register = Register(desk.database, account_id, None)
    rows = await register.read("mailboxes", lambda conn: mailboxes.of_account(conn, account_id))
    found = Verification()
    pair = await open_pair(desk.endpoints)
    try:
        known = {row.source_name for row in rows if not row.gone}
        plan = await plan_for(desk.profile, pair, rows)
        for mapped in plan.pairs:
            if mapped.source.name not in known:
                await _never_copied(pair, mapped.source.name, found)
        for row in rows:
            if not row.gone:
                await _verify_mailbox(register, pair, row, found, sample)
        await pair.leave()
    finally:
        pair.close()
    return found


async def _never_copied(pair: Pair, name: bytes, found: Verification) -> None:
    """A mailbox that no pass has met yet: each of its messages waits for its copy."""
    status = await pair.source.select(name, read_only=True)
    here = await _listing(pair.source, status.exists)
    found.messages += len(here)
    found.differences.extend(Difference(name, uid, Fault.NOT_COPIED) for uid in here)


async def _verify_mailbox(
    register: Register, pair: Pair, row: CopiedMailbox, found: Verification, sample: float
) -> None:
    book = await open_book(register, row)
    status = await pair.source.select(row.source_name, read_only=True)
    here = await _listing(pair.source, status.exists)
    with at_target():
        target_status = await pair.target.select(row.target_name)  # EXAMINE tells no PERMANENTFLAGS
        there = await _listing(pair.target, target_status.exists)
    skips = await register.read("skipped", lambda conn: skipped.of_mailbox(conn, row.id))
    found.messages += len(here)
    pairs: list[tuple[int, int]] = []
    for uid, facts in here.items():
        if not book.has(uid):
            if uid in skips:
                found.skipped += 1
            else:
                found.differences.append(Difference(row.source_name, uid, Fault.NOT_COPIED))
            continue
        copy = there.get(book.entry(uid).target_uid)
        if copy is None:
            if book.entry(uid).target_uid != UNKNOWN_UID:
                found.differences.append(Difference(row.source_name, uid, Fault.COPY_MISSING))
            continue
        found.differences.extend(_facts_differ(row, facts, copy, target_status.permanent_flags))
        if _in_sample(account=row.account_id, mailbox=row.source_name, uid=uid, share=sample):
            pairs.append((uid, copy.uid))
    found.target_only += len(set(there) - book.target_uids())
    await _compare_bodies(pair, row, pairs, found)


async def _listing(client: ImapClient, exists: int) -> dict[int, MessageFacts]:
    facts: dict[int, MessageFacts] = {}
    if exists:
        await client.fetch_facts(b"1:*", lambda one: facts.update({one.uid: one}))
    return facts


def _facts_differ(
    row: CopiedMailbox, here: MessageFacts, there: MessageFacts, permanent: frozenset[bytes] | None
) -> Iterator[Difference]:
    wanted, _ = sendable_flags(here.flags, permanent)
    if flags_key(wanted) != flags_key(there.flags):
        detail = f"{_words(wanted)} against {_words(there.flags)}"
        yield Difference(row.source_name, here.uid, Fault.FLAGS_DIFFER, detail)
    date = sendable_date(here.internal_date)
    if date is not None and instant(date) != instant(there.internal_date):
        detail = f"{date.decode()} against {there.internal_date.decode('latin-1')}"
        yield Difference(row.source_name, here.uid, Fault.DATE_DIFFERS, detail)


def _words(flags: frozenset[bytes]) -> str:
    return b" ".join(sorted(flags)).decode("latin-1") or "none"


async def _compare_bodies(
    pair: Pair, row: CopiedMailbox, pairs: list[tuple[int, int]], found: Verification
) -> None:
    for at in range(0, len(pairs), AT_ONCE):
        part = pairs[at : at + AT_ONCE]
        mine = (await body_digests(ImapBodies(pair.source), [uid for uid, _ in part])).by_uid
        with at_target():
            theirs = (await body_digests(ImapBodies(pair.target), [copy for _, copy in part])).by_uid
        for uid, copy in part:
            if uid not in mine or copy not in theirs:
                found.differences.append(Difference(row.source_name, uid, Fault.UNREADABLE))
                continue
            found.bodies_compared += 1
            if mine[uid] != theirs[copy]:
                found.differences.append(Difference(row.source_name, uid, Fault.BODY_DIFFERS))


def _in_sample(*, account: int, mailbox: bytes, uid: int, share: float) -> bool:
    """Choose the same messages each time, without regard to their order."""
    octets = hashlib.sha256(b"%d %s %d" % (account, mailbox, uid)).digest()
    return int.from_bytes(octets[:4], "big") < share * 2**32


def receipt(conn: Connection, account_id: int) -> Iterator[ReceiptLine]:
    """Yield one line for each message that was copied or skipped, by mailbox and source UID."""
    skips = list(skipped.listing(conn, account_id, limit=1_000_000))
    for row in mailboxes.of_account(conn, account_id):
        lines = [
            ReceiptLine(
                row.source_name,
                row.target_name,
                entry.source_uid,
                entry.target_uid or None,
                entry.digest.hex(),
                "copied",
            )
            for entry in ledger.load(conn, row.id)
        ]
        lines += [
            ReceiptLine(row.source_name, row.target_name, one.source_uid, None, "", "skipped", one.reason)
            for one in skips
            if one.mailbox_id == row.id
        ]
        yield from sorted(lines, key=lambda line: line.source_uid)
