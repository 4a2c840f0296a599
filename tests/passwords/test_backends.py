"""What every backend keeps to, asked of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from twisted.internet.defer import DeferredList, ensureDeferred

from mailferry.config.settings import BackendName, PasswordSettings
from mailferry.model.causes import Unavailable
from mailferry.passwords.backend import PasswordBackend, PushResult
from mailferry.passwords.backends import FACTORIES, make_backend
from mailferry.passwords.none import NoBackend
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.canary import canary, search
from tests.kit.peer_plugin import require
from tests.kit.stores import empty_database

USER = "zhang@a.test"
OTHER = "li@a.test"
NASTY = [
    "o'brien@a.test",
    '"quote"@a.test',
    "%u@a.test",
    "$(id)@a.test",
    "-x@a.test",
    "用户@a.test",
    "a;b--@a.test",
]


@dataclass
class Bed:
    """A backend, who stands in it, and how its place is broken."""

    backend: PasswordBackend
    creating: PasswordBackend | None
    break_it: Callable[[], object]


def passwd_file(folder: Path, threads: WorkThreads) -> Bed:
    path = folder / "users"
    path.write_text("".join(f"{user}:{{PLAIN}}old:::::\n" for user in (USER, OTHER, *NASTY)))

    def made(*, create: bool) -> PasswordBackend:
        settings = {"backend": "passwd-file", "passwd-file": {"path": str(path), "create": create}}
        return make_backend(PasswordSettings.model_validate(settings), threads)

    return Bed(made(create=False), made(create=True), path.unlink)


def sql(kind: str, folder: Path, threads: WorkThreads, request: pytest.FixtureRequest) -> Bed:
    if kind == "postgresql":
        require("postgresql")
    url, remove = empty_database(kind, folder)
    request.addfinalizer(remove)
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, password TEXT)"))
        for user in (USER, OTHER, *NASTY):
            conn.execute(text("INSERT INTO mailbox VALUES (:user, '{PLAIN}old')"), {"user": user})

    def made(create: str) -> PasswordBackend:
        settings = {"backend": "sql", "sql": {"url": url, "create": create}}
        return make_backend(PasswordSettings.model_validate(settings), threads)

    def break_it() -> None:
        with engine.begin() as conn:
            conn.execute(text("DROP TABLE mailbox"))
        engine.dispose()

    request.addfinalizer(engine.dispose)
    insert = "INSERT INTO mailbox (username, password) VALUES (:address, :hash)"
    return Bed(made(""), made(insert), break_it)


@pytest.fixture(
    params=[
        "passwd-file",
        "sql-sqlite",
        pytest.param("sql-postgresql", marks=pytest.mark.peer("postgresql")),
    ]
)
def bed(request: pytest.FixtureRequest, tmp_path: Path, threads: WorkThreads) -> Bed:
    if request.param == "passwd-file":
        return passwd_file(tmp_path, threads)
    return sql(request.param.removeprefix("sql-"), tmp_path, threads, request)


def test_every_backend_of_the_configuration_has_its_factory() -> None:
    assert set(FACTORIES) == set(BackendName) - {BackendName.COMMAND}  # which the settings refuse


async def test_what_is_set_is_read_back_and_nobody_else_is_touched(bed: Bed) -> None:
    assert await bed.backend.current(USER) == "{PLAIN}old"
    assert await bed.backend.push(USER, "{X}new", expected="{PLAIN}old") is PushResult.DONE
    assert await bed.backend.current(USER) == "{X}new"
    assert await bed.backend.current(OTHER) == "{PLAIN}old"


@pytest.mark.hazard("T22")
async def test_something_else_than_expected_is_left_alone(bed: Bed) -> None:
    assert await bed.backend.push(USER, "{X}new", expected="{PLAIN}other") is PushResult.CONFLICT
    assert await bed.backend.push(USER, "{X}new", expected="") is PushResult.CONFLICT
    assert await bed.backend.push(USER, "{X}new", expected=None) is PushResult.CONFLICT
    assert await bed.backend.current(USER) == "{PLAIN}old"


async def test_a_missing_account_stays_missing_where_none_is_made(bed: Bed) -> None:
    assert await bed.backend.current("nobody@a.test") is None
    assert await bed.backend.push("nobody@a.test", "{X}new", expected=None) is PushResult.MISSING
    assert await bed.backend.push("nobody@a.test", "{X}new", expected="{PLAIN}old") is PushResult.MISSING
    assert await bed.backend.current("nobody@a.test") is None


async def test_a_missing_account_is_made_where_that_is_wanted(bed: Bed) -> None:
    assert bed.creating is not None
    assert await bed.creating.push("new@a.test", "{X}new", expected=None) is PushResult.CREATED
    assert await bed.creating.current("new@a.test") == "{X}new"
    assert await bed.creating.push("new@a.test", "{X}other", expected=None) is PushResult.CONFLICT
    assert await bed.creating.current(USER) == "{PLAIN}old"


@pytest.mark.hazard("T25")
@pytest.mark.parametrize("user", NASTY)
async def test_no_name_is_anything_but_a_name(bed: Bed, user: str) -> None:
    assert await bed.backend.push(user, "{X}%u$(id)''--", expected="{PLAIN}old") is PushResult.DONE
    assert await bed.backend.current(user) == "{X}%u$(id)''--"
    assert await bed.backend.current(USER) == "{PLAIN}old"


@pytest.mark.hazard("T25")
@pytest.mark.parametrize("pattern", ["%", "_hang@a.test", "' OR '1'='1", "*", "ZHANG@A.TEST "])
async def test_no_pattern_finds_an_account(bed: Bed, pattern: str) -> None:
    assert await bed.backend.current(pattern) is None


@pytest.mark.hazard("T23")
@pytest.mark.deadline(60)
async def test_of_many_that_expect_the_same_exactly_one_gets_through(bed: Bed) -> None:
    pushes = [ensureDeferred(bed.backend.push(USER, f"{{X}}{n}", expected="{PLAIN}old")) for n in range(12)]
    results = [result for _, result in await DeferredList(pushes)]
    assert results.count(PushResult.DONE) == 1
    assert results.count(PushResult.CONFLICT) == 11
    assert await bed.backend.current(USER) == f"{{X}}{results.index(PushResult.DONE)}"


@pytest.mark.hazard("T31")
async def test_a_place_that_cannot_be_asked_is_unavailable_and_names_no_hash(bed: Bed) -> None:
    word = canary()
    bed.break_it()
    seen = ""
    for asking in (bed.backend.current(USER), bed.backend.push(USER, f"{{X}}{word}", expected="x")):
        with pytest.raises(Unavailable) as caught:
            await asking
        seen += f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert not list(search(seen.encode(), [word, word.split()[1]]))


async def test_the_backend_none_never_sets_anything() -> None:
    backend: PasswordBackend = NoBackend()
    assert not backend.pushes
    assert await backend.current(USER) is None
    assert await backend.push(USER, "x", expected=None) is PushResult.MISSING
