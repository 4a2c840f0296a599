"""A move in one reactor for the tests of the gate, on a clock that they move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_twisted

from tests.kit.clocked import WorldTime
from tests.kit.move import Move, make_move
from tests.kit.stores import OpenStore

MakeMove = Callable[..., Awaitable[Move]]


@pytest_twisted.async_yield_fixture
async def begin(tmp_path: Path, open_store: OpenStore) -> AsyncIterator[MakeMove]:
    """A function that makes the move of this test."""
    moves: list[Move] = []
    with WorldTime() as time:

        async def make(**options: Any) -> Move:
            move = await make_move(tmp_path, open_store(now=time.now), clocked=time, **options)
            moves.append(move)
            return move

        yield make
        for move in moves:
            await move.end()
