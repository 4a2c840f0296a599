"""Inserts that say what becomes of a row that is there already: the two databases have words of their own for it.

Only the dialect in use is loaded: PostgreSQL's alone is a tenth of what a command loads to start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Upsert = sqlite.Insert | postgresql.Insert


def upsert(conn: Connection, table: Table) -> Upsert:
    """Return an insert into `table` that takes `on_conflict_do_update` or `on_conflict_do_nothing`."""
    made: Upsert
    made = import_module(f"sqlalchemy.dialects.{conn.dialect.name}").insert(table)
    return made
