"""One mailbox's books: its row, its ledger, its open intents and its skipped messages.

What is changed here is durable in the store before the method returns, in one transaction with the
account's counts, and only while the lease on the account stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Unpack

from sqlalchemy import Connection

from mailferry.copying.book_entries import Finished, PendingIntent, Skip
from mailferry.copying.register import Register
from mailferry.copying.results import INCOMPLETE, SkipReason
from mailferry.model.mail import MailboxStatus, MessageFacts
from mailferry.plan.arrival_date import instant
from mailferry.plan.differences import FLAGS_KEY_OCTETS, HIGHEST_UID
from mailferry.plan.retry import skip_is_due
from mailferry.store import accounts, deletions, intents, ledger, mailboxes, skipped
from mailferry.store.database import db_now
from mailferry.store.intents import Trait
from mailferry.store.ledger_blocks import Ledger, LedgerEntry
from mailferry.store.mailboxes import CopiedMailbox, MailboxChanges


class MailboxBook:
    """The books of one source mailbox, held in memory while it is worked on."""

    def __init__(
        self,
        register: Register,
        row: CopiedMailbox,
        kept: Ledger,
        pending: Sequence[PendingIntent],
        skips: Mapping[int, Skip],
    ) -> None:
        self._register = register
        self.row = row
        self.held_before = row.held_deletions
        """Deletions that were held when the books were opened: an approval speaks of these and of no later ones."""
        self.pending = list(pending)
        self._kept = kept
        self._added: dict[int, LedgerEntry] = {}
        self._gone: set[int] = set()
        self._skips = dict(skips)
        self._uidnext = 1

    @property
    def source_name(self) -> bytes:
        """The mailbox's raw name at the source."""
        return self.row.source_name

    @property
    def target_name(self) -> bytes:
        """Its raw name at the target."""
        return self.row.target_name

    # --- what is known

    def __len__(self) -> int:
        return len(self._kept) - len(self._gone) + len(self._added)

    def has(self, source_uid: int) -> bool:
        """Whether the message has a copy."""
        if source_uid in self._added:
            return True
        return source_uid not in self._gone and source_uid in self._kept

    def entry(self, source_uid: int) -> LedgerEntry:
        """Return the entry of a ledgered message; KeyError for any other."""
        found = self._added.get(source_uid)
        if found is None and source_uid not in self._gone:
            found = self._kept.find(source_uid)
        if found is None:
            raise KeyError(source_uid)
        return found

    def marks(self, source_uids: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield those of these UIDs whose copies are known by UID, with the first 32 bits of their digests."""
        kept = self._kept
        for uid in source_uids:
            entry = self._added.get(uid)
            if entry is not None:
                if entry.target_uid:
                    yield uid, int.from_bytes(entry.digest[:4])
            elif uid not in self._gone and (at := kept.position(uid)) is not None and kept.target_uids[at]:
                yield uid, kept.leading(at)

    def entries(self) -> Iterator[LedgerEntry]:
        """Yield all entries."""
        for entry in self._kept:
            if entry.source_uid not in self._gone and entry.source_uid not in self._added:
                yield entry
        yield from self._added.values()

    def source_uids(self) -> set[int]:
        """Return the UIDs of all messages that have a copy."""
        return set(self._kept.source_uids) - self._gone | set(self._added)

    def flags_keys(self) -> dict[int, bytes]:
        """Return source UID to the key of the flags synced last."""
        octets = bytes(self._kept.flags_keys)
        width = FLAGS_KEY_OCTETS
        keys = {
            uid: octets[place * width : (place + 1) * width]
            for place, uid in enumerate(self._kept.source_uids)
        }
        for uid in self._gone:
            keys.pop(uid, None)
        keys.update((uid, entry.flags_key) for uid, entry in self._added.items())
        return keys

    def uidnext_seen(self, told: int | None = None) -> int:
        """Return the UIDNEXT that the target told; Courier's SELECT tells none: what follows our last copy, then."""
        return max(self.target_uids(), default=0) + 1 if told is None else told

    def target_uids(self) -> set[int]:
        """Return the UIDs of all copies."""
        if not self._gone and not self._added:
            return set(self._kept.target_uids)
        return {entry.target_uid for entry in self.entries()}

    def nameless(self) -> dict[int, bytes]:
        """Return source UID to digest of the messages that have a copy of unknown UID."""
        if 0 not in self.target_uids():
            return {}
        return {entry.source_uid: entry.digest for entry in self.entries() if not entry.target_uid}

    def copies_of(self, source_uids: Collection[int]) -> list[int]:
        """Return the UIDs of the copies that these messages have and no other one: where a target keeps no
        twins (Gmail), several have one.
        """
        copies = {self.entry(uid).target_uid for uid in source_uids} - {0}
        if len(self.target_uids()) < len(self):
            leaving = set(source_uids)
            copies -= {entry.target_uid for entry in self.entries() if entry.source_uid not in leaving}
        return sorted(copies)

    def without_copy(self, alive: Collection[int]) -> list[int]:
        """Return the source UIDs whose copies are not among `alive` (0 stands for a copy of unknown UID)."""
        dead = self.target_uids() - set(alive) - {0}
        return [entry.source_uid for entry in self.entries() if entry.target_uid in dead] if dead else []

    def settled_skips(self) -> frozenset[int]:
        """Return the source UIDs that are skipped and not tried again now."""
        return frozenset(uid for uid, skip in self._skips.items() if not skip.due)

    def due_skips(self) -> frozenset[int]:
        """Return the source UIDs that were skipped and are to be tried again now."""
        return frozenset(uid for uid, skip in self._skips.items() if skip.due)

    def skipped_octets(self, *, also_due: bool = False) -> int:
        """Return the sum of sizes of what is skipped and not tried again now."""
        return sum(skip.size or 0 for skip in self._skips.values() if also_due or not skip.due)

    def octets_left(self, new: Sequence[MessageFacts]) -> tuple[int, int]:
        """Return the sum of sizes of those messages that have no copy, and of those that are skipped."""
        settled = self.settled_skips()
        copied = set(self._kept.source_uids) - self._gone | self._added.keys()
        left = sum(facts.size or 0 for facts in new if facts.uid not in copied and facts.uid not in settled)
        skips = sum(facts.size or 0 for facts in new if facts.uid in settled) if settled else 0
        return left, skips

    def incomplete(self) -> dict[int, str]:
        """Return source UID to reason of the messages that came and were not whole."""
        return {uid: skip.reason for uid, skip in self._skips.items() if skip.reason in INCOMPLETE}

    def no_server_uid(self, place: int) -> int:
        """Return a UID for the `place`th entry whose message is gone: from the top, where no server counts."""
        return HIGHEST_UID - place

    # --- what changes

    def target_selected(self, status: MailboxStatus) -> None:
        """Take notice of the target mailbox's next UID; lower than it is does no harm."""
        highest = max(self.target_uids(), default=0)
        self._uidnext = max(status.uidnext or 1, highest + 1 if status.uidnext is None else 1)

    async def open_intent(self, messages: Sequence[MessageFacts], target: MailboxStatus) -> PendingIntent:
        """Write down, durably, what is about to be sent: messages in the order of their UIDs."""
        (intent,) = await self.turn_over(None, (messages,), target)
        return intent

    async def commit(self, entries: Sequence[LedgerEntry], *, settles: int, octets: int = 0) -> None:
        """Add entries and settle the intent, in one transaction with the account's counts."""
        await self.turn_over(Finished(settles, entries, octets), (), None)

    async def turn_over(
        self,
        finished: Finished | None,
        batches: Sequence[Sequence[MessageFacts]],
        target: MailboxStatus | None,
    ) -> list[PendingIntent]:
        """Commit what one intent brought about and open an intent over each of `batches`, in one transaction.

        Either may be left out. Messages come in the order of their UIDs.
        """
        row, account_id = self.row, self._register.account_id
        entries = finished.entries if finished is not None else ()
        uidnext = max(self._uidnext, max((entry.target_uid for entry in entries), default=0) + 1)
        unskipped = [entry.source_uid for entry in entries if entry.source_uid in self._skips]
        traits = [[Trait(facts.size, instant(facts.internal_date)) for facts in batch] for batch in batches]

        def work(conn: Connection) -> list[int]:
            if finished is not None:
                ledger.commit(conn, row.id, entries, settles=finished.intent)
                less = skipped.forget(conn, row.id, unskipped) if unskipped else 0
                if entries:
                    self._count(conn, copied=len(entries), octets=finished.octets, skipped=-less)
            return [
                intents.open_intent(
                    conn,
                    row.id,
                    account_id=account_id,
                    target_name=row.target_name,
                    target_uidvalidity=target.uidvalidity,
                    target_uidnext=uidnext,
                    source_uids=[facts.uid for facts in batch],
                    source_uidvalidity=row.source_uidvalidity,
                    traits=about,
                )
                for batch, about in zip(batches, traits, strict=True)
                if target is not None
            ]

        made = await self._register.write("commit and open" if finished is not None else "open intent", work)
        if finished is not None:
            self.pending = [intent for intent in self.pending if intent.id != finished.intent]
            self._keep(entries)
            self._uidnext = uidnext
            for uid in unskipped:
                del self._skips[uid]
        validity = 0 if target is None else target.uidvalidity
        opened = []
        for intent_id, batch, about in zip(made, batches, traits, strict=True):
            uids = tuple(facts.uid for facts in batch)
            told = dict(zip(uids, about, strict=True))
            opened.append(
                PendingIntent(intent_id, validity, uidnext, row.source_uidvalidity, uids, 0.0, told)
            )
        self.pending += opened
        return opened

    def _keep(self, entries: Sequence[LedgerEntry]) -> None:
        """Hold entries that are in the store now; packed where they come in order."""
        ascending = sorted(entries)
        last = self._kept.source_uids[-1] if len(self._kept) else 0
        if not self._added and ascending and ascending[0].source_uid > last:
            self._kept.append_all(ascending)
            return
        for entry in ascending:
            self._added[entry.source_uid] = entry
            if entry.source_uid in self._kept:
                self._gone.add(entry.source_uid)

    async def examined(self, intent: PendingIntent, entries: Sequence[LedgerEntry]) -> None:
        """Add what was found of an intent, and keep it for one more look in a later pass."""
        mailbox_id = self.row.id

        def work(conn: Connection) -> None:
            ledger.commit(conn, mailbox_id, entries)
            self._count(conn, copied=len(entries))
            intents.examined(conn, intent.id)

        await self._register.write("examine intent", work)
        self._keep(entries)

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        """Add entries of messages that lie at the target already."""
        mailbox_id = self.row.id

        def work(conn: Connection) -> None:
            ledger.commit(conn, mailbox_id, entries)
            self._count(conn, copied=len(entries))

        if entries:
            await self._register.write("add to ledger", work)
            self._added.update((entry.source_uid, entry) for entry in entries)

    async def take_over(
        self,
        entries: Sequence[LedgerEntry],
        *,
        settles: int | None,
        mailbox_id: int,
        source_uids: Sequence[int],
    ) -> None:
        """Add entries for messages that a mailbox's ledger knew under other UIDs, and drop those there.

        Both in one transaction, so that no copy ever stands in two ledgers or in none.
        """
        here = self.row.id
        unskipped = [entry.source_uid for entry in entries if entry.source_uid in self._skips]

        def work(conn: Connection) -> None:
            ledger.forget(conn, mailbox_id, source_uids)
            ledger.commit(conn, here, entries, settles=settles)
            less = skipped.forget(conn, here, unskipped) if unskipped else 0
            self._count(conn, skipped=-less)

        await self._register.write("take over", work)
        self.pending = [intent for intent in self.pending if intent.id != settles]
        for uid in unskipped:
            del self._skips[uid]
        if mailbox_id == here:
            self._drop(source_uids)
        self._keep(entries)

    async def update_flags(self, keys: Mapping[int, bytes]) -> None:
        """Note which flags were synced."""
        mailbox_id = self.row.id
        await self._register.write("update flags", lambda conn: ledger.update_flags(conn, mailbox_id, keys))
        for uid, key in keys.items():
            entry = self.entry(uid)
            if uid in self._kept:
                self._gone.add(uid)
            self._added[uid] = entry._replace(flags_key=key)

    async def forget(
        self, source_uids: Sequence[int], *, acknowledged: Mapping[bytes, int] | None = None
    ) -> None:
        """Drop entries whose copies are gone; the deletions in `acknowledged` are looked at with them."""
        mailbox_id, account_id = self.row.id, self._register.account_id

        def work(conn: Connection) -> None:
            ledger.forget(conn, mailbox_id, source_uids)
            self._count(conn, copied=-len(source_uids))
            if acknowledged:
                deletions.take_off(conn, account_id, acknowledged)

        if not source_uids:
            return
        await self._register.write("forget", work)
        self._drop(source_uids)

    def _drop(self, source_uids: Sequence[int]) -> None:
        for uid in source_uids:
            self._added.pop(uid, None)
            if uid in self._kept:
                self._gone.add(uid)

    async def replace(self, entries: Sequence[LedgerEntry], **changes: Unpack[MailboxChanges]) -> None:
        """Put `entries` in place of the whole ledger, together with the new UIDVALIDITY of a side.

        Intents and skips name UIDs that mean nothing any more: they go as well.
        """
        mailbox_id, before = self.row.id, len(self)
        renumbered = "source_uidvalidity" in changes
        old_skips = list(self._skips) if renumbered else []
        old_intents = [intent.id for intent in self.pending] if renumbered else []

        def work(conn: Connection) -> None:
            ledger.rewrite(conn, mailbox_id, entries)
            mailboxes.note(conn, mailbox_id, **changes)
            for intent_id in old_intents:
                intents.settle(conn, intent_id)
            less = skipped.forget(conn, mailbox_id, old_skips) if old_skips else 0
            self._count(conn, copied=len(entries) - before, skipped=-less)

        await self._register.write("rewrite ledger", work)
        self._kept, self._gone = Ledger(), set()
        self._added = {entry.source_uid: entry for entry in entries}
        self._apply(changes)
        if renumbered:
            self.pending, self._skips = [], {}

    async def skip(self, facts: MessageFacts, reason: SkipReason, detail: str) -> None:
        """Leave a message out, with its reason and the server's words."""
        mailbox_id = self.row.id

        def work(conn: Connection) -> None:
            new = skipped.note(
                conn, mailbox_id, facts.uid, reason=reason.value, detail=detail[:500], size=facts.size
            )
            self._count(conn, skipped=int(new))

        await self._register.write("skip message", work)
        self._skips[facts.uid] = Skip(reason.value, due=False, size=facts.size)

    async def drop_skips(self, listed: Collection[int]) -> None:
        """Take skipped messages off the list that the source does not list any more."""
        gone = [uid for uid in self._skips if uid not in listed]
        mailbox_id = self.row.id

        def work(conn: Connection) -> None:
            less = skipped.forget(conn, mailbox_id, gone)
            self._count(conn, skipped=-less)

        if gone:
            await self._register.write("drop skips", work)
            for uid in gone:
                del self._skips[uid]

    async def note(self, **changes: Unpack[MailboxChanges]) -> None:
        """Change the mailbox's row; writes nothing when it is like that already."""
        mailbox_id = self.row.id
        if replace(self.row, **changes) == self.row:
            return
        await self._register.write("note mailbox", lambda conn: mailboxes.note(conn, mailbox_id, **changes))
        self._apply(changes)

    def _count(self, conn: Connection, *, copied: int = 0, octets: int = 0, skipped: int = 0) -> None:
        """Bring the account's counts up to date; an incomplete copy is none."""
        if not mailboxes.is_incomplete(self.row.source_name):
            accounts.progress(conn, self._register.account_id, copied=copied, octets=octets, skipped=skipped)

    def _apply(self, changes: MailboxChanges) -> None:
        self.row = replace(self.row, **changes)


async def open_book(register: Register, row: CopiedMailbox) -> MailboxBook:
    """Read a mailbox's books, with its row as it is now."""

    def work(conn: Connection) -> tuple[CopiedMailbox, Ledger, list[PendingIntent], dict[int, Skip]]:
        now = db_now(conn)
        open_intents = [
            PendingIntent(
                intent.id,
                intent.target_uidvalidity,
                intent.target_uidnext,
                intent.source_uidvalidity,
                intent.source_uids,
                now - intent.opened_at,
                dict(zip(intent.source_uids, intent.traits, strict=False)),
                intent.examined,
            )
            for intent in intents.of_mailbox(conn, row.id)
        ]
        skips = {
            message.source_uid: Skip(
                message.reason, skip_is_due(message.tries, now - message.at), message.size
            )
            for message in skipped.entries(conn, row.id)
        }
        return mailboxes.get(conn, row.id), ledger.load(conn, row.id), open_intents, skips

    fresh, kept, pending, skips = await register.read("open book", work)
    return MailboxBook(register, fresh, kept, pending, skips)
