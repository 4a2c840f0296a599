"""The user page before two lab hosts: signing in is judged like a login, and the old password starts the move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread

from mailferry.lab.premises import LabAccount
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Cause
from mailferry.store import accounts, domains, passwords, sessions
from mailferry.web.user_page import SIGNED_IN_SECONDS
from tests.kit.canary import search, search_files
from tests.kit.move import DOMAIN, OLD, OTHER, USER, Move
from tests.web.browser import Browser, shown
from tests.web.conftest import MakeUserSite, WallClock

pytestmark = pytest.mark.deadline(40)
COOKIE = "mailferry-user"
TARGET_ONLY = {"target_hash": "{PLAIN}" + OTHER.decode()}


class User:
    """A browser whose blocking calls run in a thread."""

    def __init__(self, site: FastAPI, **options: Any) -> None:
        self.browser = Browser(site, **options)

    async def sign_in(self, password: bytes = OLD, address: str = USER) -> httpx.Response:
        return await self.post("/sign-in", address=address, password=password)

    async def post(self, path: str, **fields: str | bytes) -> httpx.Response:
        return await deferToThread(self.browser.post, path, fields)

    async def home(self) -> str:
        return (await deferToThread(self.browser.get, "/")).text


def lead(move: Move, *events: Event, **facts: Any) -> None:
    """Bring the account to where a test begins."""

    def work(conn: Any) -> None:
        account = accounts.ensure(conn, USER, DOMAIN)
        for event in events:
            account = accounts.apply(conn, account.id, event, epoch=account.epoch)
        if facts:
            accounts.note(conn, account.id, **facts)

    move.database.run_now("lead", work)


async def at_once(tries: Iterable[Any]) -> None:
    """Wait for all of them, the failed ones too: no browser is left behind in a thread."""
    for ok, result in await DeferredList([Deferred.fromCoroutine(one) for one in tries], consumeErrors=True):
        if not ok:
            result.raiseException()


def end_window(move: Move) -> None:
    """Let the window be over, and seen over for long enough to be believed."""

    def end(conn: Connection) -> None:
        domains.set_window_days(conn, DOMAIN, -1)
        domains.confirm_ended(conn, seconds=domains.SEEN_OVER_SECONDS)

    move.database.run_now("window", end)


async def test_the_old_password_starts_the_move_exactly_as_a_login_does(user_site: MakeUserSite) -> None:
    move, site = await user_site()
    user = User(site)
    answer = await user.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    account = move.account()
    assert account is not None
    assert (account.phase, account.trigger) == (Phase.PRECOPY, Trigger.WEBMAIL)
    page = await user.home()
    assert USER in page
    assert "In progress" in page
    assert 'http-equiv="refresh"' in page
    await move.parts.keeper.stop()
    assert b"{SSHA512}" in move.users.read_bytes(), "the password was pushed"


async def test_the_session_that_proved_the_password_is_closed_and_its_row_goes(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site()
    await User(site).sign_in()
    while len(move.book):
        await deferToThread(lambda: None)
    await move.book.settled()
    account = move.account()
    assert account is not None
    assert not move.database.read_now("rows", lambda conn: sessions.of_account(conn, account.id))


@pytest.mark.hazard("T30")
async def test_wrong_password_unknown_user_and_unknown_domain_read_the_same_after_two_seconds(
    user_site: MakeUserSite,
) -> None:
    from twisted.internet import reactor

    move, site = await user_site()
    addresses = (USER, "nobody@old.test", "li@elsewhere.test", "no address", "li*master@old.test")
    pages = set()
    began = reactor.seconds()

    async def guess(address: str) -> None:
        answer = await User(site).sign_in(b"wrong", address)
        assert answer.status_code == 401
        assert reactor.seconds() - began >= 2.0
        assert "set-cookie" not in answer.headers
        pages.add(answer.text.replace(address, "ADDRESS"))

    await at_once(guess(address) for address in addresses)
    assert len(pages) == 1
    assert "were not accepted" in pages.pop()
    assert move.account() is None


@pytest.mark.hazard("D20")
async def test_a_source_that_is_down_is_never_a_wrong_password_and_locks_nobody_out(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site()
    await move.source.stop()
    user = User(site)
    for _ in range(7):
        answer = await user.sign_in()
        assert answer.status_code == 503
        assert "could not be checked just now" in answer.text
        assert "not accepted" not in answer.text
    assert move.account() is None


@pytest.mark.hazard("T38")
async def test_the_users_cookie_is_safe_and_changes_at_each_login(user_site: MakeUserSite) -> None:
    _, site = await user_site()
    user = User(site, scheme="https")
    answer = await user.sign_in()
    flags = {flag.lower() for flag in answer.headers["set-cookie"].split("; ")[1:]}
    assert {"httponly", "samesite=strict", "secure", "path=/"} <= flags
    first = user.browser.cookies[COOKIE]
    await user.sign_in()
    assert user.browser.cookies[COOKIE] != first
    thief = User(site, scheme="https")
    thief.browser.set_cookie(COOKIE, first)
    assert 'name="password"' in await thief.home()


async def test_signing_out_and_time_end_a_sign_in(user_site: MakeUserSite, wall: WallClock) -> None:
    _, site = await user_site()
    user = User(site)
    await user.sign_in()
    ticket = user.browser.cookies[COOKIE]
    assert (await user.post("/sign-out")).status_code == 303
    user.browser.set_cookie(COOKIE, ticket)
    assert USER not in await user.home()
    await user.sign_in()
    assert USER in await user.home()
    wall.at += SIGNED_IN_SECONDS
    ended = await user.home()
    assert USER not in ended
    assert "Your sign-in has ended" in ended
    assert "has ended" not in await User(site).home()
    for path in ("/start", "/again"):
        answer = await user.post(path, password="x")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.hazard("T29")
async def test_guesses_at_one_address_are_few(user_site: MakeUserSite) -> None:
    move, site = await user_site()
    user = User(site)

    async def guess() -> None:
        assert (await User(site).sign_in(b"wrong")).status_code == 401

    await at_once(guess() for _ in range(5))
    asked = len(move.source.premises.records)
    answer = await user.sign_in(OLD, "LI@Old.Test ")
    assert answer.status_code == 429
    assert "Too many attempts" in answer.text
    assert len(move.source.premises.records) == asked
    assert (await User(site, client="198.51.100.1").sign_in()).status_code == 303


async def test_typed_passwords_stand_in_no_page_and_no_file(user_site: MakeUserSite, tmp_path) -> None:
    move, site = await user_site()
    user = User(site)
    wrong = b"wrong canary \"<'&\xff password"
    pages = [(await user.sign_in(wrong)).content, (await user.sign_in()).content]
    pages.append((await user.home()).encode())
    pages.append((await user.post("/again", password=wrong)).content)
    await move.parts.keeper.stop()
    assert not [sighting for page in pages for sighting in search(page, [wrong, OLD])]
    assert not search_files(tmp_path, [wrong, OLD], but=[move.users])


async def test_octets_that_are_no_utf_8_are_a_password_too(user_site: MakeUserSite) -> None:
    octets = "旧密码".encode("gb18030")
    _, site = await user_site(source_accounts={USER: LabAccount(password=octets)})
    assert (await User(site).sign_in(octets)).status_code == 303


# --- the account that logged in with a new password first


async def test_a_new_password_shows_that_nothing_is_moved_and_offers_to_start(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site(**TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    assert move.phase() is Phase.LOCAL
    page = await user.home()
    assert "Not migrating" in page
    assert 'action="/start"' in page


async def test_the_old_password_of_the_same_address_starts_the_late_move_like_a_login(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site(**TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    answer = await user.post("/start", password=OLD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?said=started")
    assert move.phase() is Phase.BACKFILL
    assert b"{SSHA512}" in move.users.read_bytes()


async def test_the_password_of_another_old_address_starts_the_move_and_is_never_pushed(
    user_site: MakeUserSite,
) -> None:
    old = {"zhang@old.test": LabAccount(password=OLD)}
    move, site = await user_site(source_accounts=old, **TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    before = move.users.read_bytes()
    answer = await user.post("/start", old_address=" Zhang@OLD.test ", password=OLD)
    assert answer.status_code == 303
    account = move.account()
    assert account is not None
    assert (account.phase, account.trigger) == (Phase.BACKFILL, Trigger.WEBMAIL)
    assert account.source_login == "zhang@old.test"
    row = move.database.read_now("row", lambda conn: passwords.get(conn, account.id))
    assert row.sealed_by_import
    await move.parts.keeper.stop()
    assert move.users.read_bytes() == before
    sealed = await move.parts.keeper.sealed_password(account, move.domain())
    assert sealed is not None
    assert sealed.reveal() == OLD


async def test_one_password_at_both_hosts_starts_the_late_move_without_being_pushed(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site(target_hash="{PLAIN}" + OLD.decode())
    lead(move, Event.TARGET_ONLY)
    user = User(site)
    await user.sign_in(OLD)
    before = move.users.read_bytes()
    assert (await user.post("/start", password=OLD)).status_code == 303
    assert move.phase() is Phase.BACKFILL
    await move.parts.keeper.stop()
    assert move.users.read_bytes() == before


async def test_a_wrong_old_mailbox_is_refused_in_its_own_time_and_changes_nothing(
    user_site: MakeUserSite,
) -> None:
    from twisted.internet import reactor

    move, site = await user_site(**TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    began = reactor.seconds()

    async def guess(old: str) -> None:
        another = User(site)
        another.browser.set_cookie(COOKIE, user.browser.cookies[COOKIE])
        answer = await another.post("/start", old_address=old, password=b"wrong")
        assert reactor.seconds() - began >= 2.0
        assert answer.status_code == 401
        assert "did not accept this password" in answer.text

    names = ("", "nobody@old.test", "zhang@old.test*boss", "li@elsewhere.test", "zhang old")
    await at_once(guess(old) for old in names)
    assert (await user.post("/start", old_address="a\0b", password=b"wrong")).status_code == 400
    account = move.account()
    assert account is not None
    assert (account.phase, account.source_login) == (Phase.LOCAL, None)


async def test_a_source_that_cannot_be_asked_is_no_wrong_old_password(user_site: MakeUserSite) -> None:
    move, site = await user_site(**TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    await move.source.stop()
    answer = await user.post("/start", old_address="zhang@old.test", password=OLD)
    assert answer.status_code == 503
    assert "could not be checked" in answer.text
    assert move.phase() is Phase.LOCAL


@pytest.mark.hazard("T29")
async def test_a_signed_in_user_cannot_guess_other_peoples_old_passwords(user_site: MakeUserSite) -> None:
    old = {"zhang@old.test": LabAccount(password=OLD)}
    _, site = await user_site(source_accounts=old, **TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    statuses = []

    async def guess() -> None:
        another = User(site)
        another.browser.set_cookie(COOKIE, user.browser.cookies[COOKIE])
        answer = await another.post("/start", old_address="zhang@old.test", password=b"guess")
        statuses.append(answer.status_code)

    await at_once(guess() for _ in range(6))
    assert sorted(statuses) == [401] * 5 + [429]


async def test_nobody_starts_a_move_without_being_signed_in(user_site: MakeUserSite) -> None:
    move, site = await user_site()
    answer = await User(site).post("/start", old_address=USER, password=OLD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert move.account() is None


# --- what the page says


async def test_a_failed_move_says_what_to_do_and_a_good_password_tries_again(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site()
    lead(
        move,
        Event.SOURCE_ACCEPTED,
        Event.GAVE_UP,
        cause=Cause.BAD_CREDENTIALS,
        cause_text="NO canary words of the server",
        total=10,
        copied=4,
    )
    user = User(site)
    await user.sign_in()
    page = await user.home()
    assert "Failed" in page
    assert "Use the password of the old mail service" in page
    assert "4 of 10 messages" in page
    assert "canary words" not in page, "the server's own words are for the administrator"
    assert (await user.post("/again", password=b"wrong")).status_code == 401
    assert move.phase() is Phase.BLOCKED
    answer = await user.post("/again", password=OLD)
    assert answer.headers["location"] == "/?said=again"
    assert move.phase() is Phase.PRECOPY


@pytest.mark.parametrize(
    ("cause", "zh"),
    [(Cause.EXPIRED, "需由管理员处理"), (Cause.SERVER_DOWN, "无需操作")],
)
async def test_the_page_says_in_chinese_who_must_act(user_site: MakeUserSite, cause: Cause, zh: str) -> None:
    move, site = await user_site()
    lead(move, Event.SOURCE_ACCEPTED, Event.GAVE_UP, cause=cause)
    user = User(site, language="zh-CN")
    await user.sign_in()
    page = await user.home()
    assert zh in page
    assert "失败" in page


async def test_after_the_window_a_plain_notice_and_no_start(user_site: MakeUserSite) -> None:
    move, site = await user_site(**TARGET_ONLY)
    user = User(site)
    await user.sign_in(OTHER)
    end_window(move)
    page = await user.home()
    assert "The time for moving mailboxes is over" in page
    assert 'action="/start"' not in page
    assert (await user.post("/start", old_address="zhang@old.test", password=OLD)).status_code == 401
    assert move.phase() is Phase.LOCAL


async def test_a_move_that_is_done_says_so(user_site: MakeUserSite) -> None:
    move, site = await user_site(**TARGET_ONLY)
    lead(move, Event.SOURCE_ACCEPTED_AT_ONCE, Event.HISTORY_COMPLETE, total=10, copied=9, skipped=1)
    user = User(site)
    await user.sign_in(OTHER)
    page = shown(await user.home())
    assert "Done" in page
    assert "100%" in page
    assert "Messages that could not be copied: 1." in page


async def test_a_source_that_speaks_pop3_only_is_asked_over_pop3(user_site: MakeUserSite) -> None:
    move, site = await user_site(source_protocols=("pop3",))
    assert (await User(site).sign_in()).status_code == 303
    account = move.account()
    assert account is not None
    assert (account.phase, account.trigger) == (Phase.PRECOPY, Trigger.WEBMAIL)


# --- the page keeps itself up to date


async def ask(user: User, **shown: str) -> httpx.Response:
    query = "&".join(f"{name}={value}" for name, value in shown.items())
    return await deferToThread(user.browser.get, f"/progress?{query}", **{"hx-request": "true"})


async def test_an_open_page_gets_how_the_move_stands_and_the_words_for_what_changed(
    user_site: MakeUserSite,
) -> None:
    move, site = await user_site()
    lead(move, Event.SOURCE_ACCEPTED, total=100, copied=30)
    user = User(site)
    await user.sign_in()
    same = (await ask(user, state="in_progress", quarter="1")).text
    assert 'value="30.0"' in same
    assert "hx-swap-oob" not in same, "a screen reader is not told what it knows"
    assert "<html" not in same
    assert 'hx-get="/progress?state=in_progress&amp;quarter=1"' in same
    for known in (
        {"state": "in_progress", "quarter": "0"},
        {"state": "failed", "quarter": "1"},
        {},
        {"quarter": "²"},
    ):
        assert "hx-swap-oob" in (await ask(user, **known)).text, known
    lead(move, Event.EARLY_SWITCH, Event.HISTORY_COMPLETE)
    done = (await ask(user, state="in_progress", quarter="1")).text
    assert "Your mailbox has moved" in done
    assert "hx-get" not in done, "nothing more is to come"


async def test_a_failed_move_leaves_the_open_page_alone_until_it_goes_on(user_site: MakeUserSite) -> None:
    move, site = await user_site()
    lead(move, Event.SOURCE_ACCEPTED, Event.GAVE_UP, cause=Cause.SERVER_DOWN)
    user = User(site)
    await user.sign_in()
    answer = await ask(user, state="failed", quarter="0")
    assert (answer.status_code, answer.text) == (204, "")
    lead(move, Event.RETRIED)
    assert "Your mailbox is being moved" in (await ask(user, state="failed", quarter="0")).text


@pytest.mark.hazard("T38")
async def test_how_a_move_stands_is_told_to_nobody_who_is_not_signed_in(user_site: MakeUserSite) -> None:
    move, site = await user_site()
    lead(move, Event.SOURCE_ACCEPTED, total=100)
    answer = await ask(User(site), state="in_progress", quarter="0")
    assert (answer.status_code, answer.headers["hx-redirect"], answer.text) == (204, "/", "")
    plain = await deferToThread(User(site).browser.get, "/progress")
    assert (plain.status_code, plain.headers["location"]) == (303, "/")


async def test_a_paused_move_says_that_it_is_paused(user_site: MakeUserSite) -> None:
    move, site = await user_site()
    lead(move, Event.SOURCE_ACCEPTED, total=100, copied=30)
    move.database.run_now("pause", lambda conn: domains.set_rules(conn, DOMAIN, paused=True))
    user = User(site)
    await user.sign_in()
    assert "has paused the copying" in await user.home()


async def test_the_providers_own_menu_stands_beside_what_to_do(user_site: MakeUserSite) -> None:
    move, site = await user_site(provider="tencent_exmail")
    lead(move, Event.SOURCE_ACCEPTED, Event.GAVE_UP, cause=Cause.AMBIGUOUS_REFUSAL)
    user = User(site, language="zh-CN")
    await user.sign_in()
    page = shown(await user.home())
    assert "在原服务商（腾讯企业邮箱）：" in page
    assert "管理后台 协作 > 安全管理 > 客户端访问限制" in page
