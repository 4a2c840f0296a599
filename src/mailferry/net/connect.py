"""Connections to other servers: one deadline over DNS, TCP and TLS, and one sorted failure.

Whatever goes wrong here, nobody judged anything: it is always Unavailable, never Refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from mailferry.model.access import Server, TlsMode
from mailferry.model.causes import Cause, Unavailable
from mailferry.net.carrier import Carrier
from mailferry.net.dial import CannotDial, Dialler, IpAddress, in_digits, resolve
from mailferry.net.net_reactor import NetReactor
from mailferry.net.silence import unwatch, watch
from mailferry.net.sockets import sockets_for
from mailferry.net.tls_client import ClientTls
from mailferry.wire.proxy_header import Endpoint, proxy_header

CONNECT_SECONDS = 30.0

T = TypeVar("T")


class Connector:
    """Dials servers.

    `source_addresses` are addresses of ours (digits, either family) to dial from, taken in turn.
    `permitted` is asked about each address that a host name resolved to, and the address itself is
    dialled, so that a name cannot resolve to something else in between.
    """

    def __init__(
        self,
        reactor: NetReactor,
        *,
        source_addresses: Sequence[str] = (),
        permitted: Callable[[IpAddress], bool] | None = None,
    ) -> None:
        self._reactor = reactor
        self._permitted = permitted or (lambda _address: True)
        self._permitted_digits = lru_cache(maxsize=4096)(self._digits_of)
        self._dialler = Dialler(reactor, sockets_for(reactor), tls=ClientTls(), source_for=self._source_for)
        four = [a for a in source_addresses if ":" not in a]
        six = [a for a in source_addresses if ":" in a]
        self._sources_4 = itertools.cycle(four) if four else None
        self._sources_6 = itertools.cycle(six) if six else None

    async def connect(
        self,
        server: Server,
        *,
        timeout: float = CONNECT_SECONDS,
        client: Endpoint | None = None,
        door: Endpoint | None = None,
    ) -> Carrier:
        """Return a connected carrier, inside TLS when the server's mode is implicit.

        `timeout` is in seconds, over everything. A server with `proxy_header` is told first, before TLS,
        that we speak for `client`, who came in at `door`, or for ourselves without one. Raises Unavailable
        with SERVER_DOWN or TLS_ERROR; cancelling leaves nothing behind.
        """
        limit = _TimeLimit(self._reactor.seconds() + timeout)
        watch(limit, self._reactor)
        carrier: Carrier | None = None
        try:
            carrier = await limit.on(self._dial(server))
            if server.proxy_header:
                carrier.write(proxy_header(client, door))
            if server.tls is TlsMode.IMPLICIT:
                await limit.on(carrier.start_tls_client(server))
        except CannotDial as error:
            raise Unavailable(Cause.SERVER_DOWN, f"{server}: {error}") from error
        except CancelledError as error:
            if not limit.is_over:
                raise
            if carrier is None:
                raise Unavailable(Cause.SERVER_DOWN, f"{server}: no answer within {timeout:g} s") from error
            raise Unavailable(
                Cause.SERVER_DOWN, f"{server}: the TLS handshake did not end within {timeout:g} s"
            ) from error
        finally:
            unwatch(limit, self._reactor)
        return carrier

    def _dial(self, server: Server) -> Deferred[Carrier]:
        digits = self._permitted_digits(server.host)
        if digits is None:
            return ensureDeferred(self._reach(server))
        return self._dialler.dial((digits,), server.port)

    async def _reach(self, server: Server) -> Carrier:
        """Dial a server whose host is a name."""
        found = await resolve(self._reactor, server.host)
        allowed = [str(address) for address in found if self._permitted(address)]
        if not allowed:
            raise _private(found[0])
        return await self._dialler.dial(allowed, server.port)

    def _digits_of(self, host: str) -> str | None:
        """Return the address that `host` is, None for a name; raises CannotDial for one that is not permitted."""
        address = in_digits(host)
        if address is None:
            return None
        if not self._permitted(address):
            raise _private(address)
        return str(address)

    def _source_for(self, address: str) -> str | None:
        turns = self._sources_6 if ":" in address else self._sources_4
        return None if turns is None else next(turns)


def _private(address: IpAddress) -> CannotDial:
    return CannotDial(f"{address} is in a private network that allow_networks does not name")


class _TimeLimit:
    """When a connection must be there; the step of it that is waited for then is cancelled."""

    __slots__ = ("_step", "due", "is_over")

    def __init__(self, due: float) -> None:
        self.due = due
        self.is_over = False
        self._step: Deferred[Any] | None = None

    def on(self, step: Deferred[T]) -> Deferred[T]:
        """Hold the time limit over this step from now on."""
        self._step = step
        return step

    def silent_for_too_long(self) -> None:
        """End the step: the time is over."""
        self.is_over = True
        if self._step is not None:
            self._step.cancel()
