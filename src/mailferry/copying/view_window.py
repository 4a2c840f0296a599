"""A source that shows the last 30 days only: what a pass notices of it, and copies that it must not take away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mailferry.copying.desk import Run
from mailferry.copying.learning import UNKNOWN_UID
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.sides import at_target
from mailferry.model.mail import MessageFacts
from mailferry.plan.arrival_date import instant, utc_date
from mailferry.plan.visible_days import (
    USUAL_DAYS,
    FirstSight,
    beyond,
    ends_at_window,
    oldest_in_view,
    slipped,
)
from mailferry.store import first_sights
from mailferry.store.database import db_now
from mailferry.store.remarks import RemarkKind

_EMPTIED = frozenset({"trash", "junk"})
"""Roles of mailboxes that providers empty by age."""
_SAYS_NOTHING = FirstSight(0, None, gaps=False)


def _days(run: Run) -> int:
    days = run.desk.profile.visibility_window_days
    return USUAL_DAYS if days is None else days


async def note_view(
    box: OpenMailbox, new: Sequence[MessageFacts], announced: int, uidnext: int | None
) -> None:
    """Note how old the mail of a mailbox is that is seen for the first time, or that older mail came into view.

    `announced` is its number of messages, `new` are those without a copy, ascending.
    """
    run, days = box.run, _days(box.run)
    first = bool(days and new) and len(new) == announced and not len(box.book)
    if box.book.row.role in _EMPTIED:
        run.emptied.add(box.book.source_name)
        if first:
            await _keep(box, _SAYS_NOTHING)
        return
    if not days or not new:
        return
    now = await run.register.read("now", db_now)
    arrived = (instant(facts.internal_date) for facts in new)
    oldest = oldest_in_view(arrived, beyond(now, days))
    if oldest is None:
        run.remarks.over(RemarkKind.ENDS_AT_WINDOW)
    if first:
        gaps = new[0].uid > 1 or (uidnext is not None and uidnext - 1 > announced)
        await _keep(box, FirstSight(announced, oldest, gaps))


async def _keep(box: OpenMailbox, sight: FirstSight) -> None:
    """Keep it at once: this pass may end before all mailboxes were listed, or be killed."""
    run, name = box.run, box.book.source_name
    run.sights[name] = sight
    account_id = run.request.account_id
    await run.register.write("first sight", lambda conn: first_sights.keep(conn, account_id, name, sight))


async def note_window(run: Run) -> None:
    """At the end of a pass: say whether all mail ends at the window, as far as this pass or earlier ones saw."""
    days, account_id = _days(run), run.request.account_id
    seen = run.result.evidence
    now, earlier = 0.0, {}
    if days:
        now, kept = await run.register.read(
            "first sights", lambda conn: (db_now(conn), first_sights.of_account(conn, account_id))
        )
        earlier = {name: FirstSight(*sight) for name, sight in kept.items()}
    sights = {**earlier, **run.sights}
    known = run.remarks.known(RemarkKind.ENDS_AT_WINDOW)
    ends_at = None if known is None or known.number < beyond(now, days) else known.number
    if ends_at is None or run.remarks.is_over(RemarkKind.ENDS_AT_WINDOW):
        run.remarks.over(RemarkKind.ENDS_AT_WINDOW)  # it got older and is there still, or older mail came
        ends_at = None
    held = {one.name for one in seen.mailboxes if one.exists} - run.emptied
    if sights and run.result.complete and held <= set(sights):
        ends_at = ends_at_window(sights.values(), now, days)
        if ends_at is not None:
            day = utc_date(ends_at).decode().strip()
            run.remarks.note(RemarkKind.ENDS_AT_WINDOW, number=ends_at, detail=day)
    if earlier and run.result.complete:
        await run.register.write("judged", lambda conn: first_sights.forget(conn, account_id))
    slipped_out = sum(run.remarks.now(RemarkKind.SLIPPED_OUT))
    run.result.evidence = replace(seen, ends_at=ends_at, slipped_out=slipped_out)


async def without_slipped(box: OpenMailbox, gone: Sequence[int], *, excused: int) -> list[int]:
    """Return of these vanished messages those whose copies may follow.

    The others went out of view: they are as old as the window, and nothing older is listed. What our own
    sessions saw deleted (`excused`), and what an administrator approved, follows. The target's mailbox is
    selected; it alone is asked.
    """
    run, book, days = box.run, box.book, _days(box.run)
    if not days or not gone or run.request.approved or len(gone) <= excused:
        run.remarks.over(RemarkKind.SLIPPED_OUT, book.source_name)
        return list(gone)
    now = await run.register.read("now", db_now)
    dates = await _dates(box, gone)
    known = run.remarks.known(RemarkKind.SLIPPED_OUT, book.source_name)
    earliest, latest = slipped(now, days, since=0.0 if known is None else known.age)
    hidden = {uid for uid, moment in dates.items() if earliest <= moment <= latest}
    if hidden:
        left = await _dates(box, sorted(book.source_uids() - set(gone)))
        if oldest_in_view(left.values(), beyond(now, days)) is None and left:
            hidden = set()
    if hidden:
        run.remarks.note(RemarkKind.SLIPPED_OUT, book.source_name, number=len(hidden))
    else:
        run.remarks.over(RemarkKind.SLIPPED_OUT, book.source_name)
    return [uid for uid in gone if uid not in hidden]


async def _dates(box: OpenMailbox, source_uids: Iterable[int]) -> dict[int, int]:
    """Return source UID to the second of arrival that its copy bears."""
    copies = {box.book.entry(uid).target_uid: uid for uid in source_uids}
    copies.pop(UNKNOWN_UID, None)
    found: dict[int, int] = {}

    def note(facts: MessageFacts) -> None:
        moment = instant(facts.internal_date)
        if moment is not None and facts.uid in copies:
            found[copies[facts.uid]] = moment

    if copies:
        with at_target():
            await box.target.fetch_facts(sorted(copies), note)
    return found
