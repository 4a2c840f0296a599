"""What this room needs of a Twisted reactor, as one name for signatures."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
)


class NetReactor(
    IReactorTime,
    IReactorTCP,
    IReactorSocket,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
):
    """A reactor that dials, adopts listening sockets, resolves names and keeps time (epoll, asyncio)."""
