"""Bringing a database to the newest version of the tables, in one transaction: the old ones or the new ones, never between."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from mailferry.store.all_tables import everything
from mailferry.store.faults import StoreUnavailable

_UPGRADE_KEY = 0x6D61696C
"""Number of PostgreSQL's advisory lock under which one process at a time upgrades."""


KNOWN = ("0001", "0002", "0003", "0004", "0005")
"""All versions in `versions/`, oldest first; a test holds them against alembic's own reading."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Which version of the tables a database has (None: it is empty) and which is the newest known."""

    present: str | None
    newest: str

    @property
    def current(self) -> bool:
        """Whether nothing is to be upgraded."""
        return self.present == self.newest


def versions(conn: Connection) -> Versions:
    """Return the versions; raises StoreUnavailable when the database is newer than this program."""
    present = None
    if inspect(conn).has_table("alembic_version"):
        present = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if present is not None and present not in KNOWN:
        raise StoreUnavailable(
            f"the database has version {present}, which this mailferry does not know (newest: {KNOWN[-1]}); "
            "install the newer mailferry again, or restore the back-up made before the upgrade"
        )
    return Versions(present=present, newest=KNOWN[-1])


def require_current(conn: Connection) -> None:
    """Raise StoreUnavailable, with the command that helps, unless the tables have the newest version."""
    found = versions(conn)
    if not found.current:
        state = "is empty" if found.present is None else f"has version {found.present}"
        raise StoreUnavailable(f"the database {state}, {found.newest} is needed; run `mailferry db upgrade`")


def upgrade(conn: Connection) -> Versions:
    """Bring the tables to the newest version inside the caller's transaction; return what was there before.

    Raises StoreUnavailable for a newer version, or for tables that are not ours.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_KEY})
    before = versions(conn)
    if before.current:
        return before
    strangers = set(inspect(conn).get_table_names()) & set(everything.tables)
    if before.present is None and strangers:
        raise StoreUnavailable(
            f"the database has a table {min(strangers)} but no version; give mailferry an empty database"
        )
    from alembic import command  # a second of start-up that only an upgrade needs
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "mailferry:store")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
    return before
