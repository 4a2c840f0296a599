"""Accounts as all faces show them, and what an administrator may do to one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mailferry.model.access import Protocol, Secret
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Cause
from mailferry.passwords.sealing import Purpose
from mailferry.roster import account_changes, accounts, switching
from mailferry.roster.account_views import eta_seconds, percent
from mailferry.roster.lookup import NoSuchAccount
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import accounts as rows
from mailferry.store import cutovers, flips_log, mailboxes, passwords, remarks, sessions, skipped, wrong_tries
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from mailferry.store.wrong_tries import TryKeys, TryLimits
from tests.kit.stores import OpenStore
from tests.roster.rows import WHO, audited, ring, with_domain
from tests.store.rows import apply, idle, mailbox, node, now_of, open_session, precopy

CONTRACT = {
    "address",
    "domain",
    "state",
    "phase",
    "provider",
    "trigger",
    "started_at",
    "finished_at",
    "window_ends_at",
    "messages",
    "bytes",
    "percent",
    "eta_seconds",
    "completeness",
    "remarks",
    "last_run",
    "password",
    "bypass",
}


def note(store: Database, account: rows.Account, **changes) -> rows.Account:
    store.run_now("note", lambda conn: rows.note(conn, account.id, **changes))
    return now_of(store, account)


ONE_TRY = TryLimits(per_account=1, per_source_minute=99)


def keys_of(account: rows.Account) -> TryKeys:
    return TryKeys(account.address.encode(), b"guess", "old.test", account.address)


def standing(store: Database, account: rows.Account) -> wrong_tries.Reservation | None:
    """What stands against asking the source about another password of the account."""
    keys = replace(keys_of(account), password=b"another")
    return store.read_now("standing", lambda conn: wrong_tries.standing(conn, keys, ONE_TRY))


def switched(store: Database, address: str = "user@a.test") -> rows.Account:
    account = precopy(store, address)
    frozen = store.run_now("freeze", lambda conn: cutovers.freeze(conn, account.id, account.epoch, 4e9))
    return store.run_now("flip", lambda conn: cutovers.flip(conn, frozen.id, frozen.epoch))


def pushed(store: Database, account: rows.Account) -> None:
    def work(conn):
        passwords.verified(
            conn, account.id, password_epoch=0, verifier="v", sealed=b"s", window_number=1, at=1000.0
        )
        passwords.pushed(conn, account.id, password_epoch=1, pushed_hash="h", at=1001.0)

    store.run_now("pushed", work)


def test_the_json_of_an_account_is_the_contracts(store: Database) -> None:
    with_domain(store, provider="netease_qiye")
    account = apply(store, idle(store), Event.SOURCE_ACCEPTED, trigger=Trigger.POP3, now=1_000_000.0)
    pushed(store, account)
    note(
        store,
        account,
        total=200,
        copied=50,
        skipped=2,
        bytes_total=1000,
        bytes_copied=250,
        completeness="suspect",
        last_result="failed",
        last_run_ended_at=1_000_060.0,
        cause=Cause.ACCOUNT_LOCKED,
        cause_text="account locked!",
        next_retry_at=1_003_600.0,
        bypass_changes=3,
        bypass_last_at=1_000_050.0,
    )
    shown = accounts.show(store, " User@A.test ")
    assert set(shown) >= CONTRACT
    assert (shown["address"], shown["domain"], shown["provider"]) == ("user@a.test", "a.test", "netease_qiye")
    assert (shown["state"], shown["phase"], shown["trigger"]) == ("in_progress", "PRECOPY", "pop3")
    assert (shown["started_at"], shown["finished_at"]) == ("1970-01-12T13:46:40Z", None)
    assert shown["messages"] == {"total": 200, "copied": 50, "remaining": 148, "skipped": 2}
    assert shown["bytes"] == {"total": 1000, "copied": 250}
    assert (shown["percent"], shown["completeness"]) == (25.0, "suspect")
    assert shown["last_run"] == {
        "result": "failed",
        "cause": "account_locked",
        "cause_text": "account locked!",
        "who_must_act": "user",
        "advice": {
            "en": "Unlock it; some providers unlock by themselves after an hour.",
            "zh": "请解锁账号；部分服务商约 1 小时后自动解锁。",
        },
        "ended_at": "1970-01-12T13:47:40Z",
        "next_retry_at": "1970-01-12T14:46:40Z",
    }
    assert shown["password"] == {
        "verified_at": "1970-01-01T00:16:40Z",
        "pushed_at": "1970-01-01T00:16:41Z",
        "proved_at": None,
        "target_wins": False,
        "imported": False,
    }
    assert shown["bypass"] == {"changes_seen": 3, "last_at": "1970-01-12T13:47:30Z"}


def test_an_account_that_nothing_happened_to_is_shown_too(store: Database) -> None:
    with_domain(store)
    idle(store)
    shown = accounts.show(store, "user@a.test")
    assert (shown["state"], shown["percent"], shown["eta_seconds"], shown["trigger"]) == (
        "not_started",
        0.0,
        None,
        None,
    )
    assert shown["last_run"]["advice"] is None
    with pytest.raises(NoSuchAccount, match=r"there is no account b@a\.test yet"):
        accounts.show(store, "b@a.test")
    with pytest.raises(RosterRefusal, match="is no account's address"):
        accounts.show(store, "a*master@a.test")


def test_percent_and_time_left_follow_what_is_known(store: Database) -> None:
    account = apply(store, idle(store), Event.SOURCE_ACCEPTED, now=1000.0)
    assert (percent(account), eta_seconds(account, now=1100.0)) == (0.0, None)
    half = note(store, account, total=300, copied=100)
    assert (percent(half), eta_seconds(half, now=1100.0)) == (33.3, 200)
    by_bytes = note(store, account, bytes_total=1000, bytes_copied=800)
    assert (percent(by_bytes), eta_seconds(by_bytes, now=1100.0)) == (80.0, 25)
    nearly = note(store, account, total=100_000, copied=99_999, bytes_copied=1000)
    assert percent(nearly) == 99.9
    complete = note(store, account, total=300, copied=295, skipped=5)
    assert (percent(complete), eta_seconds(complete, now=1100.0)) == (99.9, 0)
    blocked = apply(store, complete, Event.GAVE_UP)
    assert eta_seconds(blocked, now=1100.0) is None
    assert percent(switched(store, "done@a.test")) == 100.0


def test_accounts_are_listed_in_pages_with_filters_in_words(store: Database) -> None:
    with_domain(store)
    for number in range(5):
        idle(store, f"u{number}@a.test")
    apply(store, precopy(store, "bad@a.test"), Event.GAVE_UP, cause=Cause.EXPIRED)
    first = accounts.page(store, accounts.wanted(state="not_started"), limit=3)
    assert [one["address"] for one in first.accounts] == ["u0@a.test", "u1@a.test", "u2@a.test"]
    assert (first.next_after, first.matching) == ("u2@a.test", 5)
    rest = accounts.page(store, accounts.wanted(state="not_started"), after=first.next_after, limit=3)
    assert [one["address"] for one in rest.accounts] == ["u3@a.test", "u4@a.test"]
    failed = accounts.page(store, accounts.wanted(cause="expired", domain="A.test", search="bad"))
    assert [(one["cause"], one["who_must_act"]) for one in failed.accounts] == [("expired", "administrator")]
    assert len(list(accounts.every(store))) == 6
    with pytest.raises(RosterRefusal, match="there is no state great; known are not_started, in_progress"):
        accounts.wanted(state="great")
    with pytest.raises(RosterRefusal, match="there is no cause bad; known are bad_credentials"):
        accounts.wanted(cause="bad")
    with pytest.raises(RosterRefusal, match=r"there is no domain c\.test"):
        accounts.page(store, accounts.wanted(domain="c.test"))


def test_the_log_and_the_skipped_messages_are_listed(store: Database) -> None:
    account = precopy(store)
    apply(store, account, Event.GAVE_UP, cause=Cause.SERVER_DOWN, detail="3 tries", now=0.0)
    assert accounts.log(store, "user@a.test")[0] == {
        "at": "1970-01-01T00:00:00Z",
        "event": "gave_up",
        "from": "PRECOPY",
        "to": "BLOCKED",
        "cause": "server_down",
        "detail": "3 tries",
        "who": None,
    }
    box = mailbox(store, account, b"&V4NXPpCuTvY-").id
    store.run_now("skip", lambda conn: skipped.note(conn, box, 9, reason="too_big", size=5, now=60.0))
    listed = accounts.skipped(store, "user@a.test")
    assert [(row["mailbox"], row["uid"], row["reason"], row["at"]) for row in listed] == [
        ("垃圾邮件", 9, "too_big", "1970-01-01T00:01:00Z")
    ]


def test_retry_does_what_each_phase_needs(store: Database) -> None:
    with_domain(store)
    blocked = apply(store, precopy(store, "blocked@a.test"), Event.GAVE_UP, cause=Cause.BAD_CREDENTIALS)
    running = note(store, precopy(store, "running@a.test"), next_due_at=9e9)
    done = switched(store, "done@a.test")
    waiting = idle(store, "waiting@a.test")
    local = apply(store, idle(store, "local@a.test"), Event.TARGET_ONLY)
    for account in (blocked, waiting):
        store.run_now("wrong", lambda c, a=account: wrong_tries.reserve(c, keys_of(a), ONE_TRY))
        assert standing(store, account) is not None
    for account in (blocked, running, done):
        account_changes.retry(store, account.address, who=WHO)
    assert now_of(store, blocked).phase is Phase.PRECOPY
    assert now_of(store, running).next_due_at < 9e9
    assert now_of(store, done).sweep_asked_at is not None
    for account, why in ((waiting, "has not logged in yet"), (local, "nothing to try again")):
        with pytest.raises(RosterRefusal, match=why):
            account_changes.retry(store, account.address, who=WHO)
    assert (standing(store, blocked), standing(store, waiting)) == (None, None)
    assert [what for _, what, _ in audited(store)] == ["account.retry"] * 3
    assert accounts.log(store, "blocked@a.test")[0]["who"] == WHO


def test_approval_is_for_what_waits(store: Database) -> None:
    account = precopy(store)
    with pytest.raises(RosterRefusal, match=r"nothing of user@a\.test waits"):
        account_changes.approve(store, "user@a.test", who=WHO)
    box = mailbox(store, account).id
    store.run_now("held", lambda conn: mailboxes.note(conn, box, held_deletions=40))
    note(store, account, next_due_at=9e9)
    account_changes.approve(store, "user@a.test", who=WHO)
    after = now_of(store, account)
    assert after.approved_at is not None
    assert after.next_due_at < 9e9
    doubtful = note(store, precopy(store, "b@a.test"), completeness="suspect")
    blocked = apply(store, doubtful, Event.GAVE_UP, cause=Cause.INCOMPLETE)
    account_changes.approve(store, "b@a.test", who=WHO)
    assert now_of(store, blocked).phase is Phase.PRECOPY
    assert [what for _, what, _ in audited(store)] == ["account.approve"] * 2


def test_an_account_is_paused_and_goes_on(store: Database) -> None:
    account = precopy(store)
    account_changes.pause(store, "user@a.test", who=WHO)
    assert now_of(store, account).paused
    account_changes.resume(store, "user@a.test", who=WHO)
    assert not now_of(store, account).paused
    assert [what for _, what, _ in audited(store)] == ["account.pause", "account.resume"]


def test_a_reset_undoes_local_and_target_wins_and_nothing_else(store: Database) -> None:
    local = apply(store, idle(store, "local@a.test"), Event.TARGET_ONLY)
    account_changes.reset(store, "local@a.test", who=WHO)
    assert now_of(store, local).phase is Phase.IDLE
    done = switched(store, "done@a.test")
    with pytest.raises(RosterRefusal, match="a reset is for accounts"):
        account_changes.reset(store, "done@a.test", who=WHO)
    store.run_now("wins", lambda conn: passwords.target_wins(conn, done.id))
    account_changes.reset(store, "done@a.test", who=WHO)
    assert not store.read_now("get", lambda conn: passwords.get(conn, done.id)).target_wins
    assert now_of(store, done).phase is Phase.SWITCHED


def test_an_account_with_nothing_to_move_is_marked_even_before_its_first_login(store: Database) -> None:
    with_domain(store)
    for _ in range(2):
        account_changes.mark_local(store, "new@a.test", who=WHO)
    assert accounts.show(store, "new@a.test")["state"] == "not_migrating"
    precopy(store)
    with pytest.raises(RosterRefusal, match="in_progress already"):
        account_changes.mark_local(store, "user@a.test", who=WHO)
    assert [what for _, what, _ in audited(store)] == ["account.mark-local"]


def test_a_password_is_sealed_for_the_copy_and_a_failed_copy_goes_on(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    keyring = ring(tmp_path)
    blocked = apply(store, precopy(store), Event.GAVE_UP, cause=Cause.BAD_CREDENTIALS)
    account_changes.password(store, keyring, "user@a.test", Secret(b"geheim\xff"), who=WHO)
    record = store.read_now("get", lambda conn: passwords.get(conn, blocked.id))
    assert record.sealed_by_import
    assert record.sealed is not None
    assert b"geheim" not in record.sealed
    assert keyring.unseal("a.test", 1, blocked.id, Purpose.COPY, record.sealed) == Secret(b"geheim\xff")
    assert now_of(store, blocked).phase is Phase.PRECOPY
    assert audited(store) == [(WHO, "account.password", "user@a.test")]
    switched(store, "done@a.test")
    with pytest.raises(RosterRefusal, match="is not needed"):
        account_changes.password(store, keyring, "done@a.test", Secret(b"x"), who=WHO)
    keyring.destroy("a.test", 1)
    with pytest.raises(RosterRefusal, match="re-open it with domain extend"):
        account_changes.password(store, keyring, "user@a.test", Secret(b"x"), who=WHO)


# --- switching early


class Waiting:
    """Stands in for the clock: each sleep of the roster is counted, and may do something."""

    def __init__(self, then=None) -> None:
        self.sleeps = 0
        self._then = then

    def __call__(self, seconds: float) -> None:
        self.sleeps += 1
        if self._then is not None and self.sleeps == 2:
            self._then()


def test_an_early_switch_ends_sessions_first_and_is_logged(store: Database, tmp_path: Path) -> None:
    account, here = precopy(store), node(store)
    pushed(store, account)
    session = open_session(store, account, here, protocol=Protocol.IMAP)
    flips = tmp_path / "flips.log"

    def session_ends() -> None:
        wanted = store.read_now("wanted", lambda conn: sessions.wanted_for_node(conn, here))
        assert [one.drain for one in wanted] == [True]
        store.run_now("close", lambda conn: sessions.close_session(conn, session))

    switching.switch(store, "user@a.test", who=WHO, flips_file=flips, sleep=Waiting(session_ends))
    assert now_of(store, account).phase is Phase.BACKFILL
    assert [flip.address for flip in flips_log.read_log(flips)] == ["user@a.test"]
    assert audited(store) == [(WHO, "account.switch", "user@a.test")]


def test_a_switch_whose_sessions_do_not_end_changes_nothing(store: Database, tmp_path: Path) -> None:
    account = precopy(store)
    pushed(store, account)
    open_session(store, account, node(store))
    waiting = Waiting()
    with pytest.raises(RosterRefusal, match="1 sessions are still open after 10 seconds"):
        switching.switch(store, "user@a.test", who=WHO, flips_file=tmp_path / "flips.log", sleep=waiting)
    after = now_of(store, account)
    assert (after.phase, after.epoch, after.drain_until) == (Phase.PRECOPY, account.epoch, None)
    assert waiting.sleeps == 40


def test_a_switch_needs_a_password_at_the_target_or_force(store: Database, tmp_path: Path) -> None:
    account = precopy(store)
    flips = tmp_path / "flips.log"
    with pytest.raises(RosterRefusal, match="never set at the target"):
        switching.switch(store, "user@a.test", who=WHO, flips_file=flips)
    switching.switch(store, "user@a.test", who=WHO, flips_file=flips, force=True)
    assert now_of(store, account).phase is Phase.BACKFILL
    with pytest.raises(RosterRefusal, match="is in phase BACKFILL"):
        switching.switch(store, "user@a.test", who=WHO, flips_file=flips)


def test_an_account_that_changes_while_it_drains_is_left_alone(
    store: Database, open_store: OpenStore, tmp_path: Path
) -> None:
    account, here = precopy(store), node(store)
    pushed(store, account)
    open_session(store, account, here)
    other = open_store()
    waiting = Waiting(lambda: apply(other, account, Event.GAVE_UP))
    with pytest.raises(RosterRefusal, match="has just changed by itself"):
        switching.switch(store, "user@a.test", who=WHO, flips_file=tmp_path / "f", sleep=waiting)
    assert now_of(store, account).phase is Phase.BLOCKED


def test_a_domain_is_switched_as_far_as_it_can_be(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    one = precopy(store, "one@a.test")
    two = apply(store, precopy(store, "two@a.test"), Event.GAVE_UP)
    never = precopy(store, "never@a.test")
    elsewhere = precopy(store, "one@b.test")
    for account in (one, two, elsewhere):
        pushed(store, account)
    result = switching.switch_domain(store, "a.test", who=WHO, flips_file=tmp_path / "f")
    assert sorted(result.moved) == ["one@a.test", "two@a.test"]
    assert [address for address, _ in result.left] == ["never@a.test"]
    assert now_of(store, never).phase is Phase.PRECOPY
    assert now_of(store, elsewhere).phase is Phase.PRECOPY


class Ticking:
    """A clock that a sleep moves on, and each look at it a little."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        self.at += 0.001
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_accounts_of_a_domain_are_drained_together_and_those_in_use_cost_ten_seconds_in_all(
    store: Database, tmp_path: Path
) -> None:
    here = node(store)
    for number in range(30):
        account = precopy(store, f"{number:02}@a.test")
        pushed(store, account)
        if number % 3 == 0:
            open_session(store, account, here)
    clock, flips = Ticking(), tmp_path / "f"
    result = switching.switch_domain(
        store, "a.test", who=WHO, flips_file=flips, sleep=clock.sleep, clock=clock
    )
    assert len(result.moved) == 20
    assert result.next_after is None
    assert len(result.left) == 10
    assert all("1 sessions are still open after 10 seconds" in why for _, why in result.left)
    assert clock.at < 2 * switching.DRAIN_SECONDS
    assert len(flips_log.read_log(flips)) == 20
    stayed = now_of(store, rows_of(store, "00@a.test"))
    assert (stayed.phase, stayed.drain_until) == (Phase.PRECOPY, None)


def rows_of(store: Database, address: str) -> rows.Account:
    found = store.read_now("account", lambda conn: rows.find(conn, address))
    assert found is not None
    return found


@pytest.mark.hazard("T40")
def test_a_switch_of_a_domain_ends_in_time_and_goes_on_where_it_ended(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "AT_ONCE", 4)
    here = node(store)
    for number in range(11):
        account = precopy(store, f"{number:02}@a.test")
        pushed(store, account)
        if number == 9:
            apply(store, account, Event.GAVE_UP)
        elif number < 8:  # two whole batches of accounts that somebody uses for ever
            open_session(store, account, here)
    moved: list[str] = []
    after: str | None = None
    asked = 0
    while asked == 0 or after is not None:
        clock = Ticking()
        result = switching.switch_domain(
            store, "a.test", who=WHO, flips_file=tmp_path / "f", after=after, seconds=switching.REQUEST_SECONDS,
            sleep=clock.sleep, clock=clock,
        )  # fmt: skip
        assert clock.at < switching.REQUEST_SECONDS + switching.DRAIN_SECONDS + 1
        moved += result.moved
        after = result.next_after
        asked += 1
    assert sorted(moved) == ["08@a.test", "09@a.test", "10@a.test"]
    assert asked == 3
    for wrong in ("SWITCHED", "nonsense x"):
        with pytest.raises(RosterRefusal, match="no switch of a domain ended there"):
            switching.switch_domain(store, "a.test", who=WHO, flips_file=tmp_path / "f", after=wrong)


def test_an_account_shows_what_its_copy_could_not_bring_over(store: Database) -> None:
    account = precopy(store, "a@a.test")
    store.run_now(
        "remark",
        lambda conn: [
            remarks.note(conn, account.id, RemarkKind.KEYWORD, b"$Label1", number=3, add=True),
            remarks.note(conn, account.id, RemarkKind.KEYWORD, b"$Label1", number=2, add=True),
            remarks.note(conn, account.id, RemarkKind.REFUSED, b"&mHl27g-", number=1, detail="NO", now=7.0),
            remarks.note(conn, account.id, RemarkKind.DOUBLED, number=1),
            remarks.forget(conn, account.id, RemarkKind.DOUBLED),
        ],
    )
    shown = accounts.show(store, "a@a.test")["remarks"]
    assert [(one["kind"], one["subject"], one["number"], one["detail"]) for one in shown] == [
        ("keyword_not_permitted", "$Label1", 5, None),
        ("mailbox_refused", "项目", 1, "NO"),
    ]
