"""Finding what an administrator names: addresses and domains as people type them, told when there is none."""

from __future__ import annotations

from sqlalchemy import Connection

from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import accounts, domains
from mailferry.store.accounts import Account
from mailferry.store.domains import Domain


class NoSuchAccount(RosterRefusal):
    """There is no account of that address."""


class NoSuchDomain(RosterRefusal):
    """There is no domain of that name."""


def address_of(name: str) -> str:
    """Return the one spelling of the address; raises RosterRefusal with what is wrong with it."""
    try:
        return canonical_address(name)
    except BadAddress as error:
        raise RosterRefusal(f"{name!r} is no account's address: {error}") from error


def account_at(conn: Connection, name: str) -> Account:
    """Return the account; raises NoSuchAccount."""
    address = address_of(name)
    found = accounts.find(conn, address)
    if found is None:
        raise no_such_account(address)
    return found


def domain_at(conn: Connection, name: str) -> Domain:
    """Return the domain; raises NoSuchDomain."""
    found = domains.find(conn, plain_domain(name))
    if found is None:
        raise no_such_domain(name)
    return found


def plain_domain(name: str) -> str:
    """Return a domain's name as the store has it."""
    return name.strip().rstrip(".").lower()


def no_such_account(address: str) -> NoSuchAccount:
    """Return the fault of an account that is not there, or that the asker may not know of."""
    return NoSuchAccount(
        f"there is no account {address} yet; it appears with its first login, or by account import"
    )


def no_such_domain(name: str) -> NoSuchDomain:
    """Return the fault of a domain that is not there, or that the asker may not know of."""
    return NoSuchDomain(f"there is no domain {plain_domain(name)}; add it with domain add")
