"""Messages that the source shows over POP3 and hides from IMAP (windows of 30 days, caps of folders).

They are copied into INBOX over POP3, under numbers of our own. When IMAP shows one later, its copy is
there already: it changes over to INBOX's ledger and is not uploaded again. IMAP tells nothing of them, so
that LIST is believed about their sizes as far as a body that is missing whole: such a message is kept as
incomplete, like those of a mailbox. Where a copy that came over IMAP has to stay because POP3 still shows
its message (`still_over_pop3`), the copy changes over to the ledger here, and POP3 is asked for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from mailferry.copying.batches import BatchCopier
from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import Run
from mailferry.copying.digests import body_digests
from mailferry.copying.following import compared_with_brake, delete_copies, follow_deletions, follow_flags
from mailferry.copying.incomplete import incomplete_copies, keep_incomplete, not_whole
from mailferry.copying.learning import match_digests
from mailferry.copying.lost_copies import forget_lost_copies
from mailferry.copying.maildrop import Maildrop, MaildropHeads
from mailferry.copying.maildrop_names import Listed
from mailferry.copying.maildrop_numbers import Numbers
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.rematch import rematch_target
from mailferry.copying.results import Mode
from mailferry.copying.settle import settle_intents
from mailferry.copying.sides import at_target
from mailferry.copying.still_over_pop3 import Staying
from mailferry.model.mail import MessageFacts
from mailferry.plan.differences import Comparison, flags_key
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import ledger, mailboxes, skipped, uidls
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import OVER_POP3, CopiedMailbox
from mailferry.store.uidls import FactsOf, UidlFact

POP3_ONLY = b"(POP3 only)"
"""What stands for them where mailboxes are named to people."""
_NONE_STAYS = Staying()
_NONE_THERE: Mapping[bytes, int] = {}


async def count_hidden(run: Run) -> int:
    """Count what POP3 alone shows into the pass's sums, as far as earlier passes copied or skipped it."""
    account_id = run.request.account_id

    def counts(conn: Connection) -> tuple[int, list[str]]:
        row = mailboxes.over_pop3(conn, account_id)
        if row is None:
            return 0, []
        return ledger.size(conn, row.id), [one.reason for one in skipped.entries(conn, row.id)]

    copied, reasons = await run.register.read("hidden mail", counts)
    skips = len(reasons)
    work = run.work(OVER_POP3)
    work.total, work.known_skips, work.octets = copied + skips, skips, work.octets or 0
    if reasons:
        run.saw(not_whole(POP3_ONLY, copied + skips, copied + skips, reasons))
    return copied + skips


class HiddenMail:
    """Brings over what only the maildrop of `pop` shows; `target` is free to select INBOX."""

    def __init__(
        self,
        run: Run,
        pop: Pop3Client,
        target: ImapClient,
        *,
        staying: Staying = _NONE_STAYS,
        in_inbox: Mapping[bytes, int] = _NONE_THERE,
    ) -> None:
        """`staying` are copies that IMAP brought, `in_inbox` names and UIDs of what IMAP shows as well."""
        self._run = run
        self._pop = pop
        self._target = target
        self._staying = staying
        self._in_inbox = in_inbox
        self._mirror = run.request.mode is Mode.MIRROR

    async def bring_over(self, listed: Listed, hidden: Sequence[int]) -> Mapping[bytes, int]:
        """Copy the messages with these numbers; return the number of ours by name.

        `listed` is whole. Copies of what is hidden no longer follow: IMAP shows it now, or it is gone.
        Raises Refused, Unavailable or Stopped.
        """
        run, account_id = self._run, self._run.request.account_id
        known, row = await run.register.read(
            "hidden mail",
            lambda conn: (
                uidls.facts(conn, account_id, FactsOf.HIDDEN),
                mailboxes.over_pop3(conn, account_id),
            ),
        )
        if not hidden and row is None:
            return {}
        only = replace(listed, names={number: listed.names[number] for number in hidden})
        numbers = Numbers(run, FactsOf.HIDDEN, known)
        await numbers.give(only)
        box = await self._open({uid: n for n, uid in numbers.by_number.items()}, listed)
        await self._take_over(box, numbers, only)
        if box.book.pending:
            await settle_intents(box)
        incomplete = await self._copy(box, numbers, only, await self._shown_by_imap(known))
        await numbers.forget_gone(box.book, only, incomplete)
        return {name: numbers.by_number[number] for number, name in only.names.items()}

    async def _open(self, by_uid: Mapping[int, int], listed: Listed) -> OpenMailbox:
        run, account_id = self._run, self._run.request.account_id

        def ensure(conn: Connection) -> CopiedMailbox:
            return mailboxes.ensure(conn, account_id, OVER_POP3, target_name=INBOX, subscribed=True)

        row = await run.register.write("map hidden mail", ensure)
        with at_target():
            status = await self._target.select(INBOX)
        book = await open_book(run.register, row)
        book.target_selected(status)
        others = await incomplete_copies(run, row, status.uidvalidity)
        source = Maildrop(self._pop, by_uid, listed.sizes, alone=True)
        box = OpenMailbox(run, run.work(OVER_POP3), source, self._target, book, status, others)
        if book.row.target_uidvalidity not in {None, status.uidvalidity}:
            await rematch_target(self._target, book, status, copies_wanted=self._mirror, source=source)
        await book.note(target_uidvalidity=status.uidvalidity)
        if self._mirror:
            await forget_lost_copies(box)
        return box

    async def _take_over(self, box: OpenMailbox, numbers: Numbers, hidden: Listed) -> None:
        """Let copies that stay change over from INBOX's ledger."""
        entries, left = [], []
        for number, name in hidden.names.items():
            before, uid = self._staying.entries.get(name), numbers.by_number[number]
            if before is None:
                continue
            if not box.book.has(uid) or box.book.entry(uid).target_uid == before.target_uid:
                entries.append(before._replace(source_uid=uid))
                left.append(before.source_uid)
        if entries:
            mailbox_id = self._staying.mailbox_id
            await box.book.take_over(entries, settles=None, mailbox_id=mailbox_id, source_uids=left)
            self._run.result.stayed += len(entries)

    async def _shown_by_imap(self, known: Sequence[UidlFact]) -> dict[int, int]:
        """Return number of ours to INBOX's copy, for incomplete messages that IMAP shows now."""
        account_id = self._run.request.account_id

        def read(conn: Connection) -> dict[int, int]:
            apart = mailboxes.incomplete(conn, account_id)
            if OVER_POP3 not in apart:
                return {}
            rows = [row for row in mailboxes.of_account(conn, account_id) if row.source_name.upper() == INBOX]
            rows += [apart[row.source_name] for row in rows if row.source_name in apart]
            copies: dict[int, int] = {}
            for kept in (ledger.load(conn, row.id) for row in rows):
                for fact in known:
                    entry = kept.find(self._in_inbox.get(fact.uidl, 0))
                    if fact.uid is not None and entry is not None:
                        copies.setdefault(fact.uid, entry.target_uid)
            return copies

        return await self._run.register.read("incomplete over POP3", read)

    async def _copy(
        self, box: OpenMailbox, numbers: Numbers, listed: Listed, better: Mapping[int, int]
    ) -> frozenset[int]:
        """Copy what is new and let deletions follow; return the numbers of incomplete copies that are left."""
        run, work, book = self._run, box.work, box.book
        await self._leave_to_imap(box, frozenset(numbers.by_number.values()))
        listing = Comparison(book.flags_keys(), book.settled_skips())
        for number, uid in sorted(numbers.by_number.items()):
            listing.feed(MessageFacts(uid, frozenset(), b"", listed.sizes.get(number)))
        compared = await compared_with_brake(run, book, listing)
        await book.drop_skips(listing.listed)
        work.total, work.remaining = len(listing.listed), len(compared.new)
        work.known_skips = len(book.settled_skips() & listing.listed)
        box.count_octets(listing, compared.new)
        await run.note_totals()
        try:
            await BatchCopier(box).copy(compared.new)
        finally:
            box.count_octets(listing, compared.new)
            shown = len(listing.listed)
            run.saw(not_whole(POP3_ONLY, shown, shown, list(book.incomplete().values())))
        heads = MaildropHeads(self._pop, {uid: n for n, uid in numbers.by_number.items()})
        incomplete = await keep_incomplete(box, heads, listing.listed, compared, better=better)
        if not self._mirror:
            return incomplete
        if compared.held is None:
            await follow_deletions(box, compared)
        else:
            run.result.held[OVER_POP3] = (compared.held, len(compared.vanished))
        await book.note(held_deletions=len(compared.vanished) if compared.held is not None else 0)
        return incomplete

    async def _leave_to_imap(self, box: OpenMailbox, hidden: frozenset[int]) -> None:
        """Drop entries whose messages another ledger has by now, and copies that are there twice.

        A message that is hidden still is another one than its twin in INBOX.
        """
        if not len(box.book):
            return
        others = await self._run.register.read(
            "ledgers", lambda conn: _other_copies(conn, self._run.request.account_id)
        )
        same, twice = [], []
        for entry in box.book.entries():
            places = others.get(entry.digest, ())
            if entry.target_uid in places:
                same.append(entry.source_uid)
            elif places and entry.source_uid not in hidden:
                twice.append(entry.source_uid)
        await box.book.forget(same)
        if self._mirror:
            await delete_copies(self._run, self._target, box.book, twice)


def _other_copies(conn: Connection, account_id: int) -> dict[bytes, set[int]]:
    """Return digest to target UIDs in INBOX, an empty set for copies in other mailboxes."""
    found: dict[bytes, set[int]] = {}
    for row in mailboxes.of_account(conn, account_id):
        inbox = row.target_name.upper() == INBOX
        for entry in ledger.load(conn, row.id):
            found.setdefault(entry.digest, set()).update({entry.target_uid} if inbox else ())
    return found


async def without_those_over_pop3(box: OpenMailbox, new: Sequence[MessageFacts]) -> list[MessageFacts]:
    """Return INBOX's new messages without those that came over POP3 before; these change over to its ledger."""
    messages, book = list(new), box.book
    if not messages or book.target_name.upper() != INBOX or book.source_name == OVER_POP3:
        return messages
    kept = await _kept_over_pop3(box.run, book)
    if not kept:
        return messages
    mine = (await body_digests(box.source, [facts.uid for facts in messages])).by_uid
    pairs = match_digests(mine, {entry.target_uid: entry.digest for entry in kept})
    there = [
        LedgerEntry(facts.uid, pairs[facts.uid], mine[facts.uid], flags_key(facts.flags))
        for facts in messages
        if facts.uid in pairs
    ]
    await book.add(there)
    box.run.already(box.work, len(there))
    if box.run.request.mode is Mode.MIRROR:  # POP3 told no flags
        await follow_flags(box, [facts for facts in messages if facts.uid in pairs])
    return [facts for facts in messages if facts.uid not in pairs]


async def _kept_over_pop3(run: Run, inbox: MailboxBook) -> list[LedgerEntry]:
    """Return the entries of what came over POP3 and is not in INBOX's ledger yet."""
    account_id, taken = run.request.account_id, inbox.target_uids()

    def read(conn: Connection) -> list[LedgerEntry]:
        row = mailboxes.over_pop3(conn, account_id)
        entries = [] if row is None else list(ledger.load(conn, row.id))
        return [entry for entry in entries if entry.target_uid and entry.target_uid not in taken]

    return await run.register.read("hidden mail", read)
