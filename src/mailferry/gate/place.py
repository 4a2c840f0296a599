"""Where a login belongs: its domain, its account if there is one yet, and the servers of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import Connection

from mailferry.model.access import Protocol, Server
from mailferry.model.account import Phase
from mailferry.model.server_url import parse_server_url
from mailferry.plan.addresses import domain_of
from mailferry.plan.routing import phase_without_account
from mailferry.store import login_rows
from mailferry.store.accounts import Account
from mailferry.store.database import Database, Glance, db_now
from mailferry.store.domains import Domain
from mailferry.store.passwords import PasswordRecord

_parsed = lru_cache(maxsize=4096)(parse_server_url)


@dataclass(frozen=True, slots=True)
class Place:
    """One login's place, as the store had it a moment ago."""

    address: str
    domain: Domain
    account: Account | None
    phase: Phase
    """The account's phase, or that of an address which nobody has heard of."""
    window_open: bool
    freeze_expired: bool = False
    """The account's freeze has passed its deadline: whoever meets it sets it back."""
    password: PasswordRecord | None = field(default=None, repr=False)
    """What was recorded of the password before any server was asked."""
    at: float = 0.0
    """When all this was so, on the database's clock."""

    @property
    def listed(self) -> bool:
        """Whether the address may move at all."""
        return self.account is not None or not self.domain.only_listed

    @property
    def password_epoch(self) -> int:
        """The recorded password's epoch; 0 while there was none."""
        return 0 if self.password is None else self.password.password_epoch

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


async def place_of(database: Database, address: str) -> Place | None:
    """Return the place of the canonical `address`, or None when its domain is not moved by us."""
    asked = {"address": address, "domain": domain_of(address)}
    return _place(address, login_rows.placed(await database.glance("login", login_rows.PLACE, asked)))


def find_place(conn: Connection, address: str) -> Place | None:
    """Return the same inside a transaction."""
    asked = {"address": address, "domain": domain_of(address)}
    seen = Glance(db_now(conn), login_rows.PLACE.on(conn, asked))
    return _place(address, login_rows.placed(seen))


def _place(address: str, found: login_rows.Placed | None) -> Place | None:
    if found is None:
        return None
    account, at = found.account, found.at
    domain = found.domain
    frozen = account is not None and account.phase is Phase.FREEZE and (account.freeze_until or 0.0) <= at
    return Place(
        address,
        domain,
        account,
        phase_without_account(only_listed=domain.only_listed) if account is None else account.phase,
        domain.window_holds(at),
        freeze_expired=frozen,
        password=found.password,
        at=at,
    )
