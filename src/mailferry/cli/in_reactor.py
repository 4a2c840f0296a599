"""Runs one coroutine of a command under a reactor of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import defer

from mailferry.app.worker import install_reactor
from mailferry.observe.log import configure_log

T = TypeVar("T")


def in_reactor(work: Callable[[Any], Awaitable[T]]) -> T:
    """Return what `work(reactor)` returns, or raise what it raises. Once per process."""
    configure_log(level="error")
    reactor = install_reactor(asyncio=False)
    outcome: list[Any] = []

    async def whole() -> None:
        try:
            outcome.append(await work(reactor))
        except BaseException as error:  # loop edge: carried over to the caller
            outcome.append(_Raised(error))

    def begin() -> None:
        defer.ensureDeferred(whole()).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise KeyboardInterrupt
    result = outcome[0]
    if isinstance(result, _Raised):
        raise result.error
    found: T = result
    return found


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
