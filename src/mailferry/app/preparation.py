"""What must be so before any worker starts: folders, keys, schema, and no remains of an earlier run.

Runs in a child of the parent that ends before the first worker starts, because the parent itself
never opens the database.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sqlalchemy import Connection

from mailferry.app.node import installation_id
from mailferry.config.settings import Settings
from mailferry.observe.log import Log
from mailferry.store import cutovers, flips_log, nodes
from mailferry.store.database import Database


def prepare_folder(state_dir: Path) -> None:
    """Make the folders inside the state directory and the key of the log's address hashes."""
    for name in ("run", "keys"):
        (state_dir / name).mkdir(mode=0o700, exist_ok=True)
    installation_id(state_dir)
    key = state_dir / "log.key"
    if not key.exists():
        descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))


def prepare_store(settings: Settings, log: Log) -> None:
    """Upgrade the schema, void what dead workers of this state directory left, end expired freezes.

    The caller holds the instance lock, so every node of this state directory is dead. Raises
    StoreUnavailable.
    """
    database = Database(settings.service.database_url.reveal().decode())
    state_dir = settings.service.state_dir
    host = installation_id(state_dir)
    try:
        database.upgrade()

        def tidy(conn: Connection) -> int:
            remains = nodes.listing(conn, host=host)
            for node in remains:
                nodes.void(conn, node.id)
            cutovers.expire_freezes(conn)
            return len(remains)

        voided = database.run_now("tidy", tidy)
        if voided:
            log.info("voided what an earlier run left", nodes=voided)
        behind = flips_log.behind(database, state_dir / flips_log.LOG_FILE)
        if behind:
            log.error(
                "the store knows fewer flips than flips.log: those accounts are not served before "
                "`mailferry db reconcile` was run",
                accounts=behind,
            )
    finally:
        database.close()


def void_worker(settings: Settings, pid: int) -> None:
    """Void what a dead worker of this parent left in the store."""
    database = Database(settings.service.database_url.reveal().decode())
    host = installation_id(settings.service.state_dir)
    try:
        database.run_now("void worker", lambda conn: nodes.void_process(conn, host, pid))
    finally:
        database.close()
