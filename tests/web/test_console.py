"""The console over a store: what it shows, and that what it does is done by the roster in the right name."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.passwords.sealing import KeyRing, Purpose
from mailferry.roster import overview, switching
from mailferry.roster.account_changes import APPROVABLE
from mailferry.store import accounts, passwords
from mailferry.store.database import Database
from tests.kit.canary import canary, search
from tests.store.rows import node, open_session
from tests.web.accounts import DOMAIN, USER, add_account, add_domain, add_failed, get
from tests.web.browser import Browser, shown


@pytest.fixture
def failed(store: Database) -> None:
    add_domain(store)
    add_failed(store, text="NO your account has expired")


def act(admin: Browser, action: str, **fields: str) -> tuple[int, str]:
    answer = admin.post(f"/admin/account/{action}", {"address": USER, **fields})
    return answer.status_code, answer.headers.get("location", "")


def last_audit(database: Database) -> tuple[str, str, str]:
    row = overview.audit_log(database, limit=1)[0]
    return row["who"], row["what"], row["subject"]


def test_the_overview_counts_states_and_causes_and_says_who_must_act(admin: Browser, failed: None) -> None:
    page = shown(admin.get("/admin/").text)
    assert "Somebody must act" in page
    assert "1 Failed" in page
    assert "0 Done" in page
    assert "You, the administrator" in page
    assert "Account or service expired expired 1 old.test (1) Renew the old service" in page
    assert "50 of 200 messages copied" in page
    assert "2 messages were not copied." in page


def test_the_overview_of_an_empty_store_is_a_page(admin: Browser) -> None:
    assert "No domain yet." in admin.get("/admin/").text
    assert "No domain yet" in admin.get("/admin/domains").text
    assert "No account yet" in admin.get("/admin/accounts").text
    assert "No account fits." in admin.get("/admin/accounts?search=li").text
    assert "管理台" in admin.get("/admin/?lang=zh").text


def test_an_account_shows_everything_but_secrets(admin: Browser, failed: None) -> None:
    page = shown(admin.get(f"/admin/account?address={USER}").text)
    for fact in (
        "Failed",
        "expired",
        "Renew the old service",
        "请续费原服务",
        "NO your account has expired",
        "50 of 200 messages",
        "stopped, served by the old host",
        "first login with the old password source_accepted copying, still served by the old host IDLE → PRECOPY",
        "stopped gave_up stopped, served by the old host PRECOPY → BLOCKED",
    ):
        assert fact in page


def test_an_unknown_account_or_domain_is_not_found_and_says_so(admin: Browser) -> None:
    for path in ("/admin/account?address=nobody@old.test", "/admin/domain?name=no.test"):
        answer = admin.get(path)
        assert answer.status_code == 404
        assert "there is no" in answer.text


def test_retry_goes_through_the_roster_in_the_name_of_who_is_signed_in(
    admin: Browser, store: Database, failed: None
) -> None:
    status, location = act(admin, "retry")
    assert (status, location) == (303, "/admin/account?address=li%40old.test&said=retry")
    assert get(store).phase is Phase.PRECOPY
    assert last_audit(store) == ("console:anna", "account.retry", USER)
    assert "It is tried again now." in admin.get(location).text


def test_pause_and_resume(admin: Browser, store: Database, failed: None) -> None:
    assert act(admin, "pause")[0] == 303
    assert get(store).paused
    page = admin.get(f"/admin/account?address={USER}").text
    assert "Resume copying" in page
    assert "Pause copying" not in page
    assert act(admin, "resume")[0] == 303
    assert not get(store).paused
    assert last_audit(store) == ("console:anna", "account.resume", USER)


@pytest.mark.parametrize("cause", sorted(APPROVABLE))
def test_whatever_waits_for_approval_can_be_approved_on_its_page(
    admin: Browser, store: Database, cause: Cause
) -> None:
    add_domain(store)
    add_failed(store, cause=cause)
    assert 'action="/admin/account/approve"' in admin.get(f"/admin/account?address={USER}").text
    assert act(admin, "approve")[0] == 303
    assert get(store).phase is Phase.PRECOPY


def test_an_account_is_switched_only_when_its_password_is_at_the_new_host_or_by_force(
    admin: Browser, store: Database, tmp_path: Path, failed: None
) -> None:
    page = admin.get(f"/admin/account?address={USER}").text
    assert 'action="/admin/account/switch"' in page
    answer = admin.post("/admin/account/switch", {"address": USER})
    assert answer.status_code == 409
    assert "its password was never set at the target" in answer.text
    assert get(store).phase is Phase.BLOCKED
    assert act(admin, "switch", force="1") == (303, "/admin/account?address=li%40old.test&said=switch")
    assert get(store).phase is Phase.BACKFILL
    assert last_audit(store) == ("console:anna", "account.switch", USER)
    assert USER in (tmp_path / "flips.log").read_text()
    page = admin.get(f"/admin/account?address={USER}&said=switch").text
    assert "served by the new host now" in page
    assert 'action="/admin/account/switch"' not in page


def test_a_user_whose_session_does_not_end_is_not_switched(
    admin: Browser, store: Database, monkeypatch: pytest.MonkeyPatch, failed: None
) -> None:
    monkeypatch.setattr(switching, "DRAIN_SECONDS", 0.25)
    open_session(store, get(store), node(store))
    answer = admin.post("/admin/account/switch", {"address": USER, "force": "1"})
    assert answer.status_code == 409
    assert "1 sessions are still open" in answer.text
    assert get(store).phase is Phase.BLOCKED


@pytest.mark.parametrize("action", ["approve", "reset"])
def test_what_the_roster_refuses_is_told_on_the_accounts_page(
    admin: Browser, failed: None, action: str
) -> None:
    answer = admin.post(f"/admin/account/{action}", {"address": USER})
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    assert USER in answer.text


def test_an_action_that_nobody_knows_is_not_found(admin: Browser, failed: None) -> None:
    assert act(admin, "explode")[0] == 404
    assert admin.post("/admin/domain/explode", {"name": DOMAIN}).status_code == 404
    assert admin.post("/admin/account/retry", {"address": "nobody@old.test"}).status_code == 404
    assert admin.post("/admin/account/retry").status_code == 400


def test_a_re_entered_password_is_sealed_for_the_copy_and_shown_nowhere(
    admin: Browser, store: Database, keyring: KeyRing, failed: None
) -> None:
    typed = canary()
    answer = admin.post("/admin/account/password", {"address": USER, "password": typed}, follow=True)
    assert "The password was kept" in answer.text
    account = get(store)
    assert account.phase is Phase.PRECOPY
    row = store.read_now("password", lambda conn: passwords.get(conn, account.id))
    assert row.sealed is not None
    assert keyring.unseal(DOMAIN, 1, account.id, Purpose.COPY, row.sealed).reveal() == typed.encode()
    pages = [answer.content, admin.get("/admin/audit").content, admin.get("/admin/").content]
    assert not [sighting for page in pages for sighting in search(page, [typed])]
    assert last_audit(store) == ("console:anna", "account.password", USER)


def test_no_password_is_not_kept(admin: Browser, store: Database, failed: None) -> None:
    assert act(admin, "password", password="")[0] == 400
    assert act(admin, "password", password="x" * 256)[0] == 400
    assert get(store).phase is Phase.BLOCKED


def test_accounts_come_in_pages_by_key_under_their_filter(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_domain(store, "other.test")
    for number in range(103):
        add_account(store, f"user{number:03}@old.test")
    add_account(store, "zz@other.test")
    add_failed(store, "failed@old.test")
    first = admin.get("/admin/accounts?domain=old.test&state=not_started&search=USER")
    assert "103 accounts" in first.text
    assert "user099@old.test" in first.text
    assert "user100@old.test" not in first.text
    following = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert following is not None
    second = admin.get(following[1].replace("&amp;", "&"))
    assert re.findall(r">(user\d+@old.test)<", second.text) == [f"user{n}@old.test" for n in (100, 101, 102)]
    assert 'rel="next"' not in second.text
    assert "zz@other.test" not in second.text


@pytest.mark.parametrize(
    ("query", "found"),
    [("state=failed", True), ("cause=expired", True), ("cause=server_down", False), ("search=%25", False)],
)
def test_filters(admin: Browser, failed: None, query: str, found: bool) -> None:
    assert (f">{USER}<" in admin.get(f"/admin/accounts?{query}").text) == found


@pytest.mark.parametrize("query", ["state=strange", "cause=strange", "domain=strange.test"])
def test_a_filter_that_means_nothing_says_what_is_known(admin: Browser, query: str) -> None:
    answer = admin.get(f"/admin/accounts?{query}")
    assert answer.status_code in {400, 404}
    assert "strange" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/admin/accounts?search=a%00b",
        "/admin/accounts?after=%00",
        "/admin/account?address=%00@old.test",
        "/admin/domain?name=%0a",
        "/admin/accounts?search=" + "x" * 2000,
        "/admin/audit?before=%00",
    ],
)
def test_what_no_name_can_be_is_refused_before_the_store_is_asked(admin: Browser, path: str) -> None:
    assert admin.get(path).status_code == 400


def test_a_domain_shows_its_window_and_counts_and_is_extended(
    admin: Browser, store: Database, failed: None
) -> None:
    assert f">{DOMAIN}</a>" in admin.get("/admin/domains").text
    page = shown(admin.get(f"/admin/domain?name={DOMAIN}").text)
    assert "open until" in page
    assert "1 Failed" in page
    assert "imaps://imap.old.test" in page
    before = overview.audit_log(store, limit=100)
    answer = admin.post("/admin/domain/extend", {"name": DOMAIN, "days": "10"}, follow=True)
    assert "The window was extended." in answer.text
    assert len(overview.audit_log(store, limit=100)) == len(before) + 1
    assert last_audit(store) == ("console:anna", "domain.extend", DOMAIN)


@pytest.mark.parametrize(("days", "status"), [("0", 409), ("99999", 409), ("x", 400), ("", 400)])
def test_a_window_is_not_extended_by_nonsense(admin: Browser, failed: None, days: str, status: int) -> None:
    assert admin.post("/admin/domain/extend", {"name": DOMAIN, "days": days}).status_code == status


def test_a_domain_is_paused_and_resumed(admin: Browser, failed: None) -> None:
    page = admin.post("/admin/domain/pause", {"name": DOMAIN}, follow=True).text
    assert "Resume copying" in page
    page = admin.post("/admin/domain/resume", {"name": DOMAIN}, follow=True).text
    assert "Pause copying" in page


def test_the_audit_log_is_paged(admin: Browser, store: Database, failed: None) -> None:
    for _ in range(101):
        overview.declare_dead(store, 999, who="console:bo")
    first = admin.get("/admin/audit").text
    assert first.count("console:bo") == 100
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    assert admin.get(following[1]).text.count("console:bo") == 1
    assert admin.get("/admin/audit?before=x").status_code == 400


def test_a_running_account_shows_its_progress(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_account(store, USER, Event.SOURCE_ACCEPTED, total=1000, copied=250)
    page = admin.get(f"/admin/account?address={USER}").text
    assert 'value="25.0"' in page
    assert "In progress" in page


def test_the_time_that_is_left_stands_on_the_account_and_in_the_list(admin: Browser, store: Database) -> None:
    add_domain(store)
    begun = time.time() - 3600
    add_account(store, USER, Event.SOURCE_ACCEPTED, started_at=begun, total=400, copied=100)
    assert "about 3 hours left" in shown(admin.get(f"/admin/account?address={USER}").text)
    assert "3 hours" in shown(admin.get("/admin/accounts").text)


def test_changes_at_the_old_host_that_no_session_of_ours_made_are_told(
    admin: Browser, store: Database, failed: None
) -> None:
    path = f"/admin/account?address={USER}"
    before = shown(admin.get(path).text)
    store.run_now("seen", lambda conn: accounts.bypass_seen(conn, get(store).id, 17, now=1_793_887_380.0))
    after = shown(admin.get(path).text)
    assert "Nobody was seen to use the old host directly." in before
    assert "17 changes at the old host that did not come through here, the last Nov 5, 2026" in after


def test_an_account_that_has_nothing_to_move_is_excluded_until_it_moves(
    admin: Browser, store: Database
) -> None:
    add_domain(store)
    add_account(store, USER)
    assert 'action="/admin/account/exclude"' in admin.get(f"/admin/account?address={USER}").text
    status, location = act(admin, "exclude")
    assert (status, location) == (303, "/admin/account?address=li%40old.test&said=exclude")
    assert get(store).phase is Phase.LOCAL
    assert last_audit(store) == ("console:anna", "account.mark-local", USER)
    page = admin.get(location).text
    assert "a reset undoes this" in page
    assert 'action="/admin/account/exclude"' not in page
    add_failed(store, "moves@old.test")
    assert 'action="/admin/account/exclude"' not in admin.get("/admin/account?address=moves@old.test").text
    answer = admin.post("/admin/account/exclude", {"address": "moves@old.test"})
    assert answer.status_code == 409
    assert "a pause stops its copy" in answer.text
    assert get(store, "moves@old.test").phase is Phase.BLOCKED


def test_an_account_that_does_not_move_may_begin_again_after_a_reset(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_account(store, USER, Event.TARGET_ONLY)
    assert 'action="/admin/account/reset"' in admin.get(f"/admin/account?address={USER}").text
    assert act(admin, "reset")[0] == 303
    assert get(store).phase is Phase.IDLE
    assert last_audit(store) == ("console:anna", "account.reset", USER)
