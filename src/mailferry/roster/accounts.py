"""Looking at accounts: one of them whole, pages of many, their history and what was not copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from mailferry.model.account import State
from mailferry.model.causes import Actor, Cause
from mailferry.plan.addresses import domain_of
from mailferry.roster.account_views import history_row, not_listed, skipped_row, summary, whole
from mailferry.roster.lookup import account_at, address_of, domain_at, no_such_domain
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import account_listing, account_pages, cutovers, domains, passwords, remarks
from mailferry.store import accounts as account_rows
from mailferry.store import skipped as skipped_rows
from mailferry.store.account_listing import AccountFilter
from mailferry.store.account_pages import Sort
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain

Choice = TypeVar("Choice", State, Cause, Actor)

PAGE = 100
LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class AccountPage:
    """One page of summaries; `next_after` is the `after` of the next page, None at the end."""

    accounts: list[dict[str, Any]]
    next_after: str | None
    matching: int
    """How many accounts fit the filter in all."""


def wanted(
    *,
    domain: str | None = None,
    state: str | None = None,
    cause: str | None = None,
    search: str | None = None,
    paused: bool | None = None,
    within: frozenset[str] | None = None,
    actor: str | None = None,
    verified: bool | None = None,
) -> AccountFilter:
    """Return the filter that the words mean; raises RosterRefusal that names what is known."""
    return AccountFilter(
        domain=None if domain is None else domain.strip().rstrip(".").lower(),
        state=None if state is None else _known(State, state, "state"),
        cause=None if cause is None else _known(Cause, cause, "cause"),
        search=search or None,
        paused=paused,
        within=within,
        actor=None if actor is None else _known(Actor, actor, "actor"),
        verified=verified,
    )


def page(
    database: Database,
    only: AccountFilter | None = None,
    *,
    after: str | None = None,
    limit: int = PAGE,
    sort: Sort = Sort.ADDRESS,
    descending: bool = False,
) -> AccountPage:
    """Return one page; raises RosterRefusal for an `after` that no page of that order gave."""

    def read(conn: Connection) -> AccountPage:
        _see_domain(conn, only)
        now = db_now(conn)
        size = max(1, min(limit, LARGEST_PAGE))
        try:
            found = account_pages.listing(
                conn, only, after=after, limit=size, sort=sort, descending=descending
            )
        except account_pages.BadKey as error:
            raise RosterRefusal(str(error)) from None
        all_of_them = after is None and found.next_after is None
        return AccountPage(
            accounts=[summary(account, now=now) for account in found.accounts],
            next_after=found.next_after,
            matching=len(found.accounts) if all_of_them else account_listing.count(conn, only),
        )

    return database.read_now("accounts", read)


def every(database: Database, only: AccountFilter | None = None) -> Iterator[dict[str, Any]]:
    """Return all summaries that fit, page by page, so that no list of all accounts is ever held."""
    after: str | None = None
    while True:

        def read(conn: Connection, after: str | None = after) -> tuple[list[dict[str, Any]], str | None]:
            _see_domain(conn, only)
            now = db_now(conn)
            found = account_pages.listing(conn, only, after=after, limit=LARGEST_PAGE)
            return [summary(account, now=now) for account in found.accounts], found.next_after

        shown, after = database.read_now("accounts", read)
        yield from shown
        if after is None:
            return


def _see_domain(conn: Connection, only: AccountFilter | None) -> None:
    """Raise NoSuchDomain when the filter names a domain that is not there, or not the asker's."""
    if only is not None and only.domain is not None:
        if only.within is not None and only.domain not in only.within:
            raise no_such_domain(only.domain)
        domain_at(conn, only.domain)


def show(database: Database, address: str) -> dict[str, Any]:
    """Return everything about one account (contract, section 5); raises NoSuchAccount.

    An address that its domain does not move is shown as not migrating, though nothing is stored of it.
    """

    def read(conn: Connection) -> dict[str, Any]:
        account, domain = account_or_not_listed(conn, address)
        return whole(
            account,
            domain,
            passwords.get(conn, account.id),
            now=db_now(conn),
            sessions=cutovers.open_count(conn, account.id),
            remarks=remarks.of_account(conn, account.id),
        )

    return database.read_now("account", read)


def account_or_not_listed(conn: Connection, name: str) -> tuple[Account, Domain]:
    """Return the account, or what stands for one that its domain does not move; raises NoSuchAccount."""
    address = address_of(name)
    domain = domains.find(conn, domain_of(address))
    if domain is not None and domain.only_listed and account_rows.find(conn, address) is None:
        return not_listed(address, domain), domain
    account = account_at(conn, address)
    return account, domains.get(conn, account.domain)


def log(database: Database, address: str, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return the account's changes of phase, newest first."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        account = account_at(conn, address)
        return [history_row(row) for row in account_rows.log(conn, account.id, limit=limit)]

    return database.read_now("account log", read)


def skipped(database: Database, address: str, *, after: int = 0, limit: int = 500) -> list[dict[str, Any]]:
    """Return messages of the account that were not copied, those whose ids follow `after`."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        account = account_at(conn, address)
        rows = skipped_rows.listing(conn, account.id, after=after, limit=limit)
        return [skipped_row(row) for row in rows]

    return database.read_now("skipped", read)


def skipped_place(database: Database, address: str, number: int) -> tuple[int, int]:
    """Return our number of the mailbox and the source UID of a skipped message; raises RosterRefusal."""

    def read(conn: Connection) -> tuple[int, int]:
        account = account_at(conn, address)
        rows = skipped_rows.listing(conn, account.id, after=number - 1, limit=1)
        if not rows or rows[0].id != number:
            raise RosterRefusal(
                f"this message of {account.address} is not on the list of skipped ones any more"
            )
        return rows[0].mailbox_id, rows[0].source_uid

    return database.read_now("skipped", read)


def every_skipped(database: Database, address: str) -> Iterator[Sequence[dict[str, Any]]]:
    """Yield all messages of the account that were not copied, page by page; at least one page, maybe empty."""
    found = skipped(database, address, limit=LARGEST_PAGE)
    while True:
        yield found
        if len(found) < LARGEST_PAGE:
            return
        found = skipped(database, address, after=found[-1]["id"], limit=LARGEST_PAGE)


def find(database: Database, address: str) -> Account:
    """Return the account's row; raises NoSuchAccount."""
    return database.read_now("account", lambda conn: account_at(conn, address))


def _known(kind: type[Choice], word: str, what: str) -> Choice:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(choice.value for choice in kind)
        raise RosterRefusal(f"there is no {what} {word}; known are {known}") from None
