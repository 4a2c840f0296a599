from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.store.database import Database
from tests.copying.rig import Rig, dovecots, make_rig
from tests.kit.peer_plugin import require
from tests.kit.stores import fresh_database, open_store, store, store_kind, store_url

__all__ = ["open_store", "store", "store_kind", "store_url"]


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Database]:
    """A store on SQLite alone, where the kind of database does not matter."""
    from twisted.internet import reactor

    url, remove = fresh_database("sqlite", tmp_path)
    database = Database(url, reactor=reactor, readers=2)
    yield database
    database.close()
    remove()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """A real Dovecot on each side."""
    require("dovecot")
    pair = dovecots(tmp_path)
    yield pair
    for host in pair:
        host.stop()


@pytest.fixture
def rig(hosts: tuple[Any, Any], lite: Database) -> Rig:
    return make_rig(*hosts, lite)
