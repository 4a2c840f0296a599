"""What every backend keeps to, asked of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import DeferredList, ensureDeferred

from mailferry.config.settings import BackendName
from mailferry.model.causes import Unavailable
from mailferry.passwords.backend import PasswordBackend, PushResult
from mailferry.passwords.backends import FACTORIES
from mailferry.passwords.none import NoBackend
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.canary import canary, search
from tests.passwords.beds import KINDS, Bed, make_bed, new

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
READABLE = [kind for kind in KINDS if not str(kind).startswith("command")]


@pytest.fixture(params=KINDS)
def bed(request: pytest.FixtureRequest, tmp_path: Path, threads: WorkThreads) -> Bed:
    return make_bed(request.param, tmp_path, threads, request, (USER, OTHER, *NASTY))


@pytest.fixture
def expected(bed: Bed) -> str | None:
    """What a push expects where passwords can be read; elsewhere nothing can be expected."""
    return "{PLAIN}old" if bed.backend.readable else None


def shown(bed: Bed, stored: str, password: str) -> str:
    """What stands in the place afterwards: the hash, or the password that a program was given."""
    plain = bed.backend.name == "command" and not getattr(bed.backend, "_hashed")  # noqa: B009
    return "{PLAIN}" + password if plain else stored


def test_every_backend_of_the_configuration_has_its_factory() -> None:
    assert set(FACTORIES) == set(BackendName)


async def test_what_is_set_stands_there_and_nobody_else_is_touched(bed: Bed, expected: str | None) -> None:
    assert await bed.backend.push(USER, new("{X}new", b"pw"), expected=expected) is PushResult.DONE
    assert bed.stored(USER) == shown(bed, "{X}new", "pw")
    assert bed.stored(OTHER) == "{PLAIN}old"


async def test_what_can_be_read_is_read_and_what_cannot_is_never_known(bed: Bed) -> None:
    assert await bed.backend.current(USER) == ("{PLAIN}old" if bed.backend.readable else None)
    assert await bed.backend.current("nobody@a.test") is None


@pytest.mark.parametrize("bed", READABLE, indirect=True)
@pytest.mark.hazard("T22")
async def test_something_else_than_expected_is_left_alone(bed: Bed) -> None:
    assert await bed.backend.push(USER, new("{X}new"), expected="{PLAIN}other") is PushResult.CONFLICT
    assert await bed.backend.push(USER, new("{X}new"), expected="") is PushResult.CONFLICT
    assert await bed.backend.push(USER, new("{X}new"), expected=None) is PushResult.CONFLICT
    assert bed.stored(USER) == "{PLAIN}old"


async def test_a_missing_account_stays_missing_where_none_is_made(bed: Bed) -> None:
    for wanted in (None, "{PLAIN}old"):
        result = await bed.backend.push("nobody@a.test", new("{X}new"), expected=wanted)
        assert result is PushResult.MISSING
    assert bed.stored("nobody@a.test") is None


async def test_a_missing_account_is_made_where_that_is_wanted(bed: Bed) -> None:
    made = await bed.creating.push("new@a.test", new("{X}new", b"pw"), expected=None)
    assert made is (PushResult.CREATED if bed.backend.readable else PushResult.DONE)
    assert bed.stored("new@a.test") == shown(bed, "{X}new", "pw")
    if bed.backend.readable:
        again = await bed.creating.push("new@a.test", new("{X}other"), expected=None)
        assert again is PushResult.CONFLICT
    assert bed.stored(USER) == "{PLAIN}old"


@pytest.mark.hazard("T25")
@pytest.mark.parametrize("user", NASTY)
async def test_no_name_and_no_password_is_anything_but_itself(
    bed: Bed, user: str, expected: str | None
) -> None:
    octets, stored = "%u$(id)`id`''--;\\0 密\"", "{X}%u$(id)''--"
    result = await bed.backend.push(user, new(stored, octets.encode()), expected=expected)
    assert result is PushResult.DONE
    assert bed.stored(user) == shown(bed, stored, octets)
    assert bed.stored(USER) == "{PLAIN}old"


@pytest.mark.hazard("T25")
@pytest.mark.parametrize("pattern", ["%", "_hang@a.test", "' OR '1'='1", "*", "ZHANG@A.TEST "])
async def test_no_pattern_finds_an_account(bed: Bed, pattern: str) -> None:
    assert await bed.backend.current(pattern) is None
    assert await bed.backend.push(pattern, new("{X}new"), expected=None) is PushResult.MISSING


@pytest.mark.hazard("T23")
@pytest.mark.deadline(60)
async def test_of_many_at_once_one_is_set_whole(bed: Bed, expected: str | None) -> None:
    pushes = [
        ensureDeferred(bed.backend.push(USER, new(f"{{X}}{n}", b"%d" % n), expected=expected))
        for n in range(12)
    ]
    results = [result for _, result in await DeferredList(pushes)]
    if bed.backend.readable:
        assert results.count(PushResult.DONE) == 1
        assert results.count(PushResult.CONFLICT) == 11
        assert bed.stored(USER) == f"{{X}}{results.index(PushResult.DONE)}"
    else:
        assert set(results) == {PushResult.DONE}
        assert bed.stored(USER) in {shown(bed, f"{{X}}{n}", f"{n}") for n in range(12)}


@pytest.mark.hazard("T31")
async def test_a_place_that_cannot_be_asked_is_unavailable_and_names_no_hash(bed: Bed) -> None:
    word = canary()
    bed.break_it()
    seen = ""
    asking = [bed.backend.push(USER, new(f"{{X}}{word}", word.encode()), expected="x")]
    if bed.backend.readable:
        asking.append(bed.backend.current(USER))
    for one in asking:
        with pytest.raises(Unavailable) as caught:
            await one
        seen += f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert not list(search(seen.encode(), [word, word.split()[1]]))


async def test_the_backend_none_never_sets_anything() -> None:
    backend: PasswordBackend = NoBackend()
    assert not backend.pushes
    assert await backend.current(USER) is None
    assert await backend.push(USER, new("x"), expected=None) is PushResult.MISSING
