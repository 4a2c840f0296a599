from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailferry.store.database import Database
from tests.cli.place import Place, fill
from tests.cli.program import FOR_COMMANDS, FOR_SERVE, Program


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program, loaded once for all commands but `serve`."""
    loaded = Program(tmp_path_factory.mktemp("program"), FOR_COMMANDS)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program, loaded for `serve`."""
    loaded = Program(tmp_path_factory.mktemp("starter"), FOR_SERVE)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two databases to copy: one with tables only, one with an account in each phase."""
    folder = tmp_path_factory.mktemp("stores")
    for name in ("empty", "filled"):
        database = Database(f"sqlite:///{folder / name}.db")
        database.upgrade()
        if name == "filled":
            database.run_now("fill", fill)
        database.close()
    return folder


@pytest.fixture
def bare(tmp_path: Path, program: Program) -> Place:
    """A configuration, and nothing in its state directory."""
    return Place(tmp_path, program)


@pytest.fixture
def empty(bare: Place, stores: Path) -> Place:
    """A store without domains."""
    shutil.copy(stores / "empty.db", bare.database)
    return bare


@pytest.fixture
def filled(bare: Place, stores: Path) -> Place:
    """A store with one domain, and an account in each phase."""
    shutil.copy(stores / "filled.db", bare.database)
    return bare
