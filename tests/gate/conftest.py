"""A move in one reactor for the tests of the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_twisted

from mailferry.store.database import Database
from tests.kit.move import Move, make_move

MakeMove = Callable[..., Awaitable[Move]]


@pytest_twisted.async_yield_fixture
async def begin(tmp_path: Path, store: Database) -> AsyncIterator[MakeMove]:
    """A function that makes the move of this test."""
    ends = []

    async def make(**options: Any) -> Move:
        move, end = await make_move(tmp_path, store, **options)
        ends.append(end)
        return move

    yield make
    for end in ends:
        await end()
