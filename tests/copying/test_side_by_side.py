"""Both hosts are worked with at the same time; what fails at one leaves nothing open at the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from mailferry.copying.side_by_side import both
from mailferry.copying.sides import Endpoints, open_pair
from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.remote.imap_client import ImapClient
from mailferry.store.database import Database
from tests.copying.lab_rig import lab

DOWN = Unavailable(Cause.SERVER_DOWN, "nobody there")
WRONG = Refused(Cause.BAD_CREDENTIALS, "no")
DATE = datetime(2020, 1, 1, tzinfo=UTC)


class Session:
    """Stands for a client of which only the end counts."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


async def waiting(gate: Deferred[str]) -> str:
    return await gate


async def test_both_begin_at_once_and_both_results_come_back() -> None:
    one, two = Deferred[str](), Deferred[str]()
    running = ensureDeferred(both(waiting(one), waiting(two)))
    two.callback("two")
    assert not running.called
    one.callback("one")
    assert await running == ("one", "two")


async def test_what_the_first_raises_ends_the_second() -> None:
    ended: list[str] = []
    one, two = Deferred[str](), Deferred[str](lambda _: ended.append("two"))
    running = ensureDeferred(both(waiting(one), waiting(two)))
    one.errback(DOWN)
    with pytest.raises(Unavailable):
        await running
    assert ended == ["two"]


async def test_what_the_second_raises_is_raised_when_the_first_is_over() -> None:
    one, two = Deferred[str](), Deferred[str]()
    running = ensureDeferred(both(waiting(one), waiting(two)))
    two.errback(WRONG)
    assert not running.called
    one.callback("one")
    with pytest.raises(Refused):
        await running


async def test_a_cancelled_pair_of_works_cancels_both() -> None:
    ended: list[str] = []
    one = Deferred[str](lambda _: ended.append("one"))
    two = Deferred[str](lambda _: ended.append("two"))
    running = ensureDeferred(both(waiting(one), waiting(two)))
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert ended == ["one", "two"]


@pytest.mark.parametrize("broken", ["source", "target"])
async def test_a_pair_of_which_one_side_cannot_be_opened_leaves_no_session(broken: str) -> None:
    other = Session()

    async def opens() -> ImapClient:
        return cast("ImapClient", other)

    async def fails() -> ImapClient:
        raise DOWN

    source, target = (fails, opens) if broken == "source" else (opens, fails)
    with pytest.raises(Unavailable) as raised:
        await open_pair(Endpoints(target_imap=target, source_imap=source))
    assert other.closed
    assert raised.value.cause is (Cause.SERVER_DOWN if broken == "source" else Cause.TARGET_DOWN)


@pytest.mark.parametrize(("quirks", "pairs"), [((), 2), (("no_multiappend",), 4)], ids=["batches", "single"])
async def test_more_pairs_copy_to_a_target_that_takes_one_message_at_a_time(
    lite: Database, quirks: tuple[str, ...], pairs: int
) -> None:
    imap = frozenset({"imap"})
    async with lab(lite, new=quirks, protocols=imap, connections=2, connections_one_by_one=4) as rig:
        boxes = [rig.old.inbox, *(rig.old.create(b"Box %d" % number) for number in range(6))]
        for box in boxes:
            box.add(b"Subject: one\r\n\r\nbody\r\n", internal_date=DATE)
        assert (await rig.run()).clean
        assert rig.unlike() == []
        for host in (rig.source, rig.target):
            assert len(host.premises.records) == pairs
