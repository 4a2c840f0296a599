"""Console sign-ins: who may administer, and whether a password is theirs. Blocking, slow on purpose."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from mailferry.model.access import Secret
from mailferry.passwords import verifiers
from mailferry.roster.lookup import domain_at
from mailferry.roster.moments import moment
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import AdminRole, Rights, check_name
from mailferry.store import audit
from mailferry.store import sign_ins as rows
from mailferry.store.database import Database

SHORTEST_PASSWORD = 10


def add(
    database: Database,
    name: str,
    password: Secret,
    *,
    who: str,
    role: AdminRole | None = None,
    domains: Collection[str] = (),
) -> None:
    """Add a sign-in, or give the one of that name another password; raises RosterRefusal.

    Without a role one that is there keeps its rights, and a new one is an owner. A domain
    administrator needs domains; a reader with domains reads those alone.
    """
    check_name("sign-in", name)
    if len(password) < SHORTEST_PASSWORD:
        raise RosterRefusal(f"a console password has at least {SHORTEST_PASSWORD} characters")
    if role is AdminRole.READER and domains:
        role = AdminRole.DOMAIN_READER
    if bool(domains) is not (role is not None and role.of_domains):
        raise RosterRefusal(
            "an owner has all domains; name domains (--domain) for domain-admin, and for reader if you like"
        )
    verifier = verifiers.make_verifier(password)

    def write(conn: Connection) -> None:
        named = [domain_at(conn, domain).name for domain in domains]
        rows.put(conn, name, verifier, role=None if role is None else role.value, domains=named)
        detail = None if role is None else " ".join([role.value, *sorted(named)])
        audit.write(conn, who=who, what="admin.add", subject=name, detail=detail)

    database.run_now("admin add", write)


def listing(database: Database) -> list[dict[str, Any]]:
    """Return all sign-ins by name."""
    found = database.read_now("admins", rows.listing)
    return [
        {
            "name": one.name,
            "role": one.role,
            "domains": list(one.domains) if AdminRole(one.role).of_domains else None,
            "added_at": moment(one.added_at),
        }
        for one in found
    ]


def rights_of(sign_in: rows.SignIn) -> Rights:
    """Return what somebody who is signed in to the console may do."""
    role = AdminRole(sign_in.role)
    domains = frozenset(sign_in.domains) if role.of_domains else None
    return Rights(sign_in.name, f"console:{sign_in.name}", role, domains)


def remove(database: Database, name: str, *, who: str) -> None:
    """Remove a sign-in; raises RosterRefusal when there is none."""

    def write(conn: Connection) -> None:
        if not rows.remove(conn, name):
            raise RosterRefusal(f"there is no sign-in {name}")
        audit.write(conn, who=who, what="admin.remove", subject=name)

    database.run_now("admin remove", write)


def is_theirs(database: Database, name: str, password: Secret) -> bool:
    """Whether `password` signs `name` in; takes as long for a name that does not exist."""
    found = database.read_now("admin", lambda conn: rows.find(conn, name))
    return verifiers.matches(_nobodys() if found is None else found.verifier, password) and found is not None


@functools.cache
def _nobodys() -> str:
    return verifiers.make_verifier(Secret(b"nobody has this password"))
