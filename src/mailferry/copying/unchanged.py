"""Mailboxes that need no look: nothing happened on either side since a whole pass over them.

One STATUS for each mailbox (or one LIST-STATUS for all, RFC 5819) against what was remembered. A source
without HIGHESTMODSEQ (RFC 7162) can change flags unseen, so that its mailboxes are always listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from mailferry.copying.desk import Run
from mailferry.copying.preparing import MailboxJob
from mailferry.copying.results import SkipReason
from mailferry.copying.side_by_side import both
from mailferry.copying.sides import Pair, at_target
from mailferry.model.mail import MailboxStatus
from mailferry.plan.completeness import MailboxEvidence
from mailferry.plan.retry import skip_is_due
from mailferry.store import intents, ledger, mailboxes, skipped
from mailferry.store.database import db_now
from mailferry.store.mailboxes import CopiedMailbox


class _LeftOut(NamedTuple):
    """Skipped messages of one mailbox, their sizes, and those that came and were not whole."""

    messages: int
    octets: int
    header_only: int
    placeholders: int
    cut_short: int


_NONE = _LeftOut(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Changed:
    """The mailboxes to work on, INBOX first."""

    jobs: tuple[MailboxJob, ...]
    may_have_lost: tuple[MailboxJob, ...]
    """Of these, the ones whose numbers say that messages left them."""
    gained: tuple[MailboxJob, ...]
    """The ones whose numbers say that messages turned up."""

    def others(self, jobs: Sequence[MailboxJob]) -> list[MailboxJob]:
        """Return the mailboxes to work on that are not among `jobs`."""
        return [job for job in self.jobs if job not in jobs]


async def changed_jobs(run: Run, pair: Pair, jobs: Sequence[MailboxJob]) -> Changed:
    """Return the mailboxes to work on; the others are counted as they were found before."""
    run.result.mailboxes = len(jobs)
    source, target = await both(
        pair.source.status_all([job.source_name for job in jobs]), _target_numbers(pair, jobs)
    )
    restless, sizes, skips, run.incomplete = await run.register.read(
        "restless mailboxes", lambda conn: _restless(conn, run, jobs)
    )
    changed: list[MailboxJob] = []
    losers: list[MailboxJob] = []
    gained: list[MailboxJob] = []
    for job in jobs:
        work = run.work(job.source_name)
        here = source.get(job.source_name)
        work.total = here.exists if here is not None else 0
        work.octets = job.row.source_octets
        left_out = skips.get(job.row.id, _NONE)
        known = sizes[job.row.id] + left_out.messages
        still = job.row.id not in restless and job.row.held_deletions == 0
        if still and _as_remembered(job.row, here, target.get(job.row.target_name)):
            work.remaining = 0
            run.result.mailboxes_unchanged += 1
            work.known_skips = left_out.messages
            work.skipped_octets = left_out.octets
            run.saw(
                MailboxEvidence(
                    job.source_name,
                    work.total,
                    work.total,
                    left_out.header_only,
                    left_out.placeholders,
                    left_out.cut_short,
                )
            )
            continue
        work.remaining = max(0, work.total - known)
        changed.append(job)
        if _gained(job.row, here):
            gained.append(job)
        if sizes[job.row.id] and _may_have_lost(job.row, here):
            losers.append(job)
    if changed:
        await run.note_totals()
    run.tell()
    return Changed(tuple(changed), tuple(losers), tuple(gained))


async def _target_numbers(pair: Pair, jobs: Sequence[MailboxJob]) -> Mapping[bytes, MailboxStatus]:
    """Ask for the numbers of mailboxes whose numbers are remembered: in a first pass there is none."""
    remembered = [job.row.target_name for job in jobs if job.row.target_uidnext is not None]
    if not remembered:
        return {}
    with at_target():
        return await pair.target.status_all(remembered)


def _gained(row: CopiedMailbox, now: MailboxStatus | None) -> bool:
    """Whether messages turned up since the mailbox was seen whole."""
    if now is None or row.source_exists is None:
        return True
    return now.exists > row.source_exists or (now.uidnext or 0) > (row.source_uidnext or 0)


def _may_have_lost(row: CopiedMailbox, now: MailboxStatus | None) -> bool:
    """Whether messages may have left since the mailbox was seen whole.

    Without UIDNEXT (NetEase) as many that left as turned up go unseen, and are uploaded again.
    """
    if now is None or row.source_exists is None:
        return now is not None
    arrived = 0
    if now.uidnext is not None and row.source_uidnext is not None:
        arrived = max(now.uidnext - row.source_uidnext, 0)
    return now.exists < row.source_exists + arrived


def _as_remembered(row: CopiedMailbox, source: MailboxStatus | None, target: MailboxStatus | None) -> bool:
    if source is None or target is None or source.highestmodseq is None or source.uidnext is None:
        return False
    if target.uidnext is None:
        return False
    return (
        (row.source_uidvalidity, row.source_uidnext, row.source_exists, row.source_highestmodseq)
        == (source.uidvalidity, source.uidnext, source.exists, source.highestmodseq)
    ) and (
        (row.target_uidvalidity, row.target_uidnext, row.target_exists)
        == (target.uidvalidity, target.uidnext, target.exists)
    )


def _restless(
    conn: Connection, run: Run, jobs: Sequence[MailboxJob]
) -> tuple[set[int], Mapping[int, int], Mapping[int, _LeftOut], set[bytes]]:
    """Return mailboxes with open intents or skips that are due; ledger sizes; what is left out; those with
    incomplete copies.
    """
    account_id = run.request.account_id
    now = db_now(conn)
    restless = {intent.mailbox_id for intent in intents.pending(conn, account_id)}
    incomplete = mailboxes.incomplete(conn, account_id)
    restless |= {
        job.row.id
        for job in jobs
        if job.source_name in incomplete and incomplete[job.source_name].id in restless
    }
    skips: dict[int, _LeftOut] = {}
    for message in skipped.listing(conn, account_id, limit=1_000_000):
        before = skips.get(message.mailbox_id, _NONE)
        skips[message.mailbox_id] = _LeftOut(
            before.messages + 1,
            before.octets + (message.size or 0),
            before.header_only + (message.reason == SkipReason.HEADER_ONLY),
            before.placeholders + (message.reason == SkipReason.PLACEHOLDER),
            before.cut_short + (message.reason == SkipReason.CUT_SHORT),
        )
        if skip_is_due(message.tries, now - message.at):
            restless.add(message.mailbox_id)
    counts = ledger.counts(conn, account_id)
    return restless, {job.row.id: counts.get(job.row.id, 0) for job in jobs}, skips, set(incomplete)
