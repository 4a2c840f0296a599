"""Bringing a database to the newest version of the tables, in one transaction: the old ones or the new ones, never between."""

from __future__ import annotations

from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from mailferry.store.faults import StoreUnavailable
from mailferry.store.schema import metadata

_UPGRADE_KEY = 0x6D61696C
"""Number of PostgreSQL's advisory lock under which one process at a time upgrades."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Which version of the tables a database has (None: it is empty) and which is the newest known."""

    present: str | None
    newest: str

    @property
    def current(self) -> bool:
        """Whether nothing is to be upgraded."""
        return self.present == self.newest


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "mailferry:store")
    config.set_main_option("path_separator", "os")
    return config


def versions(conn: Connection) -> Versions:
    """Return the versions; raises StoreUnavailable when the database is newer than this program."""
    scripts = ScriptDirectory.from_config(_config())
    newest = scripts.get_current_head()
    assert newest is not None
    present = MigrationContext.configure(conn).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        raise StoreUnavailable(
            f"the database has version {present}, which this mailferry does not know (newest: {newest}); "
            "install the newer mailferry again, or restore the back-up made before the upgrade"
        )
    return Versions(present=present, newest=newest)


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
    strangers = set(inspect(conn).get_table_names()) & set(metadata.tables)
    if before.present is None and strangers:
        raise StoreUnavailable(
            f"the database has a table {min(strangers)} but no version; give mailferry an empty database"
        )
    config = _config()
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
    return before
