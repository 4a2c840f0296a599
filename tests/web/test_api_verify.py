"""Comparisons over the API: begun by one request, asked about by others, bounded, and ended with their process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.roster.lookup import no_such_account
from mailferry.store.database import Database
from mailferry.web import comparisons
from mailferry.web.api.verifications import Verification
from mailferry.web.comparisons import DIFFERENCES_TOLD, KEPT_SECONDS, Comparisons
from mailferry.web.old_hosts import OldHosts
from mailferry.web.site import make_site
from tests.web.accounts import USER, add_account, add_domain
from tests.web.conftest import MakeDesk
from tests.web.program import API, Program, make_token, problem_of

NAMES = ("messages", "bodies_compared", "skipped", "target_only", "gone", "unlocated")
WELL = {"equal": True, **dict.fromkeys(NAMES, 3), "faults": {}}
DEADLINE = 30.0
OTHERS = [f"u{number}@old.test" for number in range(4)]


class Hosts:
    """Stands for the hosts: each comparison is held until a test ends it, or `answer` does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.tells: list[Callable[[dict[str, Any]], None]] = []
        self.watches: list[Callable[[Callable[[], dict[str, Any]]], None]] = []
        self.held: dict[str, Deferred[Any]] = {}
        self.left: list[str] = []
        self.answer: Callable[[], Deferred[Any]] | None = None

    def verify(self, address: str, share: float, tell: Any, watch: Any) -> Deferred[Any]:
        self.asked.append((address, share))
        self.tells.append(tell)
        self.watches.append(watch)
        if self.answer is not None:
            return self.answer()
        self.held[address] = Deferred(lambda _cancelled: self.left.append(address))
        return self.held[address]


class Asker:
    """A program in one loop with the comparisons; each request lets them go on."""

    def __init__(self, site: FastAPI, store: Database) -> None:
        self._program = Program(site, make_token(store))

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(asyncio.wait_for(scenario(), DEADLINE))

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        return await self._program.request(method, path, **more)

    async def begin(self, address: str = USER, **body: Any) -> dict[str, Any]:
        answer = await self.ask("POST", f"/accounts/{address}/verify", **({"json": body} if body else {}))
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        assert answer.headers["location"] == f"{API}/accounts/{address}/verifications/{found['id']}"
        assert int(answer.headers["retry-after"]) > 0
        return found

    async def look(self, begun: dict[str, Any]) -> dict[str, Any]:
        answer = await self.ask("GET", f"/accounts/{begun['address']}/verifications/{begun['id']}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        Verification.model_validate(found)
        assert set(found) == set(Verification.model_fields)
        return found

    async def ended(self, begun: dict[str, Any]) -> dict[str, Any]:
        """Ask until it has ended."""
        while True:
            found = await self.look(begun)
            if found["state"] not in {"waiting", "running"}:
                return found


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def since_boot() -> Clock:
    return Clock()


@pytest.fixture
def known(since_boot: Clock) -> Comparisons:
    return Comparisons(seconds=since_boot.seconds)


@pytest.fixture
def asker(make_desk: MakeDesk, store: Database, hosts: Hosts, known: Comparisons) -> Iterator[Asker]:
    async def on_reactor(work: Callable[[], Deferred[Any]]) -> Any:
        return await work().asFuture(asyncio.get_running_loop())

    add_domain(store)
    add_account(store, USER, total=40)
    for address in OTHERS:
        add_account(store, address)
    nobody: Any = None
    old_hosts = OldHosts(nobody, nobody, nobody, hosts.verify)
    desk = make_desk(old_hosts=old_hosts, on_reactor=on_reactor, comparisons=known)
    yield Asker(make_site(desk, doors=()), store)
    assert not any(one.going for one in known._known.values()), "a test leaves nothing going"


def test_it_is_begun_at_once_and_asked_about_until_it_is_done(asker: Asker, hosts: Hosts) -> None:
    async def scenario() -> None:
        begun = await asker.begin(sample_percent=7)
        assert (begun["state"], begun["result"], begun["problem"]) == ("running", None, None)
        while not hosts.asked:
            assert (await asker.look(begun))["state"] == "running"
        assert hosts.asked == [(USER, pytest.approx(0.07))]
        hosts.watches[0](lambda: {**WELL, "messages": 12, "faults": {"not_copied": 2}})
        assert (await asker.look(begun))["progress"] == {
            "expected": 40,
            "messages": 12,
            "bodies_compared": 3,
            "differences": 2,
        }
        for uid in range(DIFFERENCES_TOLD + 5):
            hosts.tells[0]({"mailbox": "INBOX", "uid": uid, "fault": "not_copied", "detail": ""})
        sums = {**WELL, "equal": False, "faults": {"not_copied": 1005, "mailbox_gone_at_source": 1}}
        hosts.held[USER].callback(sums)
        found = await asker.ended(begun)
        assert (found["state"], found["problem"], found["sample_percent"]) == ("done", None, 7)
        assert found["progress"]["differences"] == 1005, "a note is no difference"
        assert found["result"]["faults"] == sums["faults"]
        assert len(found["result"]["differences"]) == DIFFERENCES_TOLD
        assert found["ended_at"] >= found["began_at"] >= found["asked_at"]

    asker.run(scenario)


def test_an_account_has_one_at_a_time_however_often_it_is_asked_for(asker: Asker, hosts: Hosts) -> None:
    async def scenario() -> None:
        first = await asker.begin()
        assert (await asker.begin())["id"] == first["id"]
        other = await asker.ask("POST", f"/accounts/{USER}/verify", json={"sample_percent": 5})
        assert "sample_percent" in problem_of(other)["detail"]
        assert other.status_code == 409
        while USER not in hosts.held:
            await asker.look(first)
        hosts.held.pop(USER).callback(WELL)
        await asker.ended(first)
        hosts.answer = lambda: succeed(WELL)
        second = await asker.begin(sample_percent=5)
        assert second["id"] != first["id"]
        await asker.ended(second)
        assert hosts.asked == [(USER, 1.0), (USER, 0.05)]
        assert (await asker.look(first))["state"] == "done"

    asker.run(scenario)


@pytest.mark.parametrize(
    ("failure", "status", "detail"),
    [
        (Refused(Cause.BAD_CREDENTIALS, text="NO wrong password"), 409, "NO wrong password"),
        (Unavailable(Cause.SERVER_DOWN), 503, "server_down"),
        (no_such_account(USER), 404, "there is no account"),
        (KeyError("inside"), 500, "the log of the service says what"),
    ],
    ids=["refused", "unavailable", "removed meanwhile", "broken"],
)
def test_what_ends_it_is_a_problem_and_another_may_be_begun(
    asker: Asker, hosts: Hosts, failure: Exception, status: int, detail: str
) -> None:
    async def scenario() -> None:
        hosts.answer = lambda: fail(failure)
        found = await asker.ended(await asker.begin())
        assert (found["state"], found["result"]) == ("failed", None)
        assert found["problem"]["status"] == status
        assert detail in found["problem"]["detail"]
        hosts.answer = lambda: succeed(WELL)
        assert (await asker.ended(await asker.begin()))["result"]["equal"] is True

    asker.run(scenario)


@pytest.mark.hazard("T40")
def test_few_run_some_wait_and_more_are_told_to_come_later(
    asker: Asker, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "MOST_WAITING", 1)

    async def scenario() -> None:
        begun = [await asker.begin(address) for address in OTHERS[:3]]
        assert [one["state"] for one in begun] == ["running", "running", "waiting"]
        full = await asker.ask("POST", f"/accounts/{OTHERS[3]}/verify")
        assert (problem_of(full)["status"], int(full.headers["retry-after"]) > 0) == (503, True)
        while len(hosts.held) < 2:
            await asker.look(begun[0])
        assert [address for address, _ in hosts.asked] == OTHERS[:2]
        hosts.held[OTHERS[0]].callback(WELL)
        await asker.ended(begun[0])
        while len(hosts.held) < 3:
            assert (await asker.look(begun[2]))["state"] == "running"
        for address in OTHERS[1:3]:
            hosts.held[address].callback(WELL)
        assert [(await asker.ended(one))["state"] for one in begun] == ["done"] * 3

    asker.run(scenario)


@pytest.mark.hazard("T40")
def test_it_ends_in_time_and_leaves_its_hosts(
    asker: Asker, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "LONGEST_SECONDS", 0.05)

    async def scenario() -> None:
        found = await asker.ended(await asker.begin())
        assert (found["state"], found["problem"]["status"]) == ("failed", 409)
        assert "smaller sample_percent" in found["problem"]["detail"]
        assert hosts.left == [USER]

    asker.run(scenario)


def test_one_is_broken_off_by_a_request_whether_it_runs_or_waits(asker: Asker, hosts: Hosts) -> None:
    async def scenario() -> None:
        begun = [await asker.begin(address) for address in OTHERS[:3]]
        while len(hosts.held) < 2:
            await asker.look(begun[0])
        for one in reversed(begun):
            path = f"/accounts/{one['address']}/verifications/{one['id']}"
            assert (await asker.ask("DELETE", path)).status_code == 200
            found = await asker.ended(one)
            assert (found["state"], found["problem"]["detail"]) == (
                "failed",
                "it was broken off by a request",
            )
            assert (await asker.ask("DELETE", path)).json() == found
        assert sorted(hosts.left) == OTHERS[:2]

    asker.run(scenario)


def test_the_end_of_the_process_ends_all_and_says_so(asker: Asker, hosts: Hosts, known: Comparisons) -> None:
    async def scenario() -> None:
        begun = [await asker.begin(address) for address in OTHERS[:3]]
        while len(hosts.held) < 2:
            await asker.look(begun[0])
        still = known.stop()
        assert len(still) == 2
        await asyncio.wait(still)
        for one in begun:
            found = await asker.look(one)
            assert (found["state"], found["problem"]["status"]) == ("failed", 503)
            assert "process that compared ended" in found["problem"]["detail"]
        assert hosts.left == OTHERS[:2]
        late = await asker.ask("POST", f"/accounts/{USER}/verify")
        assert (problem_of(late)["status"], "about to end" in late.text) == (503, True)

    asker.run(scenario)


def test_an_end_is_remembered_for_an_hour_and_so_many_at_most(
    asker: Asker, hosts: Hosts, since_boot: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "MOST_KEPT", 2)
    hosts.answer = lambda: succeed(WELL)

    async def scenario() -> None:
        begun = []
        for address in OTHERS[:3]:
            begun.append(await asker.begin(address))
            await asker.ended(begun[-1])
            since_boot.advance(1)
        statuses = [await status_of(one) for one in begun]
        assert statuses == [404, 200, 200]
        since_boot.advance(KEPT_SECONDS - 1.5)
        assert [await status_of(one) for one in begun] == [404, 404, 200]

    async def status_of(one: dict[str, Any]) -> int:
        answer = await asker.ask("GET", f"/accounts/{one['address']}/verifications/{one['id']}")
        return int(answer.status_code)

    asker.run(scenario)


@pytest.mark.hazard("T38")
def test_what_is_not_known_here_is_said_to_be_so(asker: Asker, hosts: Hosts) -> None:
    """As after a restart, or at another machine: never another account's comparison."""
    hosts.answer = lambda: succeed(WELL)

    async def scenario() -> None:
        begun = await asker.begin()
        await asker.ended(begun)
        for path in (
            f"/accounts/{USER}/verifications/{begun['id'] % 1000 + 1}",
            f"/accounts/{OTHERS[0]}/verifications/{begun['id']}",
        ):
            assert "begin it again" in problem_of(await asker.ask("GET", path))["detail"]
            assert (await asker.ask("DELETE", path)).status_code == 404
        missing = await asker.ask("POST", "/accounts/nobody@old.test/verify")
        assert problem_of(missing)["status"] == 404
        for wrong in (0, 101, "x"):
            answer = await asker.ask("POST", f"/accounts/{USER}/verify", json={"sample_percent": wrong})
            assert problem_of(answer)["status"] == 422

    asker.run(scenario)


def test_two_processes_draw_other_numbers() -> None:
    assert len({one._number() for one in (Comparisons(), Comparisons()) for _ in range(50)}) == 100
