"""Accounts: compare-and-set on the epoch, history, triggers that stay, pages and counts."""

from __future__ import annotations

import threading

import pytest

from mailferry.model.account import TRANSITIONS, Event, Phase, State, Trigger
from mailferry.model.causes import Cause
from mailferry.store import account_listing, account_pages, accounts, domains
from mailferry.store.account_listing import AccountFilter
from mailferry.store.database import Database
from mailferry.store.faults import AlreadyThere, Conflict, NotAllowed, Unknown
from tests.kit.stores import OpenStore
from tests.store.rows import add_domain, apply, idle, now_of, precopy

PATHS: dict[Phase, list[Event]] = {
    Phase.IDLE: [],
    Phase.PRECOPY: [Event.SOURCE_ACCEPTED],
    Phase.FREEZE: [Event.SOURCE_ACCEPTED, Event.FREEZE_SET],
    Phase.BACKFILL: [Event.SOURCE_ACCEPTED_AT_ONCE],
    Phase.BLOCKED: [Event.SOURCE_ACCEPTED, Event.GAVE_UP],
    Phase.STALLED: [Event.SOURCE_ACCEPTED_AT_ONCE, Event.GAVE_UP],
    Phase.SWITCHED: [Event.SOURCE_ACCEPTED, Event.FREEZE_SET, Event.FLIPPED],
    Phase.CLOSED: [Event.SOURCE_ACCEPTED, Event.FREEZE_SET, Event.FLIPPED, Event.WINDOW_OVER],
    Phase.LOCAL: [Event.TARGET_ONLY],
}


def brought_to(store: Database, phase: Phase, address: str = "user@a.test") -> accounts.Account:
    account = idle(store, address)

    def work(conn):
        last = account
        for event in PATHS[phase]:
            last = accounts.apply(conn, last.id, event, epoch=last.epoch)
        return last

    account = store.run_now("path", work)
    assert account.phase is phase
    return account


@pytest.mark.parametrize("phase", Phase)
def test_every_transition_of_the_table_and_no_other_is_carried_out(store: Database, phase: Phase) -> None:
    def work(conn):
        add_domain(conn)
        for event in Event:
            account = accounts.ensure(conn, f"{event.value}@a.test", "a.test")
            for step in PATHS[phase]:
                account = accounts.apply(conn, account.id, step, epoch=account.epoch)
            wanted = TRANSITIONS.get((phase, event))
            if wanted is None:
                with pytest.raises(NotAllowed):
                    accounts.apply(conn, account.id, event, epoch=account.epoch)
                assert accounts.get(conn, account.id) == account
            else:
                after = accounts.apply(conn, account.id, event, epoch=account.epoch)
                assert (after.phase, after.epoch) == (wanted, account.epoch + 1)

    store.run_now("transitions", work)


def test_who_saw_an_old_epoch_changes_nothing(store: Database) -> None:
    account = precopy(store)
    blocked = apply(store, account, Event.GAVE_UP, cause=Cause.SERVER_DOWN)
    with pytest.raises(Conflict, match="epoch 2 in the store, 1 seen"):
        apply(store, account, Event.EARLY_SWITCH)
    assert now_of(store, account) == blocked


def test_of_two_racing_writers_one_wins(store: Database, open_store: OpenStore) -> None:
    account = precopy(store)
    lost: list[Exception] = []

    def race(database: Database, event: Event) -> None:
        try:
            apply(database, account, event)
        except Conflict as error:
            lost.append(error)

    racers = [
        threading.Thread(target=race, args=(database, event))
        for database, event in ((store, Event.GAVE_UP), (open_store(), Event.EARLY_SWITCH))
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(lost) == 1
    assert now_of(store, account).epoch == account.epoch + 1
    assert len(store.read_now("log", lambda conn: accounts.log(conn, account.id))) == 2


def test_each_change_leaves_a_row_of_history_newest_first(store: Database) -> None:
    account = precopy(store)
    account = apply(
        store, account, Event.GAVE_UP, cause=Cause.ACCOUNT_LOCKED, cause_text="locked!", detail="3 tries"
    )
    apply(store, account, Event.RETRIED, who="anna")
    rows = store.read_now("log", lambda conn: accounts.log(conn, account.id))
    assert [
        (row.event, row.phase_from, row.phase_to, row.epoch, row.cause, row.detail, row.who) for row in rows
    ] == [
        ("retried", Phase.BLOCKED, Phase.PRECOPY, 3, None, None, "anna"),
        ("gave_up", Phase.PRECOPY, Phase.BLOCKED, 2, Cause.ACCOUNT_LOCKED, "3 tries", None),
        ("source_accepted", Phase.IDLE, Phase.PRECOPY, 1, None, None, None),
    ]


def test_a_failed_change_leaves_no_history(store: Database) -> None:
    account = precopy(store)

    def work(conn):
        accounts.apply(conn, account.id, Event.GAVE_UP, epoch=account.epoch)
        raise ValueError

    with pytest.raises(ValueError):
        store.run_now("broken", work)
    assert now_of(store, account) == account
    assert len(store.read_now("log", lambda conn: accounts.log(conn, account.id))) == 1


def test_the_first_trigger_stays_for_ever(store: Database) -> None:
    account = idle(store)
    account = apply(store, account, Event.SOURCE_ACCEPTED, trigger=Trigger.POP3, now=1000.0)
    account = apply(store, account, Event.GAVE_UP, now=2000.0)
    account = apply(store, account, Event.RETRIED, trigger=Trigger.IMPORT, now=3000.0)
    assert (account.trigger, account.first_trigger_at, account.started_at) == (Trigger.POP3, 1000.0, 1000.0)


def test_a_phase_decides_when_the_account_is_due_and_what_is_cleared(store: Database) -> None:
    account = apply(store, idle(store), Event.SOURCE_ACCEPTED, now=50.0)
    assert account.next_due_at == 50.0
    blocked = apply(
        store,
        account,
        Event.GAVE_UP,
        cause=Cause.SERVER_DOWN,
        cause_text="x",
        next_retry_at=99.0,
        next_due_at=99.0,
    )
    assert (blocked.next_due_at, blocked.next_retry_at, blocked.cause) == (99.0, 99.0, Cause.SERVER_DOWN)
    again = apply(store, blocked, Event.RETRIED, now=60.0)
    assert (again.next_due_at, again.next_retry_at, again.cause, again.cause_text) == (60.0, None, None, None)
    assert again.started_at == 50.0
    frozen = apply(store, again, Event.FREEZE_SET, freeze_until=80.0)
    assert (frozen.freeze_until, frozen.next_due_at) == (80.0, None)
    switched = apply(store, frozen, Event.FLIPPED, now=70.0)
    assert (switched.finished_at, switched.freeze_until, switched.next_due_at) == (70.0, None, None)
    closed = apply(store, switched, Event.WINDOW_OVER, now=100.0)
    assert apply(store, closed, Event.WINDOW_REOPENED, now=200.0).finished_at == 70.0


def test_ensure_makes_an_account_once(store: Database, open_store: OpenStore) -> None:
    store.run_now("domain", add_domain)
    other = open_store()
    made: list[int] = []

    def make(database: Database) -> None:
        made.append(database.run_now("ensure", lambda conn: accounts.ensure(conn, "u@a.test", "a.test")).id)

    makers = [threading.Thread(target=make, args=(database,)) for database in (store, other, store, other)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(set(made)) == 1
    assert len(made) == 4


def test_progress_adds_and_note_sets(store: Database) -> None:
    account = precopy(store)

    def work(conn):
        accounts.note(conn, account.id, total=10, bytes_total=1000, completeness="good")
        accounts.progress(conn, account.id, copied=3, octets=300, skipped=1)
        accounts.progress(conn, account.id, copied=2, octets=100)
        accounts.bypass_seen(conn, account.id, 4, now=5.0)
        accounts.bypass_seen(conn, account.id, 1, now=6.0)

    store.run_now("progress", work)
    after = now_of(store, account)
    assert (after.total, after.copied, after.skipped, after.remaining) == (10, 5, 1, 4)
    assert (after.bytes_total, after.bytes_copied, after.completeness) == (1000, 400, "good")
    assert (after.bypass_changes, after.bypass_last_at, after.epoch) == (5, 6.0, account.epoch)
    with pytest.raises(Unknown):
        store.run_now("note", lambda conn: accounts.note(conn, 999, total=1))


def test_late_mail_is_asked_for_once_and_only_after_the_flip(store: Database) -> None:
    before, after = precopy(store, "a@a.test"), brought_to(store, Phase.SWITCHED, "b@a.test")
    for at in (100.0, 200.0):
        for account in (before, after):
            store.run_now("sweep", lambda conn, a=account, at=at: accounts.ask_sweep(conn, a.id, now=at))
    assert now_of(store, before).sweep_asked_at is None
    assert (now_of(store, after).sweep_asked_at, now_of(store, after).next_due_at) == (100.0, 100.0)
    # a second listing that waits for its time is not waited for
    store.run_now("later", lambda conn: accounts.note(conn, after.id, next_due_at=900.0))
    store.run_now("sweep", lambda conn: accounts.ask_sweep(conn, after.id, now=300.0))
    assert now_of(store, after).next_due_at == 300.0


def test_a_second_request_for_late_mail_changes_nothing(store: Database) -> None:
    after = brought_to(store, Phase.SWITCHED)
    for at in (100.0, 200.0):
        store.run_now("sweep", lambda conn, at=at: accounts.ask_sweep(conn, after.id, now=at))
    assert (now_of(store, after).sweep_asked_at, now_of(store, after).next_due_at) == (100.0, 100.0)


def test_pages_follow_each_other_without_gap_or_repetition(store: Database) -> None:
    def work(conn):
        add_domain(conn)
        for number in range(25):
            accounts.ensure(conn, f"u{number:02}@a.test", "a.test")

    store.run_now("many", work)
    seen: list[str] = []
    after: str | None = None
    while True:
        page = store.read_now(
            "page", lambda conn, after=after: account_pages.listing(conn, after=after, limit=10)
        )
        seen += [account.address for account in page.accounts]
        after = page.next_after
        if after is None:
            break
    assert seen == [f"u{number:02}@a.test" for number in range(25)]


def test_accounts_are_found_and_counted_by_domain_state_cause_and_text(store: Database) -> None:
    for phase in (Phase.PRECOPY, Phase.BACKFILL, Phase.SWITCHED, Phase.LOCAL):
        brought_to(store, phase, f"{phase.value.lower()}@a.test")
    apply(store, precopy(store, "x_%y@b.test"), Event.GAVE_UP, cause=Cause.ACCOUNT_LOCKED)
    idle(store, "later@b.test")

    def listed(**wanted) -> list[str]:
        page = store.read_now("list", lambda conn: account_pages.listing(conn, AccountFilter(**wanted)))
        assert store.read_now(
            "count", lambda conn: account_listing.count(conn, AccountFilter(**wanted))
        ) == len(page.accounts)
        return [account.address for account in page.accounts]

    assert listed(state=State.IN_PROGRESS) == ["backfill@a.test", "precopy@a.test"]
    assert listed(domain="b.test") == ["later@b.test", "x_%y@b.test"]
    assert listed(domain="b.test", state=State.FAILED, cause=Cause.ACCOUNT_LOCKED) == ["x_%y@b.test"]
    assert listed(search="_%") == ["x_%y@b.test"]
    assert listed(search="COPY") == ["precopy@a.test"]
    assert listed(paused=True) == []
    states = store.read_now("states", account_listing.counts_by_state)
    assert states == {
        State.NOT_STARTED: 1,
        State.IN_PROGRESS: 2,
        State.DONE: 1,
        State.FAILED: 1,
        State.NOT_MIGRATING: 1,
    }
    assert store.read_now("a", lambda conn: account_listing.counts_by_state(conn, "b.test"))[State.DONE] == 0
    assert store.read_now("causes", account_listing.counts_by_cause) == {Cause.ACCOUNT_LOCKED: 1}
    assert store.read_now("started", lambda conn: account_listing.started(conn, "a.test")) == 3
    assert store.read_now("totals", account_listing.totals).accounts == 6


# --- domains and their windows


def test_a_domain_is_added_once_with_its_window_open(store: Database) -> None:
    added = store.run_now(
        "add",
        lambda conn: domains.add(
            conn, "b.test", source_pop3="pop3s://old.test", switch="at-once", window_days=10, now=1000.0
        ),
    )
    assert (added.window_opened_at, added.window_ends_at, added.window_number) == (1000.0, 1000.0 + 864000, 1)
    assert added.window_open(864999.0)
    assert not added.window_open(865000.0)
    assert added.grace_open(865000.0 + 30 * 86400 - 1)
    with pytest.raises(AlreadyThere):
        store.run_now("add", lambda conn: domains.add(conn, "b.test", source_imap="imaps://x"))
    changed = store.run_now("set", lambda conn: domains.set_rules(conn, "b.test", paused=True, language="zh"))
    assert (changed.paused, changed.language, changed.switch) == (True, "zh", "at-once")
    with pytest.raises(Unknown):
        store.run_now("set", lambda conn: domains.set_rules(conn, "c.test", paused=True))


def test_an_open_window_is_extended_and_a_closed_one_opens_anew_with_its_own_number(store: Database) -> None:
    store.run_now("add", lambda conn: add_domain(conn, window_days=1, now=0.0))

    def extend(days: int, now: float):
        return store.run_now("extend", lambda conn: domains.extend(conn, "a.test", days, now=now))

    longer = extend(2, now=1000.0)
    assert (longer.window_ends_at, longer.window_number) == (3 * 86400.0, 1)
    anew = extend(5, now=10 * 86400.0)
    assert (anew.window_opened_at, anew.window_ends_at, anew.window_number) == (864000.0, 15 * 86400.0, 2)


@pytest.mark.hazard("D22")
def test_a_clock_that_jumps_and_comes_back_ends_no_window(store: Database) -> None:
    store.run_now("add", lambda conn: add_domain(conn, window_days=30, now=0.0))
    jumped = 400 * 86400.0

    def look(now: float, seconds: float = 60.0) -> list[str]:
        ended = store.run_now("look", lambda conn: domains.confirm_ended(conn, seconds=seconds, now=now))
        return [domain.name for domain in ended]

    assert [look(jumped) for _ in range(59)] == [[]] * 59
    assert look(1000.0) == []
    assert [look(jumped + n) for n in range(59)] == [[]] * 59
    assert look(jumped) == ["a.test"]
    assert look(1000.0) == []


def test_a_window_number_never_comes_again(store: Database) -> None:
    assert store.run_now("add", add_domain).window_number == 1
    store.run_now("remove", lambda conn: domains.remove(conn, "a.test"))
    assert store.run_now("add", add_domain).window_number == 2
    assert store.run_now("other", lambda conn: add_domain(conn, "b.test")).window_number == 1


def test_a_window_is_given_other_days_from_its_beginning(store: Database) -> None:
    store.run_now("add", lambda conn: add_domain(conn, window_days=30, now=1000.0))
    after = store.run_now("days", lambda conn: domains.set_window_days(conn, "a.test", 10))
    assert (after.window_days, after.window_ends_at, after.window_number) == (10, 865000.0, 1)


def test_a_removed_domain_takes_its_accounts_along(store: Database) -> None:
    precopy(store, "u@a.test")
    idle(store, "u@b.test")
    assert store.run_now("remove", lambda conn: domains.remove(conn, "a.test")) == 1
    assert [d.name for d in store.read_now("list", domains.listing)] == ["b.test"]
    assert store.read_now("count", account_listing.count) == 1
