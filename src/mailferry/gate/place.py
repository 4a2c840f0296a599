"""Where a login belongs: its domain, its account if there is one yet, and the servers of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection

from mailferry.model.access import Protocol, Server
from mailferry.model.account import Phase
from mailferry.model.server_url import parse_server_url
from mailferry.plan.addresses import domain_of
from mailferry.store import accounts, domains, passwords
from mailferry.store.accounts import Account
from mailferry.store.database import db_now
from mailferry.store.domains import Domain

_parsed = lru_cache(maxsize=4096)(parse_server_url)


@dataclass(frozen=True, slots=True)
class Place:
    """One login's place, as the store had it a moment ago."""

    address: str
    domain: Domain
    account: Account | None
    window_open: bool
    freeze_expired: bool = False
    """The account's freeze has passed its deadline: whoever meets it sets it back."""
    password_epoch: int = 0
    """Of the password that was recorded before any server was asked; 0 while there was none."""

    @property
    def phase(self) -> Phase:
        """The account's phase; an account nobody has heard of is IDLE."""
        return Phase.IDLE if self.account is None else self.account.phase

    @property
    def source_login(self) -> str | None:
        """The account's own name at the source, where a mapping gives one."""
        return None if self.account is None else self.account.source_login

    def source(self, protocol: Protocol) -> Server | None:
        """Return the source's server for `protocol`, None where it does not speak it."""
        imap = protocol is Protocol.IMAP
        url = self.domain.source_imap if imap else self.domain.source_pop3
        return _parsed(url) if url else None

    def asked_source(self, protocol: Protocol) -> Server:
        """Return the source's server for a password check: over its other protocol where it lacks this one."""
        server = self.source(protocol) or self.source(Protocol.IMAP) or self.source(Protocol.POP3)
        assert server is not None, "the store admits no domain without a source"
        return server


def find_place(conn: Connection, address: str) -> Place | None:
    """Return the place of the canonical `address`, or None when its domain is not moved by us."""
    domain = domains.find(conn, domain_of(address))
    if domain is None:
        return None
    account = accounts.find(conn, address)
    now = db_now(conn)
    if account is None:
        return Place(address, domain, None, domain.window_holds(now))
    frozen = account.phase is Phase.FREEZE
    return Place(
        address,
        domain,
        account,
        domain.window_holds(now),
        freeze_expired=frozen and (account.freeze_until or 0.0) <= now,
        password_epoch=passwords.get(conn, account.id).password_epoch,
    )
