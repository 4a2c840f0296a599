"""Sessions and the freeze that waits for them: held, moved, drained, frozen, flipped, set back."""

from __future__ import annotations

import threading

import pytest

from mailferry.model.access import Protocol, Side
from mailferry.model.account import Event, Phase
from mailferry.store import cutovers, nodes, sessions
from mailferry.store.database import Database
from mailferry.store.faults import Conflict, Held, Moved, NodeVoid, NotAllowed, StillOpen
from tests.kit.stores import OpenStore
from tests.store.rows import apply, node, now_of, open_session, precopy


def drain(store: Database, account, until: float):
    return store.run_now("drain", lambda conn: cutovers.start_drain(conn, account.id, account.epoch, until))


def freeze(store: Database, account, deadline: float, **more):
    return store.run_now(
        "freeze", lambda conn: cutovers.freeze(conn, account.id, account.epoch, deadline, **more)
    )


def close(store: Database, session_id: int) -> None:
    store.run_now("close", lambda conn: sessions.close_session(conn, session_id))


def test_a_session_is_a_row_until_it_is_closed(store: Database) -> None:
    account, here = precopy(store), node(store)
    first = open_session(store, account, here)
    second = open_session(store, account, here, protocol=Protocol.POP3)
    rows = store.read_now("rows", lambda conn: sessions.of_account(conn, account.id))
    assert [(row.id, row.protocol, row.side, row.resting) for row in rows] == [
        (first, Protocol.IMAP, Side.SOURCE, False),
        (second, Protocol.POP3, Side.SOURCE, False),
    ]
    assert now_of(store, account).used_pop3
    assert store.read_now("counts", sessions.counts) == {
        (Protocol.IMAP, Side.SOURCE): 1,
        (Protocol.POP3, Side.SOURCE): 1,
    }
    close(store, first)
    close(store, first)
    assert len(store.read_now("rows", lambda conn: sessions.of_account(conn, account.id))) == 1


def test_a_session_that_decided_by_an_old_phase_is_told_so(store: Database) -> None:
    account, here = precopy(store), node(store)
    apply(store, account, Event.EARLY_SWITCH)
    with pytest.raises(Moved) as told:
        open_session(store, account, here)
    assert (told.value.phase, told.value.epoch) == (Phase.BACKFILL, account.epoch + 1)


def test_nothing_opens_while_the_account_is_drained_or_frozen(store: Database) -> None:
    account, here = precopy(store), node(store)
    drain(store, account, until=100.0)
    with pytest.raises(Held) as held:
        open_session(store, account, here, now=90.0)
    assert (held.value.until, held.value.wait) == (100.0, 10.0)
    frozen = freeze(store, account, 130.0, now=95.0)
    for seen in (account, frozen):
        with pytest.raises(Held) as held:
            open_session(store, seen, here, now=120.0)
        assert held.value.wait == 10.0


def test_a_drain_that_is_over_or_dropped_holds_nobody(store: Database) -> None:
    account, here = precopy(store), node(store)
    drain(store, account, until=100.0)
    open_session(store, account, here, now=101.0)
    drain(store, account, until=200.0)
    store.run_now("end", lambda conn: cutovers.end_drain(conn, account.id))
    open_session(store, account, here, now=150.0)


def test_a_freeze_waits_for_the_last_session(store: Database) -> None:
    account, here = precopy(store), node(store)
    session = open_session(store, account, here)
    with pytest.raises(StillOpen):
        freeze(store, account, 100.0)
    close(store, session)
    assert freeze(store, account, 100.0).phase is Phase.FREEZE


def test_an_expired_freeze_is_set_back_by_the_next_login(store: Database) -> None:
    account, here = precopy(store), node(store)
    frozen = freeze(store, account, 100.0, now=80.0)
    with pytest.raises(Moved) as told:
        open_session(store, frozen, here, now=100.0)
    assert told.value.phase is Phase.PRECOPY
    back = now_of(store, account)
    assert (back.phase, back.epoch, back.freeze_overruns, back.freeze_until) == (
        Phase.PRECOPY,
        frozen.epoch + 1,
        1,
        None,
    )
    open_session(store, back, here, now=100.0)


def test_expired_freezes_are_set_back_in_one_go(store: Database) -> None:
    early, late = precopy(store, "a@a.test"), precopy(store, "b@a.test")
    freeze(store, early, 100.0)
    freeze(store, late, 200.0)
    expired = store.run_now("expire", lambda conn: cutovers.expire_freezes(conn, 150.0))
    assert [(account.address, account.phase) for account in expired] == [("a@a.test", Phase.PRECOPY)]
    assert now_of(store, late).phase is Phase.FREEZE
    assert store.run_now("expire", lambda conn: cutovers.expire_freezes(conn, 150.0)) == []


def test_the_flip_is_one_change_and_only_inside_the_deadline(store: Database) -> None:
    account = precopy(store)
    frozen = freeze(store, account, 100.0)

    def flip(now: float):
        return store.run_now("flip", lambda conn: cutovers.flip(conn, frozen.id, frozen.epoch, now=now))

    with pytest.raises(Conflict, match="deadline"):
        flip(100.0)
    switched = flip(99.0)
    assert (switched.phase, switched.epoch, switched.finished_at) == (Phase.SWITCHED, frozen.epoch + 1, 99.0)
    with pytest.raises(Conflict):
        flip(99.5)


def test_who_was_set_back_meanwhile_cannot_flip(store: Database) -> None:
    account = precopy(store)
    frozen = freeze(store, account, 100.0)
    store.run_now("expire", lambda conn: cutovers.expire_freezes(conn, 100.0))
    with pytest.raises(Conflict):
        store.run_now("flip", lambda conn: cutovers.flip(conn, frozen.id, frozen.epoch, now=99.0))
    assert now_of(store, account).phase is Phase.PRECOPY


def test_backing_out_names_the_next_try(store: Database) -> None:
    account = precopy(store)
    frozen = freeze(store, account, 100.0)
    back = store.run_now(
        "back",
        lambda conn: cutovers.back_out(conn, frozen.id, frozen.epoch, detail="slow", next_due_at=500.0),
    )
    assert (back.phase, back.next_due_at, back.freeze_overruns) == (Phase.PRECOPY, 500.0, 0)


def test_an_early_switch_needs_all_sessions_ended(store: Database) -> None:
    account, here = precopy(store), node(store)
    session = open_session(store, account, here)

    def leave():
        return store.run_now(
            "leave",
            lambda conn: cutovers.leave_early(
                conn, account.id, Event.EARLY_SWITCH, epoch=account.epoch, who="anna"
            ),
        )

    with pytest.raises(StillOpen):
        leave()
    close(store, session)
    assert leave().phase is Phase.BACKFILL


def test_a_drain_is_for_accounts_at_the_source(store: Database) -> None:
    account = apply(store, precopy(store), Event.EARLY_SWITCH)
    with pytest.raises(NotAllowed):
        drain(store, account, until=100.0)


def test_a_quiet_moment_is_no_pop3_session_and_every_imap_session_resting(store: Database) -> None:
    account, here = precopy(store), node(store)

    def quiet() -> bool:
        return store.read_now("quiet", lambda conn: cutovers.quiet(conn, account.id))

    assert quiet()
    imap = open_session(store, account, here)
    assert not quiet()
    store.run_now("rest", lambda conn: sessions.set_resting(conn, {imap: True, 999: False}))
    assert quiet()
    pop3 = open_session(store, account, here, protocol=Protocol.POP3)
    store.run_now("rest", lambda conn: sessions.set_resting(conn, {pop3: True}))
    assert not quiet()


def test_a_node_learns_which_of_its_sessions_a_cutover_wants(store: Database) -> None:
    wanted, other = precopy(store, "a@a.test"), precopy(store, "b@a.test")
    here, there = node(store), node(store, pid=12)
    mine = open_session(store, wanted, here)
    open_session(store, wanted, there)
    open_session(store, other, here)

    def asked(now: float = 50.0):
        found = store.read_now("wanted", lambda conn: sessions.wanted_for_node(conn, here, now=now))
        return [(row.session_id, row.drain) for row in found]

    assert asked() == []
    store.run_now("want", lambda conn: cutovers.want(conn, wanted.id, wanted=True))
    assert asked() == [(mine, False)]
    drain(store, wanted, until=100.0)
    assert asked() == [(mine, True)]
    assert asked(now=100.0) == [(mine, False)]
    store.run_now("end", lambda conn: cutovers.end_drain(conn, wanted.id))
    assert asked() == []


def test_a_dead_node_takes_its_sessions_along_and_opens_no_more(store: Database) -> None:
    account, here, there = precopy(store), node(store), node(store, pid=12)
    open_session(store, account, here)
    open_session(store, account, there)
    store.run_now("void", lambda conn: nodes.void(conn, here))
    rows = store.read_now("rows", lambda conn: sessions.of_account(conn, account.id))
    assert [row.node_id for row in rows] == [there]
    with pytest.raises(NodeVoid):
        open_session(store, account, here)


def test_a_silent_node_still_holds_up_a_freeze(store: Database) -> None:
    account, here = precopy(store), node(store, now=0.0)
    open_session(store, account, here)
    assert [n.id for n in store.read_now("silent", lambda conn: nodes.silent(conn, now=1e9))] == [here]
    with pytest.raises(StillOpen):
        freeze(store, account, 2e9)


@pytest.mark.hazard("D15")
@pytest.mark.timeout(120)
def test_a_session_and_a_freeze_never_both_succeed(store: Database, open_store: OpenStore) -> None:
    other, here = open_store(), node(store)
    for round_number in range(25):
        account = precopy(store, f"u{round_number}@a.test")
        outcome: dict[str, object] = {}
        start = threading.Barrier(2)

        def log_in(account=account, outcome=outcome, start=start) -> None:
            start.wait()
            try:
                outcome["session"] = open_session(store, account, here)
            except (Held, Moved) as error:
                outcome["kept out"] = error

        def freezing(account=account, outcome=outcome, start=start) -> None:
            start.wait()
            try:
                outcome["frozen"] = freeze(other, account, 4e9)
            except StillOpen as error:
                outcome["still open"] = error

        racers = [threading.Thread(target=racer) for racer in (log_in, freezing)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert set(outcome) in ({"session", "still open"}, {"kept out", "frozen"})
