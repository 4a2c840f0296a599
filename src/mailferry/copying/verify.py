"""`account verify`: source and target compared message by message, as both are now.

Nothing is changed on either side. Bodies are compared by digests computed now, of all messages or of a
sample. One mailbox is held at a time, in some 150 octets a message; bodies are streamed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from mailferry.copying.desk import CopyDesk
from mailferry.copying.digests import body_digests
from mailferry.copying.learning import UNKNOWN_UID
from mailferry.copying.listed_facts import UNDATED, ListedFacts, listed_facts
from mailferry.copying.preparing import plan_for
from mailferry.copying.sides import Pair, open_pair
from mailferry.copying.sources import ImapBodies
from mailferry.copying.verify_copies import Copies, copies_digests, open_copies
from mailferry.copying.verify_findings import Fault, Sample, Tell, Verification
from mailferry.copying.verify_maildrop import verify_maildrop
from mailferry.model.causes import Refused
from mailferry.plan.arrival_date import instant, utc_date
from mailferry.plan.differences import flags_key
from mailferry.remote.sendable import sendable_date, sendable_flags
from mailferry.store import ledger, mailboxes, skipped
from mailferry.store.ledger_blocks import Ledger
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.uidls import FactsOf

AT_ONCE = 200


async def verify_account(
    desk: CopyDesk, account_id: int, tell: Tell, *, sample: float = 1.0, into: Verification | None = None
) -> Verification:
    """Compare all mailboxes; bodies of a `sample` share (0 to 1) of the messages, of one at least.

    `tell` hears of each difference; the sums grow in `into`, so that somebody can look on.
    Raises Refused or Unavailable when a server ends it.
    """

    def read(
        conn: Connection,
    ) -> tuple[Sequence[CopiedMailbox], CopiedMailbox | None, Sequence[CopiedMailbox]]:
        return (
            mailboxes.of_account(conn, account_id),
            mailboxes.over_pop3(conn, account_id),
            list(mailboxes.incomplete(conn, account_id).values()),
        )

    rows, hidden, incomplete = await desk.database.read("mailboxes", read)
    found, chosen = into or Verification(tell), Sample(account_id, sample)
    ends = desk.endpoints
    if ends.source_imap is None:
        inbox = next(iter(rows), None)
        await verify_maildrop(desk, account_id, inbox, FactsOf.SOURCE, found, chosen)
        return found
    everything = [*rows, *([hidden] if hidden is not None else []), *incomplete]
    await _over_imap(desk, rows, everything, found, chosen)
    if hidden is not None and ends.source_pop3 is not None:
        await verify_maildrop(desk, account_id, hidden, FactsOf.HIDDEN, found, chosen)
    return found


async def _over_imap(
    desk: CopyDesk,
    rows: Sequence[CopiedMailbox],
    everything: Sequence[CopiedMailbox],
    found: Verification,
    chosen: Sample,
) -> None:
    pair = await open_pair(desk.endpoints)
    try:
        plan = await plan_for(desk.profile, pair, rows)
        listed = {mapped.source.name for mapped in plan.pairs}
        known = {row.source_name for row in rows if not row.gone}
        for name in (mapped.source.name for mapped in plan.pairs):
            if name not in known:
                await _never_copied(pair, name, found)
        for row in rows:
            if row.source_name in known & listed:
                kin = [one.id for one in everything if one.target_name == row.target_name]
                await _Mailbox(desk, pair, row, kin, found, chosen).verify()
            elif row.source_name in known:
                size = await desk.database.read("ledger", partial(ledger.size, mailbox_id=row.id))
                found.gone += size
                found.found(row.source_name, None, Fault.GONE_AT_SOURCE, f"{size} copies at the target")
        await pair.leave()
    finally:
        pair.close()


async def _never_copied(pair: Pair, name: bytes, found: Verification) -> None:
    """A mailbox that no pass has met yet: each of its messages waits for its copy."""
    try:
        status = await pair.source.select(name, read_only=True)
    except Refused as refusal:
        found.found(name, None, Fault.MAILBOX_REFUSED, f"source: {refusal.text}")
        return
    here = await listed_facts(pair.source, status.exists, _sent_as)
    found.messages += len(here)
    for uid in here.uids:
        found.found(name, uid, Fault.NOT_COPIED)


def _sent_as(internal_date: bytes) -> int | None:
    """Return the second of arrival that a copy must have; None where the source's date can go nowhere."""
    date = sendable_date(internal_date)
    return None if date is None else instant(date)


class _Mailbox:
    """One mailbox of the source and its place at the target; `kin` are all ledgers with copies there."""

    def __init__(
        self,
        desk: CopyDesk,
        pair: Pair,
        row: CopiedMailbox,
        kin: Sequence[int],
        found: Verification,
        chosen: Sample,
    ) -> None:
        self._desk = desk
        self._pair = pair
        self._row = row
        self._kin = kin
        self._found = found
        self._chosen = chosen
        self._sent: dict[frozenset[bytes], tuple[frozenset[bytes], bytes]] = {}
        self._keys: dict[frozenset[bytes], bytes] = {}

    async def verify(self) -> None:
        """Compare its messages."""
        row, found = self._row, self._found
        try:
            status = await self._pair.source.select(row.source_name, read_only=True)
        except Refused as refusal:
            found.found(row.source_name, None, Fault.MAILBOX_REFUSED, f"source: {refusal.text}")
            return
        if row.source_uidvalidity not in {None, status.uidvalidity}:
            found.messages += status.exists
            found.found(row.source_name, None, Fault.RENUMBERED, "source")
            return
        here = await listed_facts(self._pair.source, status.exists, _sent_as)
        found.messages += len(here)
        copies = await open_copies(self._pair.target, row, found)
        if copies is None:
            return
        kept, skips, taken = await self._desk.database.read("ledger", self._books)
        found.gone += sum(here.place(uid) is None for uid in kept.source_uids)
        found.target_only += sum(uid not in taken for uid in copies.listed.uids)
        bodies: list[tuple[int, int]] = []
        for place, uid in enumerate(here.uids):
            target_uid = self._compare(here, place, copies, kept, skips)
            if target_uid is not None and self._chosen.has(row.source_name, uid):
                bodies.append((uid, target_uid))
            if len(bodies) >= AT_ONCE:
                await self._compare_bodies(bodies)
                bodies = []
        await self._compare_bodies(bodies)

    def _books(self, conn: Connection) -> tuple[Ledger, frozenset[int], frozenset[int]]:
        kept = ledger.load(conn, self._row.id)
        others = (ledger.load(conn, one).target_uids for one in self._kin if one != self._row.id)
        taken = frozenset(kept.target_uids).union(*others)
        return kept, skipped.of_mailbox(conn, self._row.id), taken

    def _compare(
        self, here: ListedFacts, place: int, copies: Copies, kept: Ledger, skips: frozenset[int]
    ) -> int | None:
        """Compare what the listings tell of a message; return its copy's UID where its body can be compared."""
        name, uid, found = self._row.source_name, here.uids[place], self._found
        at = kept.position(uid)
        if at is None:
            if uid in skips:
                found.skipped += 1
            else:
                found.found(name, uid, Fault.NOT_COPIED)
            return None
        target_uid = kept.target_uids[at]
        there = copies.listed.place(target_uid)
        if target_uid == UNKNOWN_UID:
            found.unlocated += 1
            return None
        if there is None:
            found.found(name, uid, Fault.COPY_MISSING)
            return None
        wanted, key = self._wanted(here.flags(place), copies.permanent_flags)
        flags = copies.listed.flags(there)
        if key != self._key(flags):
            found.found(name, uid, Fault.FLAGS_DIFFER, f"{_words(wanted)} against {_words(flags)}")
        mine, theirs = here.arrived[place], copies.listed.arrived[there]
        if mine not in {UNDATED, theirs}:
            found.found(name, uid, Fault.DATE_DIFFERS, f"{_date(mine)} against {_date(theirs)}")
        return target_uid

    def _wanted(
        self, flags: frozenset[bytes], permanent: frozenset[bytes] | None
    ) -> tuple[frozenset[bytes], bytes]:
        """Return what a copy of a message with these flags bears, and its key."""
        if flags not in self._sent:
            wanted, _ = sendable_flags(flags, permanent)
            self._sent[flags] = wanted, flags_key(wanted)
        return self._sent[flags]

    def _key(self, flags: frozenset[bytes]) -> bytes:
        if flags not in self._keys:
            self._keys[flags] = flags_key(flags)
        return self._keys[flags]

    async def _compare_bodies(self, pairs: Sequence[tuple[int, int]]) -> None:
        if not pairs:
            return
        found, name = self._found, self._row.source_name
        source = ImapBodies(self._pair.source)
        mine: Mapping[int, bytes] = (await body_digests(source, [uid for uid, _ in pairs])).by_uid
        theirs = await copies_digests(self._pair.target, [copy for _, copy in pairs])
        for uid, copy in pairs:
            if uid not in mine or copy not in theirs:
                found.found(name, uid, Fault.UNREADABLE, "target" if uid in mine else "source")
                continue
            found.bodies_compared += 1
            if mine[uid] != theirs[copy]:
                found.found(name, uid, Fault.BODY_DIFFERS)


def _words(flags: frozenset[bytes]) -> str:
    return b" ".join(sorted(flags)).decode("latin-1") or "none"


def _date(moment: int) -> str:
    return "no date" if moment == UNDATED else utc_date(moment).decode().strip()
