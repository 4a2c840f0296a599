"""Whether a source's yes proves anything: one that takes a made-up password proves nothing (T21).

Nothing is set at the target on the word of a server that was never seen to refuse a made-up password
for one of its own users. The first push of a domain finds out by one login; a server that accepts it
blocks the domain by itself, and what it "proved" before and never reached the target is forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

from sqlalchemy import Connection

from mailferry.model.access import Protocol
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.model.clock import Clock
from mailferry.observe.log import get_log
from mailferry.store import audit, domains, passwords, source_checks
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.one_by_one import OneByOne

TryMadeUp = Callable[[Account, Domain, Protocol], Awaitable[object]]
"""Logs in at the source's server for that protocol, as the account's user, with a made-up password.

Returns when it was accepted; raises Refused or Unavailable.
"""

ASK_AGAIN_SECONDS = 300.0
"""A server that could not be asked is left alone for so long."""

WHO = "mailferry"

_log = get_log("passwords")


class Word(StrEnum):
    """What a server's acceptance of a password is worth."""

    COUNTS = "counts"
    WORTHLESS = "worthless"
    UNKNOWN = "unknown"
    """The server could not be asked."""


class SourceWord:
    """One per process. Without `try_made_up` every source is believed, which only tests want."""

    def __init__(self, database: Database, *, try_made_up: TryMadeUp | None, clock: Clock) -> None:
        self._database = database
        self._try_made_up = try_made_up
        self._clock = clock
        self._seen_refusing: set[tuple[str, Protocol, str]] = set()
        self._not_answered: dict[tuple[str, Protocol], tuple[float, RemoteFailure]] = {}
        self._turns: dict[str, OneByOne] = {}

    async def worth(self, account: Account, domain: Domain, over: str | None) -> Word:
        """Return what the word of the domain's server for protocol `over` is worth.

        The account has just logged in there, so it exists. Raises StoreUnavailable.
        """
        if domain.blocked:
            return Word.WORTHLESS
        if self._try_made_up is None:
            return Word.COUNTS
        protocol = _asked(domain, over)
        server = _server(domain, protocol)
        if server is None:
            return Word.UNKNOWN  # the domain names another source since
        if (domain.name, protocol, server) in self._seen_refusing:
            return Word.COUNTS
        async with self._turns.setdefault(domain.name, OneByOne()):
            return await self._found_out(account, domain, protocol, server)

    def why_unknown(self, domain: Domain, over: str | None) -> RemoteFailure | None:
        """Return what kept the server from being asked the last time; None when it was not tried."""
        tried = self._not_answered.get((domain.name, _asked(domain, over)))
        return None if tried is None else tried[1]

    async def _found_out(self, account: Account, domain: Domain, protocol: Protocol, server: str) -> Word:
        known = await self._database.read("source checks", lambda conn: _known(conn, domain, protocol))
        if known is None:
            known = await self._tried(account, domain, protocol, server)
        if known is None:
            return Word.UNKNOWN
        if known:
            self._seen_refusing.add((domain.name, protocol, server))
        return Word.COUNTS if known else Word.WORTHLESS

    async def _tried(self, account: Account, domain: Domain, protocol: Protocol, server: str) -> bool | None:
        """Try a made-up password and note what came of it; None when the server could not be asked."""
        assert self._try_made_up is not None
        tried = self._not_answered.get((domain.name, protocol))
        if tried is not None and 0 <= self._clock.now() - tried[0] < ASK_AGAIN_SECONDS:
            return None
        try:
            await self._try_made_up(account, domain, protocol)
        except Refused as refusal:
            if refusal.cause is Cause.OAUTH_REQUIRED:  # it takes no password, so it compared none
                self._unanswered(domain, protocol, refusal)
                return None
            refuses = True
        except Unavailable as failure:
            self._unanswered(domain, protocol, failure)
            return None
        else:
            refuses = False
            _log.error(
                "the source takes any password: the domain is blocked, nothing is set at the target",
                domain=domain.name,
                protocol=protocol.value,
            )
        await self._database.run(
            "source checked",
            lambda conn: note_check(conn, domain.name, protocol, server, refuses=refuses, who=WHO),
        )
        return refuses

    def _unanswered(self, domain: Domain, protocol: Protocol, failure: RemoteFailure) -> None:
        _log.warning(
            "the source could not be checked: passwords are set later", domain=domain.name, why=str(failure)
        )
        self._not_answered[domain.name, protocol] = self._clock.now(), failure


def note_check(
    conn: Connection,
    domain: str,
    protocol: Protocol,
    server: str,
    *,
    refuses: bool,
    who: str,
    variants: tuple[str, ...] | None = None,
) -> None:
    """Record what a server did with a made-up password; a worthless word also undoes what rests on it."""
    before = domains.get(conn, domain).blocked
    source_checks.note(conn, domain, protocol, server, refuses=refuses, variants=variants)
    if not refuses:
        passwords.forget_unproved(conn, domain)
    after = domains.get(conn, domain).blocked
    if after != before:
        what, detail = ("block", "takes any password") if after else ("unblock", "refuses a made-up password")
        audit.write(conn, who=who, what=f"domain.{what}", subject=domain, detail=detail)


def _known(conn: Connection, domain: Domain, protocol: Protocol) -> bool | None:
    for check in source_checks.current(conn, domain.name):
        if check.protocol is protocol:
            return check.refuses
    return None


def _asked(domain: Domain, over: str | None) -> Protocol:
    if over is not None:
        return Protocol(over)
    return Protocol.IMAP if domain.source_imap is not None else Protocol.POP3


def _server(domain: Domain, protocol: Protocol) -> str | None:
    return domain.source_imap if protocol is Protocol.IMAP else domain.source_pop3
