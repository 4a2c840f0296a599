"""One pass over an account whose source has POP3 only: the maildrop into INBOX (RFC 1939).

UIDLs take the place of UIDs: each gets a number of ours for ever, under which the ledger knows its
message. The maildrop is locked for the user while we read it, so that a session lasts a slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from mailferry.copying.batches import BatchCopier
from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import Run
from mailferry.copying.digests import body_digests
from mailferry.copying.following import compared_with_brake, follow_deletions
from mailferry.copying.late_mail import without_twins
from mailferry.copying.learning import match_digests
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.results import Mode
from mailferry.copying.settle import rematch_target, settle_intents
from mailferry.copying.sides import at_target
from mailferry.copying.spool import Maildrop
from mailferry.model.access import Side
from mailferry.model.causes import Cause, Refused
from mailferry.model.mail import MessageFacts
from mailferry.plan.completeness import Evidence, MailboxEvidence
from mailferry.plan.differences import Comparison, Differences
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import mailboxes, uidls
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.uidls import UidlFact


async def copy_maildrop(run: Run) -> None:
    """Bring the target's INBOX up to date. Raises Refused, Unavailable or Stopped."""
    if run.desk.endpoints.source_pop3 is None:
        raise Refused(Cause.PROTOCOL_DISABLED, "the source has neither IMAP nor POP3")
    with at_target():
        target = await run.desk.endpoints.target_imap()
    run.at_cut_off(target.close)
    try:
        run.check()
        source = await run.desk.endpoints.source_pop3()
        run.at_cut_off(source.close)
        try:
            run.begin_slice(run.desk.limits.slice_seconds)
            await _copy(run, source, target)
        finally:
            await source.quit()
        await target.logout()
    finally:
        target.close()


async def _copy(run: Run, source: Pop3Client, target: ImapClient) -> None:
    work = run.work(INBOX)
    listed = await source.uidl()
    sizes = await source.list()
    uids = await number_uidls(run, listed)
    row = await run.register.write(
        "map maildrop",
        lambda conn: mailboxes.ensure(
            conn, run.request.account_id, INBOX, target_name=INBOX, subscribed=True
        ),
    )
    box, maildrop = await _open(run, source, target, row, uids)
    book = box.book
    if book.pending:
        await settle_intents(box)
    first = _listing(book, uids, sizes).result()
    if first.held is not None and first.new:
        await _renumbered(run, maildrop, book, first)
    listing = _listing(book, uids, sizes)
    compared = await compared_with_brake(run, book, listing)
    await book.drop_skips(listing.listed)
    run.result.mailboxes = 1
    work.total, work.remaining = len(uids), len(compared.new)
    work.known_skips = len(book.settled_skips() & listing.listed)
    run.result.evidence = Evidence((MailboxEvidence(INBOX, len(uids), len(uids)),), len(uids))
    box.count_octets(listing, compared.new)
    await run.note_totals()
    new: Sequence[MessageFacts] = compared.new
    if run.request.sweep and new:
        new = await without_twins(box, new)
    try:
        await BatchCopier(box).copy(new)
    finally:
        box.count_octets(listing, compared.new)
    if run.request.mode is Mode.MIRROR:
        if compared.held is not None:
            run.result.held[INBOX] = (compared.held, len(compared.vanished))
        else:
            await follow_deletions(box, compared.vanished)
        await book.note(held_deletions=len(compared.vanished) if compared.held is not None else 0)


async def _open(
    run: Run, source: Pop3Client, target: ImapClient, row: CopiedMailbox, uids: Mapping[int, int]
) -> tuple[OpenMailbox, Maildrop]:
    """Select INBOX at the target and open its books; copies are found again when its UIDs mean nothing."""
    with at_target():
        status = await target.select(INBOX)
    book = await open_book(run.register, row)
    book.target_selected(status)
    if row.target_uidvalidity not in {None, status.uidvalidity}:
        await rematch_target(target, book, status, copies_wanted=run.request.mode is Mode.MIRROR)
    await book.note(target_uidvalidity=status.uidvalidity)
    maildrop = Maildrop(source, {uid: number for number, uid in uids.items()})
    return OpenMailbox(run, run.work(INBOX), maildrop, target, book, status), maildrop


def _listing(book: MailboxBook, uids: Mapping[int, int], sizes: Mapping[int, int]) -> Comparison:
    """Compare the maildrop with the ledger; POP3 shows no flags, so that nothing is re-flagged."""
    comparison = Comparison(book.flags_keys(), book.settled_skips())
    for number, uid in sorted(uids.items()):
        comparison.feed(MessageFacts(uid, frozenset(), b"", sizes.get(number)))
    return comparison


async def number_uidls(run: Run, listed: Mapping[int, bytes]) -> dict[int, int]:
    """Return message number to source UID of ours; UIDLs that are new get the next ones, durably.

    A UIDL that stands twice in a list gets a number for each place.
    """
    account_id = run.request.account_id
    keys: dict[int, bytes] = {}
    seen: dict[bytes, int] = {}
    for number in sorted(listed):
        uidl = listed[number]
        seen[uidl] = seen.get(uidl, 0) + 1
        keys[number] = uidl if seen[uidl] == 1 else b"%s %d" % (uidl, seen[uidl])  # no UIDL holds a blank

    def work(conn: Connection) -> dict[bytes, int]:
        known = {
            fact.uidl: fact.uid for fact in uidls.facts(conn, account_id, Side.SOURCE) if fact.uid is not None
        }
        following = max(known.values(), default=0) + 1
        fresh: list[UidlFact] = []
        for number in sorted(keys):
            key = keys[number]
            if key not in known:
                known[key] = following
                fresh.append(UidlFact(key, b"", following))
                following += 1
        uidls.learn(conn, account_id, Side.SOURCE, fresh)
        return known

    known = await run.register.write("number uidls", work)
    return {number: known[key] for number, key in keys.items()}


async def _renumbered(run: Run, maildrop: Maildrop, book: MailboxBook, compared: Differences) -> None:
    """Some servers change all UIDLs: what is new and what vanished are the same messages then.

    Looked at only when as much vanished as the brake holds: digests tell which message is which.
    """
    run.check()
    mine = (await body_digests(maildrop, [facts.uid for facts in compared.new])).by_uid
    old = {uid: book.entry(uid).digest for uid in compared.vanished}
    pairs = match_digests(mine, old)
    if not pairs:
        return
    moved: Sequence[LedgerEntry] = [
        LedgerEntry(uid, book.entry(before).target_uid, mine[uid], book.entry(before).flags_key)
        for uid, before in pairs.items()
    ]
    replaced = set(pairs.values())
    kept = [entry for entry in book.entries() if entry.source_uid not in replaced]
    await book.replace([*kept, *moved])
    run.result.already += len(moved)
