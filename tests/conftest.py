"""How tests run: async tests with a deadline on the real reactor, nothing left behind, nothing lost."""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import defer
from twisted.logger import LogEvent, globalLogPublisher

from mailferry.observe.log import hear_twisted

pytest_plugins = ["tests.kit.peer_plugin", "tests.kit.stores"]

DEFAULT_DEADLINE = 10.0

hear_twisted()  # or the first test that configures a log gets what tests before it had Twisted say


def pytest_collection_finish() -> None:
    """Take what is loaded out of the garbage collector's sight: it looks after every async test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _modules_stay_out_of_the_collectors_sight() -> Iterator[None]:
    """The same for what a file of tests loaded besides."""
    yield
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Give each coroutine test its deadline; keep plain tests out of the reactor's greenlet."""
    test = pyfuncitem.obj
    if hasattr(test, "hypothesis"):
        return None
    if not inspect.iscoroutinefunction(test):
        names = pyfuncitem._fixtureinfo.argnames
        test(**{name: pyfuncitem.funcargs[name] for name in names})
        return True
    marker = pyfuncitem.get_closest_marker("deadline")
    seconds = float(marker.args[0]) if marker else DEFAULT_DEADLINE

    @functools.wraps(test)
    async def limited(**arguments: Any) -> Any:
        from twisted.internet import reactor

        running = defer.ensureDeferred(test(**arguments))
        running.addTimeout(seconds, reactor)
        return await running

    pyfuncitem.obj = limited
    return None


@pytest.fixture(autouse=True)
def lost_failures(request: pytest.FixtureRequest) -> Iterator[list[Any]]:
    """Fail a test that leaves a delayed call, a socket or an unhandled Twisted failure behind.

    A test that expects a failure to be logged clears the yielded list.
    """
    from twisted.internet import reactor

    waits = inspect.iscoroutinefunction(getattr(request.node, "obj", None))

    def alive() -> set[Any]:
        inner = getattr(reactor, "_internalReaders", ())
        sockets = {s for s in (*reactor.getReaders(), *reactor.getWriters()) if s not in inner}
        return {*reactor.getDelayedCalls()} | sockets

    lost: list[Any] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure"):
            lost.append(event["log_failure"])

    before = alive()
    globalLogPublisher.addObserver(observe)
    yield lost
    if waits:  # a Deferred reports a failure nobody handled when it is collected
        gc.collect()
    globalLogPublisher.removeObserver(observe)
    left = {thing for thing in alive() - before if "SIGCHLD" not in repr(thing)}
    assert not left, f"left behind: {left}"
    assert not lost, f"failures nobody handled: {lost}"
