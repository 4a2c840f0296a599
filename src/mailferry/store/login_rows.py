"""What a login asks the store, in one statement each: where it belongs, and what speaks for its password."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import LargeBinary, bindparam, func, or_, select

from mailferry.model.causes import Cause
from mailferry.store import accounts as account_rows
from mailferry.store import domain_refusals
from mailferry.store import passwords as password_rows
from mailferry.store import wrong_tries as tries
from mailferry.store.accounts import Account
from mailferry.store.database import Glance
from mailferry.store.domain_refusals import DomainRefusals
from mailferry.store.domains import Domain
from mailferry.store.passwords import PasswordRecord
from mailferry.store.prepared import Prepared
from mailferry.store.schema import accounts, domains, passwords, wrong_tries

_DOMAIN = [domains.c[field.name] for field in fields(Domain)]
_ACCOUNT = account_rows.columns()
_PASSWORD = password_rows.COLUMNS
_TO_ACCOUNT, _TO_PASSWORD = len(_DOMAIN), len(_DOMAIN) + len(_ACCOUNT)


def _apart(columns: list[Any]) -> list[Any]:
    """Name columns so that those of several tables stand in one row."""
    return [column.label(f"{column.table.name}_{column.name}") for column in columns]


PLACE = Prepared(
    select(*_apart(_DOMAIN), *_apart(_ACCOUNT), *_apart(_PASSWORD))
    .select_from(domains)
    .outerjoin(accounts, accounts.c.address == bindparam("address"))
    .outerjoin(passwords, passwords.c.account_id == accounts.c.id)
    .where(domains.c.name == bindparam("domain"))
)
"""Of the canonical `address` in `domain`: the domain, the account and its password, as far as they are there."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The rows of one login's place at the moment `at`, on the database's clock."""

    at: float
    domain: Domain
    account: Account | None = None
    password: PasswordRecord | None = None


# Values are made once of the same octets in the store: nothing is decided by what the store does not hold now.


@lru_cache(maxsize=256)
def _domain_of(row: tuple[Any, ...]) -> Domain:
    return Domain(*row)


@lru_cache(maxsize=512)
def _account_of(row: tuple[Any, ...]) -> tuple[Account, PasswordRecord]:
    between = _TO_PASSWORD - _TO_ACCOUNT
    account = account_rows.account_of_row(row[:between])
    return account, password_rows.record_of(account.id, [row[between:]])


def placed(seen: Glance) -> Placed | None:
    """Read the answer to PLACE; None when the domain is not there."""
    if not seen.rows:
        return None
    row = seen.rows[0]
    domain = _domain_of(tuple(row[:_TO_ACCOUNT]))
    if row[_TO_ACCOUNT] is None:
        return Placed(seen.at, domain)
    return Placed(seen.at, domain, *_account_of(tuple(row[_TO_ACCOUNT:])))


def _refused_now() -> Any:
    """The newest certain refusal of this very password that is still remembered."""
    said = func.substr(wrong_tries.c.password_key, 1, tries.PASSWORD_OCTETS, type_=LargeBinary)
    return (
        select(wrong_tries.c.cause)
        .where(
            wrong_tries.c.account_key == bindparam("account_key"),
            said == bindparam("password_key"),
            or_(*(wrong_tries.c.cause == cause.value for cause in sorted(tries.CERTAIN))),
            wrong_tries.c.at > bindparam("at") - tries.REMEMBERED_SECONDS,
            or_(
                passwords.c.tries_forgotten_at.is_(None),
                wrong_tries.c.at > passwords.c.tries_forgotten_at,
            ),
        )
        .order_by(wrong_tries.c.id.desc())
        .limit(1)
        .correlate(passwords)
        .scalar_subquery()
    )


SHIELD = Prepared(
    select(
        accounts.c.id,
        accounts.c.source_login,
        _refused_now(),
        *domain_refusals.looked_up(
            bindparam("domain"), bindparam("domain_before"), bindparam("at"), bindparam("good_seconds")
        ),
        *_PASSWORD,
    )
    .select_from(accounts)
    .outerjoin(passwords, passwords.c.account_id == accounts.c.id)
    .where(accounts.c.address == bindparam("address"))
)
"""What speaks for and against asking the source about a password that it may have taken before.

Of the `address` in `domain` (`domain_before`: domain_refusals.before of it), by the keyed hashes `account_key` and
`password_key`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer to SHIELD: `refused` is what the source said to this very password a moment ago."""

    source_login: str | None
    refused: Cause | None
    of_domain: DomainRefusals
    password: PasswordRecord


def standing(seen: Glance) -> Standing | None:
    """Read the answer to SHIELD; None when nobody has heard of the account."""
    if not seen.rows:
        return None
    account_id, source_login, cause, count, watched, *password = seen.rows[0]
    return Standing(
        source_login,
        None if cause is None else Cause(cause),
        DomainRefusals(count, bool(watched)),
        password_rows.record_of(account_id, [password]),
    )
