"""Both hosts are worked with at the same time; what fails at one leaves nothing open at the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from mailferry.copying import pairs
from mailferry.copying.desk import Run
from mailferry.copying.pairs import Pairs
from mailferry.copying.preparing import MailboxJob, prepare
from mailferry.copying.results import Mode, PassRequest
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


@pytest.mark.parametrize(("messages", "opened"), [(1, 2), (6, 3), (30, 4)], ids=["little", "more", "much"])
async def test_a_third_pair_is_opened_only_for_much_that_is_to_come(
    lite: Database, monkeypatch: pytest.MonkeyPatch, messages: int, opened: int
) -> None:
    monkeypatch.setattr(pairs, "WORTH_A_PAIR", 30)
    async with lab(lite, protocols=frozenset({"imap"}), connections=4) as rig:
        boxes = [rig.old.inbox, *(rig.old.create(b"Box %d" % number) for number in range(6))]
        for number, box in enumerate(boxes * messages):
            box.add(b"Subject: %d\r\n\r\nbody\r\n" % number, internal_date=DATE)
        assert (await rig.run()).clean
        assert rig.unlike() == []
        for host in (rig.source, rig.target):
            assert len(host.premises.records) == opened


async def test_inbox_goes_first_and_then_what_has_most_to_copy(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"}), connections=1) as rig:
        sizes = {b"INBOX": 2, b"Few": 1, b"Many": 5, b"Some": 3}
        for name, messages in sizes.items():
            box = rig.old.inbox if name == b"INBOX" else rig.old.create(name)
            for number in range(messages):
                box.add(b"Subject: %d\r\n\r\nbody\r\n" % number, internal_date=DATE)
        run = Run(rig.desk, PassRequest(rig.account_id, Mode.MIRROR))
        opening, order = Pairs(run), list[bytes]()
        prepared = await prepare(run, pair := await opening.one())
        opening.rest(pair)
        for job in prepared.jobs:
            run.work(job.source_name).remaining = sizes.get(job.source_name, 0)

        async def step(_: object, job: MailboxJob) -> None:
            order.append(job.source_name)

        await opening.round(prepared.jobs, step)
        await opening.leave()
        assert order == [b"INBOX", b"Many", b"Some", b"Few"]


async def test_a_first_pass_asks_the_target_for_no_numbers_and_the_next_one_does(lite: Database) -> None:
    async with lab(lite, messages=3, protocols=frozenset({"imap"})) as rig:
        assert (await rig.run()).clean
        asked = [words for words in rig.commands(rig.target, "") if "STATUS" in words.upper()]
        assert asked == []
        assert (await rig.run()).clean
        assert any("STATUS" in words.upper() for words in rig.commands(rig.target, ""))
