"""What a login costs the store: numbers that must not creep up, for every login pays them."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from types import CodeType, FrameType

import pytest

import mailferry
from mailferry.model.access import Side
from mailferry.model.account import Event
from mailferry.store import accounts, engines, passwords, sessions
from mailferry.store.database import Database
from mailferry.store.glances import Locked
from mailferry.store.jots import Jots
from tests.gate.conftest import MakeMove
from tests.kit.move import OTHER, USER, Move

pytestmark = [
    pytest.mark.deadline(30),
    pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True),
]

OF_A_LOGIN = tuple(
    str(Path(mailferry.__file__).parent / room)
    for room in ("frontends", "gate", "login", "net", "observe", "passwords", "plan", "remote", "store")
)
"""The rooms through which a login goes. The hosts of these tests use others, in the same process."""


class Asked:
    """What the proxy asked of its store, by the names of its questions, and every statement of any connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.statements: list[str] = []
        self.watched: Database | None = None
        for way in ("glance", "jot", "read", "run"):
            monkeypatch.setattr(Database, way, self._noting(way, getattr(Database, way)))
        connect = sqlite3.connect

        def tracing(*place: object, **more: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*place, **more)  # type: ignore[arg-type]
            connection.set_trace_callback(self.statements.append)
            return connection

        monkeypatch.setattr(engines.sqlite3, "connect", tracing)

    def _noting(self, way: str, real):
        def asked(database: Database, name: str, *more, **others):
            if database is self.watched:
                self.calls.append(f"{way} {name}")
            return real(database, name, *more, **others)

        return asked

    def begin(self, move: Move) -> None:
        self.watched = move.parts.database
        self.calls.clear()
        self.statements.clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


async def login_and_out(move: Move, side: Side, **more) -> None:
    admission = await move.admitted(**more)
    assert admission.side is side
    await move.logout(admission)
    await move.gate.settled()
    await move.penalty.settled()
    await move.parts.keeper.settled()


async def proved(begin: MakeMove) -> Move:
    """A move whose user has logged in, so that the password is sealed, set and proved at the target."""
    move = await begin()
    await login_and_out(move, Side.SOURCE)
    account = move.known()
    assert (await move.parts.keeper.push_and_prove(account, move.domain())).in_place
    return move


async def flipped(begin: MakeMove) -> Move:
    move = await proved(begin)
    for event in (Event.FREEZE_SET, Event.FLIPPED):
        account = move.known()
        move.database.run_now("flip", lambda c, a=account, e=event: accounts.apply(c, a.id, e, epoch=a.epoch))
    return move


async def test_a_login_after_the_flip_is_one_statement(asked: Asked, begin: MakeMove) -> None:
    move = await flipped(begin)
    await login_and_out(move, Side.TARGET)
    asked.begin(move)
    await login_and_out(move, Side.TARGET)
    assert asked.calls == ["glance login"]
    assert len(asked.statements) == 1


async def test_the_first_login_after_the_flip_asks_for_late_mail_behind_it(
    asked: Asked, begin: MakeMove
) -> None:
    move = await flipped(begin)
    asked.begin(move)
    admission = await move.admitted()
    assert asked.calls[:2] == ["glance login", "run ask sweep"]
    await move.logout(admission)
    await move.gate.settled()
    assert move.known().sweep_asked_at is not None


async def test_a_login_before_the_flip_is_three_short_questions_and_two_rows_of_its_session(
    asked: Asked, begin: MakeMove
) -> None:
    move = await proved(begin)
    await login_and_out(move, Side.SOURCE)
    asked.begin(move)
    await login_and_out(move, Side.SOURCE)
    assert asked.calls == [
        "glance login",
        "glance shield",
        "jot open session",
        "glance password",
        "jot close session",
    ]
    begun = [text for text in asked.statements if text.startswith(("BEGIN", "COMMIT"))]
    assert len(begun) == 4
    others = set(asked.statements) - set(begun)  # SQLite tells a deletion again where it cascades
    assert len(others) == 6  # the questions; the row in; what ended is counted, the row out


async def test_while_somebody_else_writes_the_rows_of_a_session_go_by_a_thread(
    asked: Asked, begin: MakeMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = await proved(begin)
    await login_and_out(move, Side.SOURCE)

    def locked(*_: object) -> None:
        raise Locked

    monkeypatch.setattr(Jots, "run", locked)
    asked.begin(move)
    await login_and_out(move, Side.SOURCE)
    assert [call for call in asked.calls if call.endswith("session")] == [
        "jot open session",
        "run open session",
        "jot close session",
        "run close session",
    ]
    assert move.database.read_now("rows", sessions.counts) == {}


async def test_a_password_that_the_source_changed_is_read_and_recorded_as_before(
    asked: Asked, begin: MakeMove
) -> None:
    move = await proved(begin)
    await login_and_out(move, Side.SOURCE)
    object.__setattr__(move.source.premises.accounts[USER], "password", OTHER)
    await login_and_out(move, Side.SOURCE, password=OTHER)
    account = move.known()
    record = move.database.read_now("record", lambda c: passwords.get(c, account.id))
    assert record.password_epoch == 2
    opened = await move.parts.keeper.sealed_password(account, move.domain())
    assert opened is not None
    assert opened.reveal() == OTHER


async def test_a_proof_that_is_lost_is_made_again_at_the_next_login_after_the_flip(
    asked: Asked, begin: MakeMove
) -> None:
    move = await flipped(begin)
    await login_and_out(move, Side.TARGET)
    account = move.known()
    record = move.database.read_now("record", lambda c: passwords.get(c, account.id))
    move.database.run_now(
        "unproved",
        lambda c: passwords.pushed(
            c, account.id, password_epoch=record.password_epoch, pushed_hash=record.pushed_hash or ""
        ),
    )
    await login_and_out(move, Side.TARGET)
    record = move.database.read_now("record", lambda c: passwords.get(c, account.id))
    assert record.proved_at is not None


class Calls:
    """How often Python calls a function of the rooms of a login."""

    def __init__(self) -> None:
        self.number = 0
        self._ours: dict[CodeType, bool] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self._ours:
                self._ours[code] = code.co_filename.startswith(OF_A_LOGIN)
            self.number += self._ours[code]

    async def of_a_login(self, move: Move) -> int:
        """Return how many one session takes through the door, from its first octet to its last."""
        self.number = 0
        sys.setprofile(self)
        try:
            program = await move.program()
            program.send(b"x LOGOUT\r\n")
            await move.done(program.expect(b"x OK"))
            await program.gone()
        finally:
            sys.setprofile(None)
        await move.until(lambda: not any(len(door) for _, door in move.proxy._doors))
        return self.number


@pytest.mark.parametrize(("after_the_flip", "most"), [(True, 640), (False, 755)])
async def test_a_login_takes_so_many_calls_of_functions(
    begin: MakeMove, after_the_flip: bool, most: int
) -> None:
    move = await (flipped if after_the_flip else proved)(begin)
    calls = Calls()
    for _ in range(2):  # what is done once and remembered
        await calls.of_a_login(move)
    assert await calls.of_a_login(move) <= most
