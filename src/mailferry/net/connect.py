"""Connections to other servers: one deadline over DNS, TCP and TLS, and one sorted failure.

Whatever goes wrong here, nobody judged anything: it is always Unavailable, never Refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.defer import TimeoutError as TimedOut

from mailferry.model.access import Server, TlsMode
from mailferry.model.causes import Cause, Unavailable
from mailferry.net.carrier import Carrier
from mailferry.net.dial import CannotDial, IpAddress, Race, in_digits, resolve
from mailferry.net.net_reactor import NetReactor
from mailferry.net.sockets import sockets_for
from mailferry.net.tls_client import ClientTls
from mailferry.wire.proxy_header import Endpoint, proxy_header

CONNECT_SECONDS = 30.0


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
        self._permitted = None if permitted is None else lru_cache(maxsize=4096)(permitted)
        self._sockets = sockets_for(reactor)
        self._tls = ClientTls()
        four = [a for a in source_addresses if ":" not in a]
        six = [a for a in source_addresses if ":" in a]
        self._sources = {4: itertools.cycle(four) if four else None, 6: itertools.cycle(six) if six else None}

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
        began = self._reactor.seconds()
        carrier = await self._dial(server, timeout)
        if server.proxy_header:
            carrier.write(proxy_header(client, door))
        if server.tls is not TlsMode.IMPLICIT:
            return carrier
        left = max(timeout - (self._reactor.seconds() - began), 0.01)
        handshake = carrier.start_tls_client(server)
        handshake.addTimeout(left, self._reactor)
        try:
            await handshake
        except TimedOut as error:
            raise Unavailable(
                Cause.SERVER_DOWN, f"{server}: the TLS handshake did not end within {timeout:g} s"
            ) from error
        return carrier

    async def _dial(self, server: Server, timeout: float) -> Carrier:
        literal = in_digits(server.host)
        try:
            if literal is not None:
                dialling = self._race(server, [literal], timeout)
            else:
                dialling = ensureDeferred(self._reach(server, timeout))
            dialling.addTimeout(timeout, self._reactor)
            return await dialling
        except CannotDial as error:
            raise Unavailable(Cause.SERVER_DOWN, f"{server}: {error}") from error
        except TimedOut as error:
            raise Unavailable(Cause.SERVER_DOWN, f"{server}: no answer within {timeout:g} s") from error

    async def _reach(self, server: Server, timeout: float) -> Carrier:
        addresses = await resolve(self._reactor, server.host)
        return await self._race(server, addresses, timeout)

    def _race(self, server: Server, addresses: list[IpAddress], timeout: float) -> Deferred[Carrier]:
        if self._permitted is not None:
            allowed = [address for address in addresses if self._permitted(address)]
            if not allowed:
                raise CannotDial(f"{addresses[0]} is in a private network that allow_networks does not name")
            addresses = allowed
        race = Race(
            self._reactor,
            self._sockets,
            addresses,
            server.port,
            tls=self._tls,
            source_for=self._source_for,
            timeout=timeout,
        )
        return race.run()

    def _source_for(self, address: IpAddress) -> str | None:
        turns = self._sources[address.version]
        return None if turns is None else next(turns)
