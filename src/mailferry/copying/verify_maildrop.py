"""The comparison of what a source shows over POP3: messages by their UIDLs, or what stands for one.

POP3 tells no flags and no dates, so that bodies are what is compared; they are read as the copier reads
them. A message under a new name is looked for among the lost ones by its octets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mailferry.copying.desk import CopyDesk
from mailferry.copying.digests import body_digests
from mailferry.copying.learning import UNKNOWN_UID, match_digests
from mailferry.copying.listed_facts import ListedFacts
from mailferry.copying.maildrop import Maildrop
from mailferry.copying.maildrop_names import Listed, list_maildrop
from mailferry.copying.maildrop_numbers import STRIKES
from mailferry.copying.maildrop_visit import visit_maildrop
from mailferry.copying.sides import at_target
from mailferry.copying.verify_copies import copies_digests, open_copies
from mailferry.copying.verify_findings import Fault, Sample, Verification
from mailferry.model.causes import Cause, Refused
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import ledger, maildrops, skipped, uidls
from mailferry.store.ledger_blocks import Ledger, LedgerEntry
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.uidls import FactsOf, UidlFact

AT_ONCE = 100
"""Messages that are read between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class _Books:
    """What the store knows of one maildrop."""

    facts: Sequence[UidlFact]
    use_uidls: bool
    kept: Ledger
    skips: frozenset[int]

    def numbers(self) -> dict[bytes, int]:
        """Return name to the number of ours."""
        return {fact.uidl: fact.uid for fact in self.facts if fact.uid is not None}


@dataclass(slots=True)
class _Work:
    """What is left to be read: kept over the sessions that it takes."""

    bodies: list[bytes] = field(default_factory=list)
    """Names of messages with a copy, still to be compared."""
    strangers: list[bytes] = field(default_factory=list)
    """Names that the ledger does not know, to be read because a lost message may bear them now."""
    lost: dict[int, bytes] = field(default_factory=dict)
    """Number of ours to digest of ledgered messages that are not shown under their names."""


async def verify_maildrop(
    desk: CopyDesk,
    account_id: int,
    row: CopiedMailbox | None,
    of: FactsOf,
    found: Verification,
    chosen: Sample,
) -> None:
    """Compare a maildrop with its copies; `row` is None where no pass has met it yet.

    Of what POP3 shows beside IMAP (`FactsOf.HIDDEN`) only what was copied over POP3 is looked at. Raises
    Refused or Unavailable.
    """
    if desk.endpoints.source_pop3 is None:
        raise Refused(Cause.PROTOCOL_DISABLED, "the source has no POP3")

    def read(conn: Connection) -> _Books:
        facts = uidls.facts(conn, account_id, of)
        use_uidls = maildrops.get(conn, account_id).renumbered < STRIKES
        if row is None:
            return _Books(facts, use_uidls, Ledger(), frozenset())
        return _Books(facts, use_uidls, ledger.load(conn, row.id), skipped.of_mailbox(conn, row.id))

    books = await desk.database.read("maildrop", read)
    check = _Check(desk, row, of, books, found, chosen)
    await visit_maildrop(desk, account_id, check.visit)


class _Check:
    """The comparison, over as many sessions as it takes."""

    def __init__(
        self,
        desk: CopyDesk,
        row: CopiedMailbox | None,
        of: FactsOf,
        books: _Books,
        found: Verification,
        chosen: Sample,
    ) -> None:
        self._desk = desk
        self._row = row
        self._name = INBOX if row is None else row.source_name
        self._of = of
        self._books = books
        self._numbers = books.numbers()
        self._found = found
        self._chosen = chosen
        self._copies = ListedFacts()
        self._work: _Work | None = None

    async def visit(self, pop: Pop3Client, in_time: Callable[[], bool]) -> bool:
        """Go on in a new session; return whether all is compared."""
        books = self._books
        listed = await list_maildrop(pop, books.facts, use_uidls=books.use_uidls, in_time=lambda: True)
        if self._row is None:
            for name in listed.names.values():
                self._found.messages += 1
                self._differs(name, Fault.NOT_COPIED)
            return True
        with at_target():
            target = await self._desk.endpoints.target_imap()
        try:
            if self._work is None:
                copies = await open_copies(target, self._row, self._found)
                if copies is None:
                    self._found.messages += len(listed.names)
                    return True
                self._copies = copies.listed
                self._work = self._sorted(listed)
            else:
                with at_target():
                    await target.select(self._row.target_name)
            done = await self._go_on(_Session(pop, target, listed), self._work, in_time)
            await target.logout()
        finally:
            target.close()
        return done

    def _sorted(self, listed: Listed) -> _Work:
        """Tell what the lists tell, and return what is to be read."""
        found, kept, work = self._found, self._books.kept, _Work()
        shown: set[int] = set()
        for _, name in sorted(listed.names.items()):
            uid = self._numbers.get(name)
            known = uid is not None and (uid in kept or uid in self._books.skips)
            if not known and self._of is FactsOf.HIDDEN:
                continue  # a message that IMAP shows as well
            found.messages += 1
            if uid is None or not known:
                work.strangers.append(name)
                continue
            shown.add(uid)
            if uid not in kept:
                found.skipped += 1
            elif self._has_copy(uid, name) and self._chosen.has(self._name, uid):
                work.bodies.append(name)
        work.lost = {entry.source_uid: entry.digest for entry in kept if entry.source_uid not in shown}
        if self._of is FactsOf.SOURCE:
            taken = frozenset(kept.target_uids)
            found.target_only += sum(uid not in taken for uid in self._copies.uids)
        if not work.lost:
            self._not_copied(work)
        return work

    def _has_copy(self, uid: int, name: bytes) -> bool:
        entry = self._books.kept.find(uid)
        assert entry is not None
        if entry.target_uid == UNKNOWN_UID:
            self._found.unlocated += 1
            return False
        if self._copies.place(entry.target_uid) is None:
            self._differs(name, Fault.COPY_MISSING)
            return False
        return True

    def _not_copied(self, work: _Work) -> None:
        for name in work.strangers:
            self._differs(name, Fault.NOT_COPIED)
        work.strangers = []

    async def _go_on(self, session: _Session, work: _Work, in_time: Callable[[], bool]) -> bool:
        """Read as much as there is time for; return whether that was all."""
        while work.strangers:
            if not in_time():
                return False
            part = work.strangers[:AT_ONCE]
            await self._recognise(session, work, part)
            del work.strangers[: len(part)]
            if not work.lost:
                self._not_copied(work)
        while work.bodies:
            if not in_time():
                return False
            part = work.bodies[:AT_ONCE]
            await self._compare(session, part)
            del work.bodies[: len(part)]
        self._found.gone += len(work.lost)
        return True

    async def _recognise(self, session: _Session, work: _Work, names: Sequence[bytes]) -> None:
        """Find lost messages among names that are new, by the octets that were copied."""
        mine = await session.digests(names)
        places = {place: mine[name] for place, name in enumerate(names) if name in mine}
        pairs = match_digests(places, work.lost)
        found: list[bytes] = []
        for place, name in enumerate(names):
            if place not in pairs:
                self._differs(name, Fault.NOT_COPIED if name in mine else Fault.UNREADABLE)
                continue
            uid = self._numbers[name] = pairs[place]
            del work.lost[uid]
            if self._has_copy(uid, name):
                found.append(name)
        await self._judge(session, found, mine)

    async def _compare(self, session: _Session, names: Sequence[bytes]) -> None:
        await self._judge(session, names, await session.digests(names))

    async def _judge(self, session: _Session, names: Sequence[bytes], mine: Mapping[bytes, bytes]) -> None:
        """Read the copies of messages and compare them."""
        copies = {name: self._entry(name).target_uid for name in names}
        theirs = await copies_digests(session.target, sorted(copies.values()))
        for name in names:
            if name not in mine or copies[name] not in theirs:
                self._differs(name, Fault.UNREADABLE, "target" if name in mine else "source")
                continue
            self._found.bodies_compared += 1
            if mine[name] == theirs[copies[name]]:
                continue
            if self._of is FactsOf.HIDDEN and theirs[copies[name]] == self._entry(name).digest:
                # IMAP gave it, and POP3 may give its header alone: the copy is as it was sent
                self._differs(name, Fault.UNREADABLE, "source")
            else:
                self._differs(name, Fault.BODY_DIFFERS)

    def _entry(self, name: bytes) -> LedgerEntry:
        entry = self._books.kept.find(self._numbers[name])
        assert entry is not None
        return entry

    def _differs(self, name: bytes, fault: Fault, side: str = "") -> None:
        detail = f"{side} UIDL {name.decode('latin-1')}".strip()
        self._found.found(self._name, self._numbers.get(name), fault, detail)


class _Session:
    """One session at the source, with the target's mailbox open beside it."""

    def __init__(self, pop: Pop3Client, target: ImapClient, listed: Listed) -> None:
        self._pop = pop
        self.target = target
        self._sizes = listed.sizes
        self._numbers = {name: number for number, name in listed.names.items()}

    async def digests(self, names: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the digests of messages by name."""
        numbers = {self._numbers[name]: name for name in names if name in self._numbers}
        maildrop = Maildrop(self._pop, {number: number for number in numbers}, self._sizes)
        read = (await body_digests(maildrop, numbers)).by_uid
        return {numbers[number]: digest for number, digest in read.items()}
