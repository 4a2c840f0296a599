"""Two hundred logins at once, with the old and the new password, at several proxies over one store (T23)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred, DeferredList

from mailferry.app import proxy
from mailferry.app.proxy import ProxyRole
from mailferry.app.worker import WorkerContext
from mailferry.gate.admission import Admission, Admitted, LoginAttempt
from mailferry.model.access import Credentials, Protocol, Secret
from mailferry.model.account import Phase
from mailferry.observe.log import get_log
from mailferry.passwords import schemes
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.store import passwords
from tests.gate.conftest import MakeMove
from tests.kit.move import CLIENT, OLD, OTHER, USER, Move

pytestmark = [pytest.mark.slow, pytest.mark.deadline(240), pytest.mark.hazard("T23")]

LOGINS = 200
PROXIES = 3
WRONG = b"wrong"
GENEROUS = {"wrong_per_account": 100, "wrong_per_source_minute": 600}
"""The shield is shown elsewhere; here each login is to reach the servers."""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every password that is set at the target, in order."""
    found: list[bytes] = []
    push = PasswdFile.push

    async def noted(self: PasswdFile, address: str, new: NewPassword, *, expected: str | None) -> PushResult:
        result = await push(self, address, new, expected=expected)
        if result is PushResult.DONE:
            found.append(new.secret.reveal())
        return result

    monkeypatch.setattr(PasswdFile, "push", noted)
    return found


async def further_proxies(move: Move, number: int) -> list[ProxyRole]:
    """Return proxies as other machines have them, over the same store and before the same target."""

    def leave(why: str) -> None:
        raise AssertionError(why)

    roles = []
    for _ in range(number):
        context = WorkerContext(
            move.parts.settings, move.time.reactor, get_log("proxy"), 0, leave, move.time.times
        )
        roles.append(proxy.build(context, []))
        await move.done(roles[-1].start())
    return roles


def choose_at_source(move: Move, octets: bytes) -> None:
    object.__setattr__(move.source.premises.accounts[USER], "password", octets)


async def race(
    move: Move, roles: Sequence[ProxyRole], dice: random.Random, *, change_after: int
) -> list[tuple[bytes, Admission]]:
    """Begin all logins within a moment; the password changes at the source while they run."""
    running: list[tuple[bytes, Deferred[Admission]]] = []
    for number in range(LOGINS):
        if number == change_after:
            choose_at_source(move, OTHER)
        good = (OLD, OTHER) if number >= change_after else (OLD,)
        typed = WRONG if dice.random() < 0.1 else dice.choice(good)
        protocol = dice.choice((Protocol.IMAP, Protocol.POP3))
        attempt = LoginAttempt(protocol, Credentials(USER, Secret(typed)), CLIENT, f"race{number}")
        running.append((typed, dice.choice(roles).gate.gatekeeper.admit(attempt)))
        if number % 10 == 9:
            await move.time.settle()
    await move.done(DeferredList([login for _, login in running]))
    return [(typed, login.result) for typed, login in running]


async def ended(move: Move, admissions: Sequence[tuple[bytes, Admission]]) -> None:
    for _, admission in admissions:
        if isinstance(admission, Admitted):
            await move.logout(admission)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.PRECOPY, Phase.SWITCHED])
@pytest.mark.parametrize("change_after", [20, 150])
async def test_the_target_opens_with_what_the_source_accepted_last_and_nothing_wrong_was_ever_set(
    begin: MakeMove, written: list[bytes], phase: Phase, change_after: int
) -> None:
    move = await begin(shield=GENEROUS)
    others = await further_proxies(move, PROXIES - 1)
    if phase is not Phase.IDLE:
        await move.logout(await move.admitted())
        await move.time.settle()
    if phase is Phase.SWITCHED:
        await move.copy()
        await move.wait_for(Phase.SWITCHED)
    dice = random.Random(f"{phase.value} {change_after}")
    try:
        admissions = await race(move, [move.proxy, *others], dice, change_after=change_after)
        await ended(move, admissions)
        await move.time.settle()
    finally:
        for role in others:
            await move.done(role.drain())

    assert set(written) <= {OLD, OTHER}
    for typed, admission in admissions:
        if typed == WRONG:
            assert not isinstance(admission, Admitted)
    stored = move.users.read_text().split(":")[1]
    assert schemes.holds(stored, Secret(OTHER)) is True
    assert schemes.holds(stored, Secret(OLD)) is False
    account = move.known()
    record = move.database.read_now("row", lambda conn: passwords.get(conn, account.id))
    assert record.pushed_hash == stored
    assert record.proved_at is not None
    assert not record.target_wins
    assert await move.parts.keeper.sealed_password(account, move.domain()) == Secret(OTHER)
