"""Sources that look at parts of a password only: what is set is what was typed, and `domain test` says so (T24)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailferry.app.preflight import Line, Sign, preflight
from mailferry.lab.premises import Premises
from mailferry.model.access import Secret, Side
from mailferry.model.account import Phase
from mailferry.passwords import schemes
from mailferry.store import source_checks
from tests.gate.conftest import MakeMove
from tests.kit.move import DOMAIN, USER, Move

pytestmark = [
    pytest.mark.deadline(60),
    pytest.mark.hazard("T24"),
    pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True),
]

Looks = Callable[[bytes], bytes]

LONG = b"a password of eighty octets " + b"x" * 52
CARELESS: dict[str, tuple[Looks, bytes, bytes, set[str]]] = {
    "cuts at 8": (lambda octets: octets[:8], b"long password", b"long pas", {"longer", "blank"}),
    "cuts at 72": (lambda octets: octets[:72], LONG, LONG[:72], {"longer", "blank"}),
    "ignores case": (bytes.lower, b"Password One", b"pASSWORD oNE", {"case"}),
    "trims": (bytes.strip, b"password one", b"password one ", {"blank"}),
}
"""What it looks at; what the user types; another form that the source takes; what `domain test` finds."""


@pytest.fixture
def source_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Looks], None]:
    """A function that makes the old host look at parts of a password."""
    strict = Premises._password_fits

    def make(looks: Looks) -> None:
        def fits(self: Premises, address: str, password: bytes) -> bool:
            known = self.accounts[address].password
            return strict(self, address, password) if known is None else looks(known) == looks(password)

        monkeypatch.setattr(Premises, "_password_fits", fits)

    return make


async def typed(move: Move, octets: bytes, side: Side) -> None:
    """The user gets in with these octets, and they alone open the target then."""
    admission = await move.admitted(octets)
    assert admission.side is side
    await move.logout(admission)
    await move.time.settle()
    assert schemes.holds(move.users.read_text().split(":")[1], Secret(octets)) is True


@pytest.mark.parametrize(
    "kind", [kind if kind == "cuts at 8" else pytest.param(kind, marks=pytest.mark.slow) for kind in CARELESS]
)
async def test_what_is_set_at_the_target_is_what_was_typed_whatever_the_source_looks_at(
    begin: MakeMove, source_looks: Callable[[Looks], None], kind: str
) -> None:
    looks, first, other, _ = CARELESS[kind]
    move = await begin()
    object.__setattr__(move.source.premises.accounts[USER], "password", first)
    source_looks(looks)
    await typed(move, other, Side.SOURCE)
    assert schemes.holds(move.users.read_text().split(":")[1], Secret(first)) is False
    await typed(move, first, Side.SOURCE)
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    await typed(move, other, Side.TARGET)  # two devices with two forms of it: each gets in
    await typed(move, first, Side.TARGET)
    assert schemes.holds(move.users.read_text().split(":")[1], Secret(other)) is False


async def what_domain_test_finds(move: Move, octets: bytes) -> list[Line]:
    """Run `domain test` for the user."""
    work = preflight(move.parts.settings, move.time.reactor, DOMAIN, USER, Secret(octets))
    return [line for line in await move.done(work) if "variants" in line.found]


@pytest.mark.parametrize("kind", CARELESS)
async def test_domain_test_names_the_forms_that_a_careless_source_takes(
    begin: MakeMove, source_looks: Callable[[Looks], None], kind: str
) -> None:
    looks, first, _, expected = CARELESS[kind]
    move = await begin()
    object.__setattr__(move.source.premises.accounts[USER], "password", first)
    assert await what_domain_test_finds(move, first) == []
    source_looks(looks)
    found = await what_domain_test_finds(move, first)
    assert [line.sign for line in found] == [Sign.NOTE]
    noted = move.database.read_now("checks", lambda conn: source_checks.current(conn, DOMAIN))
    assert expected in [set(check.variants or ()) for check in noted]
