"""Ways to break the product's promise on purpose, to show that the story would notice.

Each works behind the product's back, after the move and before the second login: in the new host's
mail, in its passwd-file, or in the store's own rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from mailferry.lab.passwd_file import write_hash
from mailferry.lab.rehearsal_hosts import RehearsalHost
from mailferry.store import accounts, uidls
from mailferry.store.database import Database


@dataclass(frozen=True, slots=True)
class Scene:
    """What a saboteur can reach."""

    address: str
    new_host: RehearsalHost
    passwd_file: Path
    database: Path


def _lose(scene: Scene) -> str:
    return f"message {scene.new_host.spoil(scene.address, 'lose')[:12]} is taken out of the new host"


def _twice(scene: Scene) -> str:
    return f"message {scene.new_host.spoil(scene.address, 'twice')[:12]} is stored once more at the new host"


def _flags(scene: Scene) -> str:
    return f"a flag of message {scene.new_host.spoil(scene.address, 'flags')[:12]} is changed at the new host"


def _uidl(scene: Scene) -> str:
    database = Database(f"sqlite:///{scene.database}")

    def spoil(conn: Connection) -> None:
        account = accounts.find(conn, scene.address)
        rows = [] if account is None else list(uidls.load_map(conn, account.id))
        known = [place for place, row in enumerate(rows) if row.source_uidl is not None]
        if account is None or not known:
            raise LookupError(f"nothing to sabotage for {scene.address}")
        rows[known[0]] = replace(rows[known[0]], source_uidl=b"spoilt")
        uidls.save_map(conn, account.id, uidls.pack_map(rows))

    try:
        database.run_now("sabotage", spoil)
    finally:
        database.close()
    return "one UIDL of the stored map is changed"


def _password(scene: Scene) -> str:
    write_hash(scene.passwd_file, scene.address, "{PLAIN}somebody else's")
    return "the new host's password is replaced by another"


def _wrong_side(scene: Scene) -> str:
    _change(scene, "UPDATE accounts SET phase = 'PRECOPY', epoch = epoch + 1, paused = 1 WHERE id = :account")
    return "the account's row is put back to before the move"


SABOTAGES: Mapping[str, Callable[[Scene], str]] = {
    "lose": _lose,
    "twice": _twice,
    "flags": _flags,
    "uidl": _uidl,
    "password": _password,
    "wrong-side": _wrong_side,
}
"""Kind to what does it; each returns a sentence that says what was done."""


def _change(scene: Scene, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(scene.database, timeout=10)) as store, store:
        row = store.execute("SELECT id FROM accounts WHERE address = ?", (scene.address,)).fetchone()
        if row is None or store.execute(statement, {"account": row[0]}).rowcount != 1:
            raise LookupError(f"nothing to sabotage for {scene.address}")
