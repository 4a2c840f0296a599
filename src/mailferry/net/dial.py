"""From a host name to one TCP connection: resolve once, then try its addresses (RFC 8305, in short).

The next address is tried when one fails, or 300 ms after the last try began; the first to answer
wins and the others are dropped, so that a dead IPv6 route costs nobody 30 seconds.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence

from twisted.internet import error as tcp_error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from mailferry.net.carrier import Carrier
from mailferry.net.net_reactor import NetReactor
from mailferry.net.sockets import Sockets
from mailferry.net.tls_client import ClientTls, wire_name

STAGGER_SECONDS = 0.3

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class CannotDial(Exception):
    """No connection; the text says why, for an administrator, without naming the host."""


@implementer(IResolutionReceiver)
class _Resolution:
    """Collects the addresses of one name."""

    def __init__(self) -> None:
        self.found: list[IpAddress] = []
        self.done: Deferred[list[IpAddress]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803
        """Nothing to keep: Twisted's thread pool cannot be asked to stop."""

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802
        """Keep one address."""
        found = ipaddress.ip_address(getattr(address, "host", "").partition("%")[0])
        if found not in self.found:
            self.found.append(found)

    def resolutionComplete(self) -> None:  # noqa: N802
        """Hand over what came."""
        if not self.done.called:
            self.done.callback(self.found)


def in_digits(host: str) -> IpAddress | None:
    """Return the address that `host` is, None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


async def resolve(reactor: NetReactor, host: str) -> list[IpAddress]:
    """Return the addresses of the name `host`, in the resolver's order; raises CannotDial when there is none."""
    try:
        name = wire_name(host)
    except UnicodeError as error:
        raise CannotDial(f"{host!r} is no host name") from error
    resolution = _Resolution()
    try:
        reactor.nameResolver.resolveHostName(resolution, name, transportSemantics="TCP")
        found = await resolution.done
    except tcp_error.DNSLookupError:
        found = []
    if not found:
        raise CannotDial("the host name does not resolve (DNS)")
    return found


class Dialler:
    """Dials addresses (digits) by way of `sockets`, for carriers that may speak `tls`.

    `source_for` names the local address to dial one from, or None.
    """

    def __init__(
        self,
        reactor: NetReactor,
        sockets: Sockets,
        *,
        tls: ClientTls,
        source_for: Callable[[str], str | None],
    ) -> None:
        self.reactor = reactor
        self._sockets = sockets
        self._tls = tls
        self._source_for = source_for

    def dial(self, addresses: Sequence[str], port: int) -> Deferred[Carrier]:
        """Connect to one of the addresses; it has no time limit of its own.

        The Deferred fails with CannotDial, and cancelling it drops all tries.
        """
        if len(addresses) > 1:
            return Race(self, addresses, port).run()
        done: Deferred[Carrier] = Deferred(lambda _cancelled: stop())
        stop = self.begin(
            addresses[0],
            port,
            done.callback,
            lambda error: done.errback(CannotDial(describe(error))),
        )
        return done

    def begin(
        self,
        address: str,
        port: int,
        made: Callable[[Carrier], None],
        failed: Callable[[BaseException | None], None],
    ) -> Callable[[], None]:
        """Begin one try, which calls `made` or `failed`, never before this returns; returns what stops it."""
        return self._sockets.dial(
            address,
            port,
            source=self._source_for(address),
            tls=self._tls,
            made=made,
            failed=failed,
        )


class Race:
    """Tries at several addresses of one host, of which one wins."""

    def __init__(self, dialler: Dialler, addresses: Sequence[str], port: int) -> None:
        self._dialler = dialler
        self._waiting = list(addresses)
        self._port = port
        self._running: dict[str, Callable[[], None]] = {}
        self._faults: list[str] = []
        self._stagger: IDelayedCall | None = None
        self._done: Deferred[Carrier] = Deferred(lambda _cancelled: self._drop_all())

    def run(self) -> Deferred[Carrier]:
        """Begin; the Deferred fails with CannotDial, and cancelling it drops all tries."""
        self._next()
        return self._done

    def _won(self, address: str, carrier: Carrier) -> None:
        """Take the first connection; a second one at the same moment is dropped."""
        self._running.pop(address, None)
        if self._done.called:
            carrier.abort()
            return
        self._drop_all()
        self._done.callback(carrier)

    def _lost(self, address: str, error: BaseException | None) -> None:
        """Go on with the next address, or give up when it was the last."""
        if self._running.pop(address, None) is None:
            return
        fault = describe(error)
        if fault not in self._faults:
            self._faults.append(fault)
        if self._waiting:
            self._next()
        elif not self._running and not self._done.called:
            self._done.errback(CannotDial("; ".join(self._faults)))

    def _next(self) -> None:
        self._cancel_stagger()
        address = self._waiting.pop(0)
        self._running[address] = self._dialler.begin(
            address,
            self._port,
            lambda carrier: self._won(address, carrier),
            lambda error: self._lost(address, error),
        )
        if self._waiting and self._stagger is None:
            self._stagger = self._dialler.reactor.callLater(STAGGER_SECONDS, self._staggered)

    def _staggered(self) -> None:
        self._stagger = None
        self._next()

    def _cancel_stagger(self) -> None:
        if self._stagger is not None and self._stagger.active():
            self._stagger.cancel()
        self._stagger = None

    def _drop_all(self) -> None:
        self._cancel_stagger()
        self._waiting.clear()
        running, self._running = self._running, {}
        for stop in running.values():
            stop()


def describe(error: BaseException | None) -> str:
    """Return a few words for a failed try."""
    match error:
        case tcp_error.ConnectionRefusedError():
            return "connection refused"
        case tcp_error.TCPTimedOutError() | tcp_error.TimeoutError():
            return "no answer"
        case tcp_error.ConnectBindError():
            return f"cannot dial from our own address: {error}"
        case tcp_error.ConnectError():
            return os.strerror(error.osError) if isinstance(error.osError, int) else str(error).rstrip(".")
        case _:
            return f"{type(error).__name__}: {error}"
