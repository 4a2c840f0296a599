"""Console sign-ins: who may administer, and whether a password is theirs. Blocking, slow on purpose."""

from __future__ import annotations

import functools
import re
from typing import Any

from sqlalchemy import Connection

from mailferry.model.access import Secret
from mailferry.passwords import verifiers
from mailferry.roster.moments import moment
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import audit
from mailferry.store import sign_ins as rows
from mailferry.store.database import Database

SHORTEST_PASSWORD = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def add(database: Database, name: str, password: Secret, *, who: str) -> None:
    """Add a sign-in, or give the one of that name another password; raises RosterRefusal."""
    if not _NAME.fullmatch(name):
        raise RosterRefusal("a sign-in's name has letters, digits and . _ @ - and at most 64 of them")
    if len(password) < SHORTEST_PASSWORD:
        raise RosterRefusal(f"a console password has at least {SHORTEST_PASSWORD} characters")
    verifier = verifiers.make_verifier(password)

    def write(conn: Connection) -> None:
        rows.put(conn, name, verifier)
        audit.write(conn, who=who, what="admin.add", subject=name)

    database.run_now("admin add", write)


def listing(database: Database) -> list[dict[str, Any]]:
    """Return all sign-ins by name."""
    found = database.read_now("admins", rows.listing)
    return [{"name": one.name, "added_at": moment(one.added_at)} for one in found]


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
