"""The gate of one process, built from its parts: behind the doors of a proxy and behind the user page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from mailferry.app.parts import Parts
from mailferry.gate.admission import Admission, LoginAttempt
from mailferry.gate.carrying_out import Hands
from mailferry.gate.checking import Checker
from mailferry.gate.gatekeeper import Gatekeeper
from mailferry.gate.judges import Judges
from mailferry.gate.live_sessions import SessionBook
from mailferry.gate.penalty import Penalty
from mailferry.gate.tap_choice import TapChoice
from mailferry.passwords.service_key import service_key
from mailferry.store import sessions
from mailferry.store.accounts import Account
from mailferry.store.faults import StoreUnavailable
from mailferry.store.wrong_tries import TryLimits


@dataclass(frozen=True, slots=True)
class BuiltGate:
    """The gate, and what its owner begins and ends with it."""

    gatekeeper: Gatekeeper
    judges: Judges
    penalty: Penalty
    book: SessionBook


def build_gate(parts: Parts, *, node: Callable[[], int]) -> BuiltGate:
    """Return the gate of this process; `node` tells its row in the store."""
    reactor, database, log = parts.reactor, parts.database, parts.log

    async def kept_out(account: Account) -> None:
        """Let the copier know that it may be in a user's way."""
        try:
            await database.run("kept out", lambda conn: sessions.kept_out(conn, account.id), durable=False)
        except StoreUnavailable as error:
            log.error("the copier is not told of a waiting user", why=str(error))

    judges = Judges(
        connector=parts.connector,
        profiles=parts.profiles,
        target=parts.target,
        reactor=reactor,
        kept_out=kept_out,
    )
    penalty = make_penalty(parts, judges)
    quiet_seconds = float(parts.settings.copy_.quiet_seconds)
    book = SessionBook(database, node=node, reactor=reactor, quiet_seconds=quiet_seconds, log=log)
    hands = Hands(
        database=database,
        judges=judges,
        penalty=penalty,
        keeper=parts.keeper,
        book=book,
        taps=TapChoice(database),
        restored=parts.restored,
    )
    gatekeeper = Gatekeeper(
        hands, reactor=reactor, log=log, default_domain=parts.settings.service.default_domain
    )
    return BuiltGate(gatekeeper, judges, penalty, book)


def make_checker(parts: Parts, admit: Callable[[LoginAttempt], Deferred[Admission]]) -> Checker:
    """Return what judges passwords without giving a session; `admit` is the gate's of this process."""
    return Checker(
        admit=admit,
        database=parts.database,
        keeper=parts.keeper,
        restored=parts.restored,
        log=parts.log,
        default_domain=parts.settings.service.default_domain,
    )


def make_penalty(parts: Parts, judges: Judges) -> Penalty:
    """Return the shield before the judges; a process that asks sources has one."""
    service, shield = parts.settings.service, parts.settings.shield
    return Penalty(
        database=parts.database,
        judges=judges,
        keeper=parts.keeper,
        key=service_key(service.key, service.state_dir).derive("refusals"),
        limits=TryLimits(shield.wrong_per_account, shield.wrong_per_source_minute),
        reactor=parts.reactor,
    )
