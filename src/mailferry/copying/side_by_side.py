"""Two things done side by side, one at each host: a pass waits for the slower one instead of for both."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

One = TypeVar("One")
Two = TypeVar("Two")


async def both(one: Coroutine[Any, Any, One], two: Coroutine[Any, Any, Two]) -> tuple[One, Two]:
    """Run both to their ends and return what they return.

    Raises what `one` raises, and cancels `two` then; else what `two` does, once `one` has ended.
    Cancelled itself, it cancels both.
    """
    came: list[Two] = []
    failed: list[Failure] = []
    beside = ensureDeferred(two).addCallbacks(came.append, failed.append)
    ended = False
    try:
        first = await one
        await beside
        ended = True
    finally:
        if not ended:
            beside.cancel()
    if failed:
        failed[0].raiseException()
    return first, came[0]
