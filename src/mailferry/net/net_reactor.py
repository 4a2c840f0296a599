"""What this room needs of a Twisted reactor, as one name for signatures."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
)


class NetReactor(IReactorTime, IReactorTCP, IReactorSocket, IReactorFDSet, IReactorPluggableNameResolver):
    """A reactor that dials, adopts listening sockets, resolves names and keeps time (epoll, asyncio)."""
