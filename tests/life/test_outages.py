"""Hosts, copiers and stores that are away for a while: who waits, who goes on, and how soon."""

from __future__ import annotations

import pytest

from mailferry.gate.admission import Rejected
from mailferry.lab import append_quirks
from mailferry.lab.imap_session import ImapSession, No
from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase, State
from mailferry.model.causes import Answer, Cause
from mailferry.store import leases, nodes
from mailferry.store.leases import LeasedAccount
from tests.kit.clocked import WorldTime
from tests.kit.fault_relay import Fault, Kind
from tests.kit.move import OLD, OTHER, USER
from tests.kit.scripted import hang_up
from tests.life.conftest import Service
from tests.life.steps import HOUR, MINUTE, fill, letter, logged_in_once, source_logins, switched

pytestmark = pytest.mark.deadline(60)


@pytest.mark.hazard("D20")
@pytest.mark.parametrize("down_for", [10 * MINUTE, HOUR + 10 * MINUTE])
async def test_a_copy_goes_on_within_a_minute_of_its_sources_return(
    service: Service, time: WorldTime, down_for: float
) -> None:
    move = await service()
    fill(move)
    await logged_in_once(move)
    await move.source.stop()
    await move.copy()
    await time.advance(down_for, step=30)
    if down_for > HOUR:
        await time.until(lambda: move.known().state is State.FAILED, within=2)
    assert move.known().state is (State.FAILED if down_for > HOUR else State.IN_PROGRESS)
    assert move.known().cause is Cause.SERVER_DOWN
    assert (await move.rejected()).answer is Answer.TEMPORARY
    await move.source.start()
    await time.until(lambda: not move.unlike(), within=MINUTE)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=MINUTE)


async def test_a_copy_goes_on_within_a_minute_of_its_targets_return(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    await logged_in_once(move)
    await move.target.stop()
    await move.copy()
    await time.advance(HOUR + 10 * MINUTE, step=30)
    await time.until(lambda: move.known().state is State.FAILED, within=2)
    program = await move.program()
    await move.target.start()
    await time.until(lambda: not move.unlike(), within=MINUTE)
    assert move.phase() is Phase.PRECOPY
    await hang_up(program)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=MINUTE)


@pytest.mark.hazard("D21")
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET, Kind.STALL])
async def test_a_target_that_goes_in_the_middle_of_the_copy_for_an_hour_gets_each_message_once(
    service: Service, time: WorldTime, kind: Kind
) -> None:
    move = await service(target_relayed=True, copy={"batch_messages": 4})
    for number in range(40):
        letter(move.source, f"{number // 2} " + "long" * 200)
    await logged_in_once(move)
    assert move.target_relay is not None
    move.target_relay.faults.append(Fault(kind, "to_server", 20_000))
    await move.copy()
    await time.until(lambda: move.target_relay.struck, within=5)
    there = move.target.mailstore(USER).inbox.messages
    assert 0 < len(there) < 40, "it went in the middle"
    gone = Fault(Kind.CUT if kind is Kind.CUT else Kind.RESET, "to_client", 0)
    move.target_relay.faults[:] = [gone]
    await time.advance(HOUR + 10 * MINUTE, step=3 * MINUTE)
    assert (move.known().cause, move.known().state) == (Cause.TARGET_DOWN, State.FAILED)
    letter(move.source, "arrived meanwhile")
    served = await move.admitted()
    assert served.side is Side.SOURCE
    await move.logout(served)
    move.target_relay.faults.clear()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)
    assert not move.unlike()
    assert len(there) == 41


@pytest.mark.hazard("D21")
@pytest.mark.parametrize("protocol", list(Protocol), ids=str)
async def test_a_target_that_goes_behind_the_flip_is_never_replaced_by_the_source(
    service: Service, time: WorldTime, protocol: Protocol
) -> None:
    """What a session wrote to the source then, nobody would find again."""
    move = await service()
    await switched(move)
    before = source_logins(move)
    await move.target.stop()
    for password in (OLD, OTHER):
        turned_away = await move.rejected(password, protocol=protocol)
        assert turned_away.answer is Answer.TEMPORARY
    assert source_logins(move) == before
    await move.target.start()
    served = await move.admitted(protocol=protocol)
    assert served.side is Side.TARGET
    await move.logout(served)


@pytest.mark.hazard("D21")
@pytest.mark.parametrize(
    "words",
    [
        b"NO [UNAVAILABLE] Temporary failure",
        pytest.param(b"NO [SERVERBUG] Internal error occurred", marks=pytest.mark.slow),
    ],
    ids=["unavailable", "an error of its own"],
)
async def test_a_target_that_refuses_all_mail_for_hours_gets_each_message_once_when_it_takes_some(
    service: Service, time: WorldTime, monkeypatch: pytest.MonkeyPatch, words: bytes
) -> None:
    move = await service()
    fill(move)
    refuses = True
    status, _, text = words.partition(b" ")

    def check(session: ImapSession, octets: bytes) -> None:
        if refuses and session.premises is move.target.premises:
            raise No(text.decode(), status)

    monkeypatch.setattr(append_quirks, "check", check)
    await logged_in_once(move)
    await move.copy()
    for _ in range(4):
        await time.advance(HOUR, step=3 * MINUTE)
        assert move.phase() in {Phase.PRECOPY, Phase.BLOCKED}
        served = await move.admitted()
        assert served.side is Side.SOURCE
        await move.logout(served)
    assert move.known().cause is not None, "somebody can see why it waits"
    refuses = False
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=8 * HOUR, step=MINUTE)
    assert not move.unlike()


async def test_the_work_of_a_copier_that_fell_silent_is_taken_over_when_its_lease_has_run_out(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    await logged_in_once(move)

    def silent(conn: object) -> list[LeasedAccount]:
        node = nodes.register(conn, "copier", "elsewhere", "boot", 1)  # type: ignore[arg-type]
        return list(leases.take(conn, node, limit=1, lease_seconds=60.0))  # type: ignore[arg-type]

    (leased,) = move.database.run_now("another copier", silent)
    await move.copy()
    await time.advance(59)
    assert move.unlike()
    await time.until(lambda: not move.unlike(), within=2)
    assert move.known().lease_number > leased.lease.number


async def test_a_lease_is_kept_fresh_while_a_source_is_slow(service: Service, time: WorldTime) -> None:
    move = await service(relayed=True)
    fill(move)
    await logged_in_once(move)
    move.stall_the_source()
    asked = source_logins(move)
    await move.copy()
    await time.advance(29)
    assert source_logins(move) == asked + 1, "one copier waits for its answer"
    lease = move.known()
    assert lease.lease_until is not None
    assert lease.lease_until >= time.now() + 30
    await time.until(lambda: move.known().cause is Cause.SERVER_DOWN, within=2)


@pytest.mark.hazard("D18")
async def test_who_cannot_reach_the_store_for_a_minute_ends_its_sessions_at_the_source(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    program = await move.program()
    store = move.database.place.sqlite_path
    assert store is not None
    away = store.with_suffix(".away")
    for database in (move.parts.database, move.database):
        database.close()
    store.rename(away)
    try:
        await time.advance(55)
        assert program.lost is None
        waiting = await move.login()
        assert isinstance(waiting, Rejected)
        assert waiting.answer is Answer.TEMPORARY
        await time.advance(20)
        await move.done(program.expect(b"* BYE"), within=1)
        await program.gone()
    finally:
        away.rename(store)
    await time.advance(20)
    await logged_in_once(move)


async def test_a_store_that_was_away_for_less_than_a_minute_ends_no_session(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    program = await move.program()
    store = move.database.place.sqlite_path
    assert store is not None
    away = store.with_suffix(".away")
    for database in (move.parts.database, move.database):
        database.close()
    store.rename(away)
    await time.advance(45)
    away.rename(store)
    await time.advance(5 * MINUTE)
    program.send(b"a NOOP\r\n")
    await program.expect(b"a OK")
    await hang_up(program)
