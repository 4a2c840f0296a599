"""Notices: made once, held by one at a time, left behind by the transaction that changes a phase."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection

from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Cause
from mailferry.store import accounts, domains, notices
from mailferry.store.database import Database
from mailferry.store.notices import Audience, Notice
from tests.kit.stores import OpenStore
from tests.store.rows import add_domain, apply, idle

NOW = 1_900_000_000.0
USER = [Audience.USER]


def want(store: Database, subject: str = "s", *, at: float = NOW, **more: float) -> None:
    def make(conn: Connection) -> None:
        add_domain(conn)
        notices.want(
            conn,
            Audience.USER,
            "done",
            subject,
            domain="a.test",
            due_at=more.pop("due_at", at),
            now=at,
            **more,
        )

    store.run_now("want", make)


def take(store: Database, *, at: float = NOW, limit: int = 10) -> list[Notice]:
    return list(
        store.run_now("take", lambda conn: notices.take(conn, USER, limit=limit, hold_seconds=60.0, now=at))
    )


def events(store: Database, account: accounts.Account) -> list[str]:
    found = store.read_now("of", lambda conn: notices.of_account(conn, account.id))
    return [one.kind for one in found if one.audience is Audience.UNDECIDED]


def test_a_change_that_somebody_may_hear_of_leaves_its_event_and_no_other_does(store: Database) -> None:
    account = idle(store)
    account = apply(store, account, Event.SOURCE_ACCEPTED, trigger=Trigger.IMAP)
    assert events(store, account) == []
    account = apply(store, account, Event.GAVE_UP, cause=Cause.EXPIRED)
    apply(store, account, Event.EARLY_SWITCH)
    assert events(store, account) == ["gave_up", "early_switch"]


def test_an_event_is_part_of_the_change_that_it_tells_of(store: Database) -> None:
    account = idle(store)

    def broken(conn: Connection) -> None:
        accounts.apply(conn, account.id, Event.SOURCE_ACCEPTED_AT_ONCE, epoch=account.epoch)
        raise RuntimeError("the power is cut")

    with pytest.raises(RuntimeError):
        store.run_now("broken", broken)
    assert events(store, account) == []


def test_a_notice_is_made_once(store: Database) -> None:
    for _ in range(3):
        want(store)
    (taken,) = take(store)
    assert store.run_now("sent", lambda conn: notices.sent(conn, taken, now=NOW))
    want(store, at=NOW + 1000)
    assert take(store, at=NOW + 2000) == []


def test_one_that_may_come_again_gathers_while_it_waits_and_rests_between(store: Database) -> None:
    want(store, due_at=NOW + 60, again_after=600.0)
    want(store, at=NOW + 30, due_at=NOW + 90, again_after=600.0)
    assert take(store, at=NOW + 59) == []
    (taken,) = take(store, at=NOW + 60)
    store.run_now("compose", lambda conn: notices.compose(conn, taken, "{}"))
    store.run_now("sent", lambda conn: notices.sent(conn, taken, now=NOW + 61))
    want(store, at=NOW + 70, due_at=NOW + 130, again_after=600.0)
    assert take(store, at=NOW + 660.5) == []
    (again,) = take(store, at=NOW + 661.5)
    assert (again.detail, again.tries, again.made_at) == (None, 1, NOW + 70), "a message of its own"


def test_who_takes_a_notice_holds_it_and_after_that_another_may(store: Database) -> None:
    want(store)
    (first,) = take(store)
    assert take(store, at=NOW + 59) == []
    (second,) = take(store, at=NOW + 61)
    assert (first.tries, second.tries) == (1, 2)
    assert not store.run_now("late", lambda conn: notices.sent(conn, first)), "it is another's by now"
    assert not store.run_now("late", lambda conn: notices.put_off(conn, first, due_at=NOW))
    assert store.run_now("sent", lambda conn: notices.sent(conn, second))


@pytest.mark.hazard("D1")
def test_two_copiers_never_take_the_same(open_store: OpenStore) -> None:
    stores = [open_store(), open_store()]
    for number in range(40):
        want(stores[0], f"s{number}")
    taken: list[int] = []

    def work(store: Database) -> None:
        while some := take(store, limit=3):
            taken.extend(one.id for one in some)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


def test_longest_due_comes_first_and_what_is_put_off_comes_later(store: Database) -> None:
    want(store, "later", due_at=NOW - 1)
    want(store, "first", due_at=NOW - 2)
    first, later = take(store)
    assert [first.subject, later.subject] == ["first", "later"]
    store.run_now("off", lambda conn: notices.put_off(conn, first, due_at=NOW + 300))
    store.run_now("never", lambda conn: notices.put_off(conn, later, due_at=None))
    assert take(store, at=NOW + 299) == []
    assert [one.subject for one in take(store, at=NOW + 9999)] == ["first"]


def test_a_look_says_whether_anything_is_due(store: Database) -> None:
    def due(at: float) -> bool:
        return store.read_now("due?", lambda conn: notices.any_due(conn, USER, now=at))

    assert not due(NOW)
    want(store, due_at=NOW + 5)
    assert [due(NOW + 4), due(NOW + 5)] == [False, True]


def test_a_cause_is_news_until_it_comes_back_within_a_day(store: Database) -> None:
    account = apply(store, idle(store), Event.SOURCE_ACCEPTED, trigger=Trigger.IMAP)

    def again(cause: Cause) -> bool:
        now = NOW
        return store.read_now(
            "?", lambda conn: notices.gave_up_lately(conn, account.id, cause, seconds=86400.0, now=now)
        )

    for cause, at in (
        (Cause.EXPIRED, NOW - 90_000),
        (Cause.PERMISSION, NOW - 200),
        (Cause.EXPIRED, NOW - 100),
    ):
        account = apply(store, account, Event.GAVE_UP, cause=cause, now=at)
        account = apply(store, account, Event.RETRIED)
    assert not again(Cause.EXPIRED), "a day lies between"
    assert not again(Cause.PERMISSION), "the first of its kind"
    apply(store, account, Event.GAVE_UP, cause=Cause.EXPIRED, now=NOW - 10)
    assert again(Cause.EXPIRED)


def test_accounts_that_fail_now_are_counted_and_a_few_are_named(store: Database) -> None:
    for name in ("c", "a", "b"):
        account = apply(store, idle(store, f"{name}@a.test"), Event.SOURCE_ACCEPTED, trigger=Trigger.IMAP)
        account = apply(store, account, Event.GAVE_UP, cause=Cause.EXPIRED)
    assert account.phase is Phase.BLOCKED
    apply(store, account, Event.RETRIED)
    found = store.read_now("f", lambda conn: notices.failing(conn, "a.test", Cause.EXPIRED, some=1))
    assert found == (2, ["a@a.test"])


def test_what_rests_goes_in_time_but_for_what_users_were_told(store: Database) -> None:
    want(store, "told")
    (taken,) = take(store)

    def settle(conn: Connection) -> None:
        notices.sent(conn, taken, now=NOW)
        for subject, due in (("rests", None), ("waits", NOW)):
            notices.want(conn, Audience.MAIL, "must_act", subject, domain="a.test", due_at=NOW, now=NOW)
            if due is None:
                (mail,) = notices.take(conn, [Audience.MAIL], limit=9, hold_seconds=1.0, now=NOW)
                notices.sent(conn, mail, now=NOW)

    store.run_now("settle", settle)
    assert store.run_now("prune", lambda conn: notices.prune(conn, before=NOW + 1)) == 1
    left = store.read_now("left", lambda conn: notices.of_domain(conn, "a.test"))
    assert [one.subject for one in left] == ["told", "waits"]


def test_notices_go_with_their_account_and_domain(store: Database) -> None:
    apply(store, idle(store), Event.SOURCE_ACCEPTED_AT_ONCE)
    want(store)
    store.run_now("remove", lambda conn: domains.remove(conn, "a.test"))
    assert store.read_now("left", lambda conn: notices.of_domain(conn, "a.test")) == []
