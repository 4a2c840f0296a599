"""A sample of new copies, read back and compared with what was sent (hazards D9, D26).

What a target alters it alters again: the finding is remarked, and nothing is copied a second time for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailferry.copying.likeness import Likeness, likenesses
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.sides import at_target
from mailferry.copying.sources import ImapBodies
from mailferry.model.mail import MessageFacts
from mailferry.plan.arrival_date import instant
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.remarks import RemarkKind

LOOKED_INTO = 10
"""Altered copies of one mailbox and pass whose originals are read again, to tell what was altered."""
ODD_BEFORE, ODD_FROM = 1, (1 << 31) - 86400
"""Later dates Dovecot 2.3 keeps as the day on which it was asked; so do Cyrus and Courier the second 0."""
_DATE_OCTETS, _YEAR = len(b"17-Jul-1996 02:44:25 -0700"), slice(7, 11)
_USUAL_FROM, _USUAL_TO = b"1971", b"2036"


async def read_back(box: OpenMailbox, new: Sequence[MessageFacts]) -> None:
    """Read a sample of these messages' copies back, and of those of passes that ended before they got to it.

    The target's mailbox is selected. Not inside a freeze, where no body is fetched.
    """
    if box.run.request.last:
        return
    marks = list(box.book.marks([*(facts.uid for facts in new), *_left_over(box, new)]))
    sampled = chosen(marks, box.run.desk.limits.read_back)
    odd = {facts.uid for facts in new if _is_odd(facts.internal_date)}.intersection(uid for uid, _ in marks)
    if not sampled and not odd:
        return
    box.run.check()
    with at_target():
        await box.target.select(box.book.target_name)  # Courier shows new messages only then
    looked_at = odd | sampled
    dates = {
        facts.uid: moment
        for facts in new
        if facts.uid in looked_at and (moment := instant(facts.internal_date)) is not None
    }
    await _dates(box, [box.book.entry(uid) for uid in sorted(looked_at)], dates)
    await _octets(box, [box.book.entry(uid) for uid in sorted(sampled)])
    # what follows may fail, and the next pass does not read them once more
    await box.book.note(target_uidnext=box.book.uidnext_seen(), target_exists=None)


def _left_over(box: OpenMailbox, new: Sequence[MessageFacts]) -> list[int]:
    """Return the source UIDs of copies, beside those of `new`, that came since a pass over the mailbox got this far."""
    since = box.book.row.target_uidnext or 1
    if sum(uid >= since for uid in box.book.target_uids()) <= len(new):
        return []  # as usual
    these = {facts.uid for facts in new}
    return [
        entry.source_uid
        for entry in box.book.entries()
        if entry.target_uid >= since and entry.source_uid not in these
    ]


def chosen(marks: Sequence[tuple[int, int]], share: float) -> set[int]:
    """Return the sample's UIDs: as the digests fall, so that no kind of message escapes for ever; at least one of twenty."""
    bound = share * (1 << 32)
    sample = {uid for uid, mark in marks if mark < bound}
    if not sample and share > 0 and len(marks) >= 20:
        sample = {marks[0][0]}
    return sample


def _is_odd(internal_date: bytes) -> bool:
    """Whether a date is one that targets were seen to get wrong. The year alone speaks for nearly all."""
    if len(internal_date) == _DATE_OCTETS and _USUAL_FROM <= internal_date[_YEAR] <= _USUAL_TO:
        return False
    moment = instant(internal_date)
    return moment is not None and not ODD_BEFORE <= moment < ODD_FROM


async def _dates(box: OpenMailbox, copies: Sequence[LedgerEntry], dates: Mapping[int, int]) -> None:
    """Remark copies that bear another moment of arrival than their originals."""
    told: dict[int, int | None] = {}
    if copies:
        with at_target():
            await box.target.fetch_facts(
                [entry.target_uid for entry in copies],
                lambda facts: told.update({facts.uid: instant(facts.internal_date)}),
            )
    box.run.dates_lost(
        box.book.target_name,
        [
            entry.source_uid
            for entry in copies
            if entry.source_uid in dates and told.get(entry.target_uid) not in {None, dates[entry.source_uid]}
        ],
    )


async def _octets(box: OpenMailbox, sample: Sequence[LedgerEntry]) -> None:
    """Remark copies that have other octets than what was sent."""
    if not sample:
        return
    with at_target():
        found = await likenesses(ImapBodies(box.target), [entry.target_uid for entry in sample])
    altered = [
        entry
        for entry in sample
        if entry.target_uid in found and found[entry.target_uid].exact != entry.digest
    ]
    box.run.result.read_back += len(found)
    box.run.result.altered += len(altered)
    if altered:
        how = await _how(box, altered, found)
        box.run.remarks.note(
            RemarkKind.ALTERED, box.book.target_name, number=len(altered), detail=how, add=True
        )


async def _how(box: OpenMailbox, altered: Sequence[LedgerEntry], found: Mapping[int, Likeness]) -> str:
    """Say what the target does to messages, as far as it was seen before."""
    some = list(altered)[:LOOKED_INTO]
    originals = await likenesses(box.source, [entry.source_uid for entry in some])
    kinds: set[str] = set()
    for entry in some:
        here, there = originals.get(entry.source_uid), found[entry.target_uid]
        if here is None or here.exact != entry.digest:
            continue  # the source gives something else now
        if here.loose != there.loose:
            kinds.add("text")
        elif here.octets != there.octets:
            kinds.add("line ends")
        else:
            kinds.add("8-bit or NUL octets")
    return ", ".join(sorted(kinds)) or "unknown"
