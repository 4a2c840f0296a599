from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import ServiceKey
from mailferry.passwords.work_threads import WorkThreads
from mailferry.store.database import Database
from tests.kit.stores import open_store, store, store_kind, store_url
from tests.passwords.world import World

__all__ = ["open_store", "store", "store_kind", "store_url"]


@pytest.fixture
def threads() -> Iterator[WorkThreads]:
    from twisted.internet import reactor

    pool = WorkThreads(reactor, 4)
    yield pool
    pool.stop()


@pytest.fixture
def keyring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys", ServiceKey(Secret(b"service key for tests, 32 octets")))


@pytest.fixture
def world(store: Database, keyring: KeyRing, threads: WorkThreads, tmp_path: Path) -> World:
    folder = tmp_path / "target"
    folder.mkdir()
    return World(store, keyring, threads, folder / "users")
