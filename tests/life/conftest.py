"""The service on a clock that the test moves; the store is SQLite, whose clock moves with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.kit.clocked import WorldTime
from tests.kit.move import Move, make_move
from tests.kit.stores import OpenStore

Service = Callable[..., Awaitable[Move]]


@pytest.fixture
def store_kind() -> str:
    """Time behaves alike over both databases; what holds SQL is tested over both in its own room."""
    return "sqlite"


@pytest.fixture
def time() -> Iterator[WorldTime]:
    with WorldTime() as world:
        yield world


@pytest_twisted.async_yield_fixture
async def service(tmp_path: Path, open_store: OpenStore, time: WorldTime) -> AsyncIterator[Service]:
    """A function that starts both roles before two lab hosts."""
    started: list[Move] = []

    async def start(**options: Any) -> Move:
        move = await make_move(tmp_path, open_store(now=time.now), clocked=time, **options)
        started.append(move)
        return move

    yield start
    for move in started:
        await move.end()
