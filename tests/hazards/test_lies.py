"""Sources that name wrong sizes and counts, or hide mail for a while: the octets count, and omission is not absence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest
from mailferry.lab import imap_fetch, pop3_host
from mailferry.lab.imap_view import View
from mailferry.plan.completeness import Doubt, Grade
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.kit import hostile_mail

pytestmark = pytest.mark.deadline(60)

SIZE_LIES: dict[str, Callable[[int], int]] = {
    "nothing": lambda _: 0,
    "one octet": lambda _: 1,
    "29 too few": lambda size: max(size - 29, 0),
    "29 too many": lambda size: size + 29,
    "line feeds alone counted": lambda size: size - size // 40,
    "half": lambda size: size // 2,
    "ten times": lambda size: 10 * size + 5000,
    "4 GB": lambda _: 4_294_967_295,
}
LONG_AGO = hostile_mail.MOMENTS[1]
BODIES = [b"Subject: %d\r\n\r\n%s\r\n" % (n, b"text and more text " * (n * n)) for n in range(1, 13)]


def fill(rig: LabRig) -> None:
    for number, octets in enumerate(BODIES):
        rig.old.deliver(octets, internal_date=hostile_mail.when(number))


async def both_passes(rig: LabRig) -> None:
    """A first pass copies everything, a second one nothing; both sides are alike by the lab's word."""
    first = await rig.run()
    assert (first.copied, first.skipped, first.clean) == (len(BODIES), 0, True), first.failures
    assert first.completeness.grade is Grade.GOOD
    again = await rig.run()
    assert (again.copied, again.deleted, again.doubled, again.clean) == (0, 0, 0, True)


def lie_about_sizes(monkeypatch: pytest.MonkeyPatch, lie: Callable[[int], int]) -> None:
    """Let RFC822.SIZE of the source be a lie; the target tells the truth."""
    value = imap_fetch._value

    def told(session: Any, message: Any, item: bytes) -> bytes:
        if item == b"RFC822.SIZE" and session.premises.name == "old":
            return b"RFC822.SIZE %d" % lie(len(message.octets))
        return value(session, message, item)

    monkeypatch.setattr(imap_fetch, "_value", told)


@pytest.mark.hazard("D5")
@pytest.mark.parametrize("more", [set(), {"no_uidplus", "no_multiappend"}], ids=["", "bare target"])
@pytest.mark.parametrize("lie", SIZE_LIES)
async def test_whatever_imap_calls_the_sizes_each_message_arrives_whole_and_once(
    lite: Database, monkeypatch: pytest.MonkeyPatch, lie: str, more: set[str]
) -> None:
    lie_about_sizes(monkeypatch, SIZE_LIES[lie])
    async with lab(lite, new=more, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await both_passes(rig)
        assert rig.unlike() == []


@pytest.mark.hazard("D5")
@pytest.mark.parametrize("told", [b"RFC822.SIZE NIL", b"X-NOTHING NIL"])
@pytest.mark.parametrize("more", [set(), {"no_uidplus", "no_multiappend"}], ids=["", "bare target"])
async def test_without_any_size_each_message_arrives_whole_and_once(
    lite: Database, monkeypatch: pytest.MonkeyPatch, told: bytes, more: set[str]
) -> None:
    value = imap_fetch._value

    def silent(session: Any, message: Any, item: bytes) -> bytes:
        if item == b"RFC822.SIZE" and session.premises.name == "old":
            return told
        return value(session, message, item)

    monkeypatch.setattr(imap_fetch, "_value", silent)
    async with lab(lite, new=more, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await both_passes(rig)
        assert rig.unlike() == []


@pytest.mark.hazard("D5")
@pytest.mark.hazard("D11")
async def test_the_literal_and_not_the_size_decides_what_is_too_big(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {len(BODIES[0]): 10_000_000, len(BODIES[-1]): 10}
    lie_about_sizes(monkeypatch, lambda size: sizes.get(size, size + 7))
    async with lab(lite, new={"append_limit"}, protocols=frozenset({"imap"})) as rig:
        rig.target.premises.append_limit = len(BODIES[-1]) - 1
        fill(rig)
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (len(BODIES) - 1, 1, True)
        assert rig.skips() == [(b"INBOX", len(BODIES), "too_big")]


@pytest.mark.hazard("D5")
@pytest.mark.parametrize("lie", SIZE_LIES)
async def test_whatever_pop3_calls_the_sizes_each_message_arrives_whole_and_once(
    lite: Database, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    faces = next(kind for kind in vars(pop3_host).values() if hasattr(kind, "_size"))
    monkeypatch.setattr(faces, "_size", lambda _, message: SIZE_LIES[lie](len(message.octets)))
    async with lab(lite, protocols=frozenset({"pop3"})) as rig:
        fill(rig)
        await both_passes(rig)
        there = [message.octets for message in rig.new.inbox.messages.values()]
        assert sorted(there) == sorted(BODIES)


# --- counts


class Omits:
    """FETCH at the source leaves these UIDs of INBOX out, whatever EXISTS says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uids: set[int] = set()
        chosen = View.chosen

        def fewer(view: View, octets: bytes, **more: Any) -> list[int]:
            found = chosen(view, octets, **more)
            if view.mailbox.uidvalidity >= 9000:  # the target's
                return found
            return [index for index in found if view.rows[index].uid not in self.uids]

        monkeypatch.setattr(View, "chosen", fewer)


@pytest.fixture
def omits(monkeypatch: pytest.MonkeyPatch) -> Omits:
    return Omits(monkeypatch)


def thousand(rig: LabRig) -> None:
    for number in range(1000):
        rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))


@pytest.mark.hazard("D3")
@pytest.mark.hazard("D25")
async def test_a_source_that_says_1000_and_lists_900_is_not_believed_and_the_difference_is_named(
    lite: Database, omits: Omits
) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        thousand(rig)
        omits.uids = set(range(5, 1000, 10))
        for copied in (900, 0):
            result = await rig.run()
            assert (result.copied, result.skipped) == (copied, 0)
            assert result.completeness.grade is Grade.POOR
            assert result.completeness.doubts == (Doubt.EXISTS_NOT_DELIVERED,)
            assert result.completeness.details == ("INBOX: 1000 messages announced, 900 listed",)
        omits.uids.clear()
        result = await rig.run()
        assert (result.copied, result.completeness.grade, result.clean) == (100, Grade.GOOD, True)
        assert rig.unlike() == []


@pytest.mark.hazard("D3")
@pytest.mark.hazard("D17")
async def test_what_a_listing_leaves_out_though_the_source_counts_it_is_not_deleted(
    lite: Database, omits: Omits
) -> None:
    """A tenth: fewer than the brake would hold."""
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        thousand(rig)
        assert (await rig.run()).copied == 1000
        omits.uids = set(range(5, 1000, 10))
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n")
        result = await rig.run()
        assert (result.copied, result.deleted, len(rig.new.inbox.messages)) == (1, 0, 1001)
        assert result.completeness.grade is Grade.POOR
        omits.uids.clear()
        rig.old.inbox.remove([7, 8])
        result = await rig.run()
        assert (result.copied, result.deleted, result.completeness.grade) == (0, 2, Grade.GOOD)
        assert rig.unlike() == []


# --- mail that a source hides for a while


@pytest.mark.hazard("D25")
@pytest.mark.parametrize(
    "protocols", [{"imap", "pop3"}, {"imap"}, {"pop3"}], ids=lambda protocols: " ".join(sorted(protocols))
)
async def test_a_window_of_30_days_that_is_widened_in_the_middle_of_a_pass_costs_and_doubles_nothing(
    lite: Database, protocols: set[str]
) -> None:
    async with lab(
        lite,
        old={"window_30d"},
        protocols=frozenset(protocols),
        batch_messages=4,
        batch_octets=2000,
        connections=1,
    ) as rig:
        for number in range(60):
            date = {} if number % 3 else {"internal_date": LONG_AGO}
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * 500), **date)
        steps = 0

        def widen(_: object) -> None:
            nonlocal steps
            steps += 1
            if steps == 4:
                rig.source.premises.quirks.discard("window_30d")

        first = await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), widen)
        assert steps >= 4
        assert 0 < first.copied <= 60
        second = await rig.run()
        assert first.copied + second.copied == 60
        assert (second.deleted, second.clean, second.completeness.grade) == (0, True, Grade.GOOD)
        assert (await rig.run()).copied == 0
        there = sorted(message.octets for message in rig.new.inbox.messages.values())
        assert there == sorted(message.octets for message in rig.old.inbox.messages.values())


@pytest.mark.hazard("D25")
async def test_a_window_that_narrows_again_deletes_nothing_that_was_copied(lite: Database) -> None:
    """Recent mail stays in view, so that the mailbox is not suddenly empty."""
    async with lab(lite) as rig:
        for number in range(40):
            date = {} if number % 2 else {"internal_date": LONG_AGO}
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number), **date)
        assert (await rig.run()).copied == 40
        rig.source.premises.quirks.add("window_30d")
        narrow = await rig.run()
        assert (narrow.deleted, narrow.held_deletions, len(rig.new.inbox.messages)) == (0, 20, 40)
        rig.source.premises.quirks.discard("window_30d")
        wide = await rig.run()
        assert (wide.copied, wide.deleted, wide.held) == (0, 0, {})
        assert rig.unlike() == []


@pytest.mark.hazard("D25")
async def test_bodies_that_the_source_gives_later_are_copied_then_and_the_doubt_is_over(
    lite: Database,
) -> None:
    async with lab(lite, old={"header_only"}, protocols=frozenset({"imap"})) as rig:
        for number in range(6):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"body " * 1000))
        result = await rig.run()
        assert (result.copied, result.skipped, result.completeness.grade) == (0, 6, Grade.POOR)
        rig.source.premises.quirks.discard("header_only")
        assert (await rig.run()).completeness.grade is Grade.POOR, "not tried again yet"
        rig.let_skips_be_due()
        result = await rig.run()
        assert (result.copied, result.known_skips, result.clean) == (6, 0, True)
        assert rig.skips() == []
        assert (await rig.run()).completeness.grade is Grade.GOOD
        assert rig.unlike() == []
