"""Messages that the source does not give whole: kept at the target for want of better, until it does.

263 gives headers without bodies, Exchange a text of its own. Such a message stays on the list of skipped
ones, is tried again, and counts as not copied. What came of it lies at the target under a ledger of its
own (`store.mailboxes.incomplete_name`): nothing takes it for the copy. Once the source gives the message
whole it is copied like a new one; only then is the incomplete copy taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from sqlalchemy import Connection

from mailferry.copying.batches import BatchCopier
from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import MailboxWork, Run
from mailferry.copying.digests import ContentSink, HeaderSink
from mailferry.copying.learning import UNKNOWN_UID, match_digests
from mailferry.copying.lost_copies import forget_lost_copies
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.rematch import rematch_source, rematch_target
from mailferry.copying.results import Mode, SkipReason
from mailferry.copying.settle import settle_intents, unexplained
from mailferry.copying.sides import Pair, at_target
from mailferry.model.causes import Refused
from mailferry.model.mail import MessageFacts, body_digest
from mailferry.observe.crash_points import crash_point
from mailferry.plan.completeness import MailboxEvidence
from mailferry.plan.differences import FLAGS_UNKNOWN, Differences
from mailferry.remote.imap_client import FlagChange
from mailferry.remote.message_sink import MessageSink
from mailferry.store import ledger, mailboxes
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.remarks import RemarkKind

_NO_BODY = body_digest(b"")
_NONE_BETTER: Mapping[int, int] = {}


class Heads(Protocol):
    """What a source tells of messages without their bodies (an IMAP session, `maildrop.MaildropHeads`)."""

    async def fetch_facts(self, uids: Sequence[int], on_fact: Callable[[MessageFacts], None]) -> None:
        """Tell what is known of each message."""
        ...

    async def fetch_headers(self, uids: Sequence[int], sink: MessageSink) -> object:
        """Hand each header to `sink`."""
        ...


def evidence(book: MailboxBook, exists: int, delivered: int) -> MailboxEvidence:
    """Return what a pass saw of a mailbox whose messages were tried: how many came and were not whole."""
    return not_whole(book.source_name, exists, delivered, list(book.incomplete().values()))


def not_whole(name: bytes, exists: int, delivered: int, reasons: Sequence[str]) -> MailboxEvidence:
    """Return the same of a mailbox on whose list of skipped messages these `reasons` stand."""
    return MailboxEvidence(
        name,
        exists,
        delivered,
        headers_only=reasons.count(SkipReason.HEADER_ONLY),
        placeholders=reasons.count(SkipReason.PLACEHOLDER),
        cut_short=reasons.count(SkipReason.CUT_SHORT),
    )


async def incomplete_copies(run: Run, row: CopiedMailbox, uidvalidity: int) -> frozenset[int]:
    """Return the UIDs of a mailbox's incomplete copies at the target, whose UIDVALIDITY this is."""
    if _surely_none(run, row.source_name):
        return frozenset()

    def read(conn: Connection) -> frozenset[int]:
        kept = mailboxes.incomplete(conn, row.account_id).get(row.source_name)
        if kept is None or kept.target_uidvalidity != uidvalidity:
            return frozenset()
        return frozenset(ledger.load(conn, kept.id).target_uids)

    return await run.register.read("incomplete copies", read)


async def keep_incomplete(
    box: OpenMailbox,
    client: Heads,
    listed: Collection[int],
    compared: Differences,
    *,
    better: Mapping[int, int] = _NONE_BETTER,
) -> frozenset[int]:
    """Bring a mailbox's incomplete copies up to date and return whose are left; it is selected on both sides.

    `client` is the source's, `listed` and `compared` are what its listing said. `better` are target UIDs of
    copies in its stead that another ledger has, by source UID. Raises Refused, Unavailable or Stopped.
    """
    run, wanted = box.run, box.book.incomplete()
    if not wanted and _surely_none(run, box.book.source_name):
        return frozenset()
    row = await run.register.read("incomplete copies", lambda conn: _row(conn, box))
    if row is None and not wanted:
        return frozenset()
    if run.incomplete is not None:
        run.incomplete.add(box.book.source_name)
    if row is None:
        row = await run.register.write("keep incomplete", lambda conn: _made(conn, box))
    kept = await _opened(box, client, row, listed)
    missing = sorted(uid for uid in wanted if uid in listed and not kept.book.has(uid))
    if missing:
        await _copy(kept, client, missing)
    await _replaced(box, kept, better)
    if run.request.mode is Mode.MIRROR and compared.held is None:
        gone = [uid for uid in kept.book.source_uids() if uid not in listed]
        await _remove(kept, gone)
    return frozenset(kept.book.source_uids())


async def drop_incomplete(run: Run, pair: Pair, row: CopiedMailbox) -> None:
    """Take away all incomplete copies of a mailbox that the source does not list any more."""
    kept = await run.register.read(
        "incomplete copies", lambda conn: mailboxes.incomplete(conn, row.account_id).get(row.source_name)
    )
    if kept is None:
        return
    book = await open_book(run.register, kept)
    uids = [entry.source_uid for entry in book.entries()]
    try:
        with at_target():
            status = await pair.target.select(book.target_name)
            if uids and status.uidvalidity == kept.target_uidvalidity:
                await pair.target.delete([entry.target_uid for entry in book.entries() if entry.target_uid])
    except Refused:
        pass  # the target's mailbox is gone as well
    await book.forget(uids)


def _surely_none(run: Run, source_name: bytes) -> bool:
    """Whether the pass has seen that this mailbox has none: nobody else makes them while it holds the lease."""
    return run.incomplete is not None and source_name not in run.incomplete


def _row(conn: Connection, box: OpenMailbox) -> CopiedMailbox | None:
    return mailboxes.incomplete(conn, box.run.request.account_id).get(box.book.source_name)


def _made(conn: Connection, box: OpenMailbox) -> CopiedMailbox:
    return mailboxes.ensure(
        conn,
        box.run.request.account_id,
        mailboxes.incomplete_name(box.book.source_name),
        target_name=box.book.target_name,
        subscribed=True,
    )


async def _opened(
    box: OpenMailbox, client: Heads, row: CopiedMailbox, listed: Collection[int]
) -> OpenMailbox:
    """Return the incomplete copies as a mailbox of their own, with all its numbers meaning what they say."""
    run, mirror = box.run, box.run.request.mode is Mode.MIRROR
    with at_target():
        status = await box.target.select(box.book.target_name)  # its UIDNEXT is behind what this pass copied
    book = await open_book(run.register, row)
    book.target_selected(status)
    others = await run.register.read("other copies", lambda conn: _others(conn, book.row))
    kept = OpenMailbox(run, MailboxWork(), box.source, box.target, book, status, others)
    if book.row.target_uidvalidity not in {None, status.uidvalidity}:
        await rematch_target(box.target, book, status, copies_wanted=mirror)
    here = box.book.row.source_uidvalidity
    if here is not None and book.row.source_uidvalidity not in {None, here} and len(book):
        await rematch_source(kept, here, listed)
    await book.note(source_uidvalidity=here, target_uidvalidity=status.uidvalidity)
    if book.pending:
        await _know_headers(kept, client)
        await settle_intents(kept)
    if mirror:
        await forget_lost_copies(kept)
    return kept


async def _know_headers(kept: OpenMailbox, client: Heads) -> None:
    """Find what a killed run brought by its header: the source may give the whole message by now."""
    for intent in kept.book.pending:
        same = intent.target_uidvalidity == kept.status.uidvalidity
        strays = await unexplained(kept, intent.target_uidnext if same else 1)
        asked = [uid for uid in intent.source_uids if not kept.book.has(uid)]
        if not strays or not asked:
            continue
        mine, there, contents = HeaderSink(), HeaderSink(), ContentSink()
        await client.fetch_headers(asked, mine)
        with at_target():
            await kept.target.fetch_headers(sorted(strays), there)
            await kept.target.fetch_bodies(sorted(there.digests), contents)
        bare = {uid: there.digests[uid] for uid, body in contents.bodies.items() if body == _NO_BODY}
        await kept.book.add(
            [
                LedgerEntry(uid, copy, contents.whole[copy], FLAGS_UNKNOWN)
                for uid, copy in match_digests(mine.digests, bare).items()
            ]
        )


def _others(conn: Connection, row: CopiedMailbox) -> frozenset[int]:
    """Return the UIDs of all other copies in the same mailbox of the target."""
    over_pop3 = mailboxes.over_pop3(conn, row.account_id)
    rows = [*mailboxes.of_account(conn, row.account_id), *([over_pop3] if over_pop3 is not None else [])]
    same = (one for one in rows if one.target_name == row.target_name)
    return frozenset().union(*(ledger.load(conn, one.id).target_uids for one in same))


async def _copy(kept: OpenMailbox, client: Heads, missing: Sequence[int]) -> None:
    """Copy what the source gives of these, as it comes: sizes promise more, and nobody shall look at them."""
    run, book = kept.run, kept.book
    found: list[MessageFacts] = []
    await client.fetch_facts(list(missing), lambda facts: found.append(facts._replace(size=None)))
    before = len(book)
    try:
        await BatchCopier(kept).copy(sorted(found))
    finally:
        run.result.copied -= len(book) - before
        run.result.incomplete += len(book) - before
        run.result.skipped -= len(
            book.settled_skips()
        )  # the target refused them: they are on the list already
    await book.drop_skips(())


async def _replaced(box: OpenMailbox, kept: OpenMailbox, better: Mapping[int, int]) -> None:
    """Take incomplete copies away whose messages have whole ones; what the user said of them goes along."""
    done = {uid: better[uid] for uid in kept.book.source_uids() if uid in better}
    done |= {uid: box.book.entry(uid).target_uid for uid in kept.book.source_uids() if box.book.has(uid)}
    if not done:
        return
    if box.run.request.mode is not Mode.MIRROR:
        await _hand_flags_on(kept, done)
    await _remove(kept, list(done))


async def _hand_flags_on(kept: OpenMailbox, done: Mapping[int, int]) -> None:
    """From the flip on flags at the target are the user's: the whole copy gets those of the incomplete one."""
    flags: dict[int, frozenset[bytes]] = {}
    with at_target():
        uids = [kept.book.entry(uid).target_uid for uid in done]
        await kept.target.fetch_flags(
            [uid for uid in uids if uid != UNKNOWN_UID], lambda uid, now: flags.update({uid: now})
        )
        for whole, before in zip(done.values(), uids, strict=True):
            said = flags.get(before)
            if said and whole != UNKNOWN_UID:
                with suppress(Refused):  # flags are not worth a message
                    await kept.target.store_flags([whole], said, FlagChange.ADD)


async def _remove(kept: OpenMailbox, source_uids: Sequence[int]) -> None:
    """Delete these incomplete copies and forget them; never what another ledger knows as a copy."""
    if not source_uids:
        return
    kept.run.check()
    copies = [kept.book.entry(uid).target_uid for uid in source_uids]
    ours = [uid for uid in copies if uid != UNKNOWN_UID and uid not in kept.others]
    if ours:
        with at_target():
            await kept.target.delete(ours)
    crash_point("incomplete-removed")
    await kept.book.forget(source_uids)
    lost = copies.count(UNKNOWN_UID)
    if lost:
        kept.run.remarks.note(RemarkKind.DOUBLED, number=lost, add=True)
