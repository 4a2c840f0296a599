"""Addresses that the old host does not have: told from a wrong password where it tells them, and by an imported list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mailferry.gate.admission import Rejected
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase, State
from mailferry.model.causes import Answer, Cause
from mailferry.providers.sentences import client_sentence
from mailferry.roster import accounts as roster
from mailferry.roster.account_files import import_accounts
from mailferry.roster.lookup import NoSuchAccount
from mailferry.roster.overview import overview
from tests.kit.clocked import WorldTime
from tests.kit.move import DOMAIN, OLD, OTHER, USER, Move
from tests.life.conftest import Service
from tests.life.steps import HOUR, MINUTE, fill, logged_in_once, password_record, source_logins

pytestmark = [pytest.mark.deadline(120), pytest.mark.hazard("T30")]

NOBODY = f"nobody@{DOMAIN}"
NEW = b"chosen at the new host"
WAYS = {
    "netease-imap": ("netease_unknown_user", "netease_qiye", Protocol.IMAP, "LOGIN ERR.LOGIN.USERNOTEXIST"),
    "netease-pop3": ("netease_unknown_user", "netease_qiye", Protocol.POP3, "ERR.LOGIN.USERNOTEXIST"),
    "code-imap": ("unknown_user", "generic", Protocol.IMAP, "No such user"),
    "gbk-pop3": ("unknown_user_gbk", "coremail", Protocol.POP3, "用户不存在"),
}


def not_there(move: Move) -> LabAccount:
    """The old host does not have the user; returns what it may get back."""
    return move.source.premises.accounts.pop(USER)


def opened_there(move: Move, account: LabAccount) -> None:
    """The account is opened at the old host, with mail in it."""
    move.source.premises.accounts[USER] = account
    fill(move)


def at_target(move: Move, password: bytes) -> None:
    """Let the new host know the user by this password."""
    move.users.write_text(f"{USER}:{{PLAIN}}{password.decode()}::::::\n")


class Line(dict[str, Any]):
    """What the log tells the administrator of one login."""

    def info(self, event: str, **values: Any) -> None:
        """Take it."""
        assert event == "login"
        self.update(values)


Asked = Callable[..., Awaitable[tuple[Rejected, Line]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A function that makes a login which is refused, and returns what the log tells of it as well."""

    async def ask(move: Move, password: bytes = OLD, **more: Any) -> tuple[Rejected, Line]:
        line = Line()
        monkeypatch.setattr(move.gate, "_log", line)
        return await move.rejected(password, **more), line

    return ask


def begun(move: Move) -> dict[str, Any]:
    """Why the account's first event came, as its log tells."""
    return roster.log(move.database, USER)[-1]


QUICK = {"netease-imap", "gbk-pop3"}


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, id=key, marks=() if key in QUICK else pytest.mark.slow) for key, way in WAYS.items()],
)
async def test_a_made_up_address_reads_like_a_wrong_password_and_leaves_nothing_but_a_line_that_tells_it(
    service: Service, time: WorldTime, asked: Asked, way: tuple[str, str, Protocol, str]
) -> None:
    quirk, provider, protocol, words = way
    move = await service(provider=provider, source_quirks=frozenset({quirk}))
    began = time.seconds
    wrong, wrong_line = await asked(move, b"wrong", protocol=protocol)
    between = time.seconds
    unknown, unknown_line = await asked(move, protocol=protocol, name=NOBODY)
    assert time.seconds - between == pytest.approx(between - began, abs=0.01), "nor by its time"
    assert (unknown.answer, unknown.text) == (wrong.answer, wrong.text)
    assert (unknown.answer, unknown.text) == (Answer.REFUSED, client_sentence(Cause.BAD_CREDENTIALS, "en"))
    assert (wrong_line["cause"], unknown_line["cause"]) == ("bad_credentials", "unknown_user")
    assert words in unknown_line["why"]
    assert (move.account(NOBODY), move.account()) == (None, None)
    with pytest.raises(NoSuchAccount):
        roster.show(move.database, NOBODY)
    assert sum(overview(move.database)["accounts"].values()) == 0, "it is in no count and in no list"


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
async def test_who_has_an_account_at_the_new_host_alone_is_not_migrating_and_the_history_tells_why(
    service: Service, told: bool
) -> None:
    """A host that tells the two apart is quoted; of one that does not, nobody knows more than that it refused."""
    move = await service(source_quirks=frozenset({"unknown_user"} if told else ()))
    account = not_there(move)
    at_target(move, NEW)
    admission = await move.admitted(NEW)
    assert (admission.side, move.known().phase, move.known().state) == (
        Side.TARGET, Phase.LOCAL, State.NOT_MIGRATING,
    )  # fmt: skip
    await move.logout(admission)
    row = begun(move)
    assert (row["event"], row["cause"]) == (
        "target_only",
        "unknown_user" if told else "bad_credentials",
    )
    assert ("No such user" in row["detail"]) is told
    assert (move.known().cause, roster.show(move.database, USER)["last_run"]["cause"]) == (None, None)
    asked_before = source_logins(move)
    await move.copy()
    await move.time.advance(HOUR, step=10 * MINUTE)
    await logged_in_once(move, NEW)
    assert source_logins(move) == asked_before, "nobody asks the old host for such a user"

    opened_there(move, account)
    await move.logout(await move.admitted(OLD))
    assert move.known().phase is Phase.BACKFILL, "the old password was entered, so there is mail to move"
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert not move.unlike()
    admission = await move.admitted(OLD)
    assert admission.side is Side.TARGET, "what was typed last and proved there is the password here"
    await move.logout(admission)


async def test_a_login_goes_through_by_itself_once_the_account_is_opened_at_the_old_host(
    service: Service,
) -> None:
    move = await service(source_quirks=frozenset({"unknown_user"}))
    account = not_there(move)
    await move.copy()
    for _ in range(3):
        assert (await move.rejected()).cause is Cause.UNKNOWN_USER
    assert source_logins(move) == 1, "the same question is not asked again at once"
    opened_there(move, account)
    await move.time.advance(10 * MINUTE, step=5 * MINUTE)
    await move.logout(await move.admitted())
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert not move.unlike()


async def test_an_account_that_vanishes_at_the_old_host_waits_with_its_password_and_goes_on_with_the_next_login(
    service: Service, asked: Asked
) -> None:
    move = await service(source_quirks=frozenset({"netease_unknown_user"}), provider="netease_qiye")
    fill(move)
    await logged_in_once(move)
    account = not_there(move)
    before = password_record(move)
    await move.copy()
    await move.until(lambda: move.known().phase is Phase.BLOCKED, within=MINUTE)
    shown = roster.show(move.database, USER)
    assert (shown["state"], shown["last_run"]["cause"], shown["last_run"]["who_must_act"]) == (
        "failed", "unknown_user", "administrator",
    )  # fmt: skip
    assert "ERR.LOGIN.USERNOTEXIST" in shown["last_run"]["cause_text"]
    assert "address" in shown["last_run"]["advice"]["en"]
    assert overview(move.database)["causes"] == {"unknown_user": 1}
    rejected, line = await asked(move)
    assert (rejected.text, line["cause"]) == (client_sentence(Cause.BAD_CREDENTIALS, "en"), "unknown_user")
    after = password_record(move)
    assert (after.sealed, after.password_epoch) == (before.sealed, before.password_epoch), (
        "it says nothing about the password"
    )
    move.source.premises.accounts[USER] = account
    await move.time.advance(10 * MINUTE, step=5 * MINUTE)
    assert move.known().phase is Phase.BLOCKED, "the host is not asked for who it does not have"
    await logged_in_once(move)
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE)
    assert (move.known().cause, move.unlike()) == (None, False)


async def test_on_a_list_of_accounts_the_address_decides_and_not_what_the_old_host_says(
    service: Service, asked: Asked
) -> None:
    """One address is listed and unknown there, another is known there and not listed."""
    move = await service(source_quirks=frozenset({"unknown_user"}))
    move.set_rules(only_listed=True)
    rows = f"target,source\n{USER},\n".encode()
    import_accounts(move.database, move.parts.keyring, rows, who="test")
    account = not_there(move)
    move.source.premises.accounts[NOBODY] = LabAccount(password=OLD)
    unlisted, line = await asked(move, name=NOBODY)
    assert (source_logins(move), line["side"]) == (0, "target")
    assert roster.show(move.database, NOBODY)["state"] == "not_migrating"
    assert move.account(NOBODY) is None
    listed, line = await asked(move)
    assert (line["cause"], listed.text) == ("unknown_user", unlisted.text)
    assert roster.show(move.database, USER)["state"] == "not_started", "the list says that it moves"
    opened_there(move, account)
    await move.time.advance(10 * MINUTE, step=5 * MINUTE)
    await move.copy()
    await logged_in_once(move)
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert not move.unlike()
    assert (await move.rejected(OTHER, name=NOBODY)).answer is Answer.REFUSED
