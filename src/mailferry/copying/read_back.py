"""A sample of new copies, read back and compared with what was sent (hazards D9, D26).

What a target alters it alters again: the finding is remarked, and nothing is copied a second time for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailferry.copying.learning import UNKNOWN_UID
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
ODD_BEFORE, ODD_FROM = 0, (1 << 31) - 86400
"""Dates outside of this Dovecot 2.3 keeps as the day on which it was asked."""


async def read_back(box: OpenMailbox, new: Sequence[MessageFacts]) -> None:
    """Read a sample of these messages' copies back; the target's mailbox is selected.

    Not inside a freeze, where no body is fetched.
    """
    if box.run.request.last:
        return
    copies = [box.book.entry(facts.uid) for facts in new if box.book.has(facts.uid)]
    copies = [entry for entry in copies if entry.target_uid != UNKNOWN_UID]
    sample = chosen(copies, box.run.desk.limits.read_back)
    dates = {facts.uid: moment for facts in new if (moment := instant(facts.internal_date)) is not None}
    odd = {uid for uid, moment in dates.items() if not ODD_BEFORE <= moment < ODD_FROM}
    sampled = {entry.source_uid for entry in sample}
    if sample or odd:
        box.run.check()
        with at_target():
            await box.target.select(box.book.target_name)  # Courier shows new messages only then
        await _dates(box, [one for one in copies if one.source_uid in odd | sampled], dates)
        await _octets(box, sample)


def chosen(entries: Sequence[LedgerEntry], share: float) -> list[LedgerEntry]:
    """Return the sample: as the digests fall, so that no kind of message escapes for ever; at least one of twenty."""
    bound = share * (1 << 32)
    sample = [entry for entry in entries if int.from_bytes(entry.digest[:4]) < bound]
    if not sample and share > 0 and len(entries) >= 20:
        sample = [entries[0]]
    return sample


async def _dates(box: OpenMailbox, copies: Sequence[LedgerEntry], dates: Mapping[int, int]) -> None:
    """Remark copies that bear another moment of arrival than their originals."""
    told: dict[int, int | None] = {}
    if copies:
        with at_target():
            await box.target.fetch_facts(
                [entry.target_uid for entry in copies],
                lambda facts: told.update({facts.uid: instant(facts.internal_date)}),
            )
    other = [
        entry
        for entry in copies
        if entry.source_uid in dates and told.get(entry.target_uid) not in {None, dates[entry.source_uid]}
    ]
    if other:
        box.run.remarks.note(RemarkKind.DATE, box.book.target_name, number=len(other), add=True)


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
