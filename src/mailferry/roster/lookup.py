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
        raise NoSuchAccount(
            f"there is no account {address} yet; it appears with its first login, or by account import"
        )
    return found


def domain_at(conn: Connection, name: str) -> Domain:
    """Return the domain; raises NoSuchDomain."""
    plain = name.strip().rstrip(".").lower()
    found = domains.find(conn, plain)
    if found is None:
        raise NoSuchDomain(f"there is no domain {plain}; add it with domain add")
    return found
