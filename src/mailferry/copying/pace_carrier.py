"""A carrier to a source that counts what is read, and sends commands no faster than the source allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.model.access import Server
from mailferry.net.carrier import Address, Carrier, CarrierUser, ClosedReason, Octets, TlsFacts
from mailferry.plan.pace import Bucket


class Meter(Shape):
    """Whoever counts octets."""

    def __call__(self, octets: int) -> None:
        """Count so many more."""
        ...


class PacedCarrier:
    """Carries for `inner`; each line that is written is a command and takes leave from all `buckets`."""

    def __init__(
        self, inner: Carrier, reactor: IReactorTime, *, read: Meter | None, buckets: Sequence[Bucket]
    ) -> None:
        self._inner = inner
        self._reactor = reactor
        self._read = read
        self._buckets = buckets
        self._lines: deque[bytes] = deque()
        self._timer: IDelayedCall | None = None

    @property
    def peer(self) -> Address:
        """The other end."""
        return self._inner.peer

    @property
    def host(self) -> Address:
        """Our end."""
        return self._inner.host

    @property
    def secure(self) -> TlsFacts | None:
        """What TLS agreed on."""
        return self._inner.secure

    @property
    def loopback(self) -> bool:
        """Whether the peer is this machine."""
        return self._inner.loopback

    @property
    def confidential(self) -> bool:
        """Whether nobody between can read or forge."""
        return self._inner.confidential

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._inner.is_closed

    def attach(self, user: CarrierUser) -> None:
        """Make `user` the one who is told, and count what it is told."""
        self._inner.attach(user if self._read is None else _Counted(user, self._read))

    def detach(self) -> None:
        """Leave the carrier without a user."""
        self._inner.detach()

    def write(self, data: Octets) -> None:
        """Send lines as fast as is allowed, in their order."""
        if not self._buckets:
            self._inner.write(data)
            return
        self._lines.extend(bytes(data).splitlines(keepends=True))
        self._send()

    def _send(self) -> None:
        """Send as many lines as there is leave for; go on when there is more."""
        if self._timer is not None or not self._lines:
            return
        now = self._reactor.seconds()
        leave = min(bucket.left(now) for bucket in self._buckets)
        sent = [self._lines.popleft() for _ in range(min(leave, len(self._lines)))]
        for bucket in self._buckets:
            bucket.take(len(sent))
        if sent:
            self._inner.write(b"".join(sent))
        if self._lines:
            pause = max(bucket.seconds_to_next() for bucket in self._buckets)
            self._timer = self._reactor.callLater(max(pause, 0.01), self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if not self._inner.is_closed:
            self._send()

    def _let_go(self) -> None:
        """Nothing waits any more."""
        self._lines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expect_bulk(self) -> None:
        """Read and send larger pieces from now on."""
        self._inner.expect_bulk()

    def forget_ends(self) -> None:
        """Keep no addresses any more."""
        self._inner.forget_ends()

    def wait_for(self, octets: int) -> None:
        """Wait for more octets at a time."""
        self._inner.wait_for(octets)

    def drop_if_killed(self) -> None:
        """When this process is killed, take back what was not sent yet."""
        self._inner.drop_if_killed()

    def pause(self) -> None:
        """Stop handing on octets."""
        self._inner.pause()

    def resume(self) -> None:
        """Go on handing on octets."""
        self._inner.resume()

    def start_tls_client(self, server: Server) -> Deferred[None]:
        """Become the client side of TLS."""
        return self._inner.start_tls_client(server)

    def start_tls_server(self) -> Deferred[None]:
        """Become the server side of TLS."""
        return self._inner.start_tls_server()

    def finish(self) -> None:
        """Send what waits, then tell the peer that nothing follows."""
        self._flush()
        self._inner.finish()

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._inner.close()

    def abort(self) -> None:
        """Close at once."""
        self._let_go()
        self._inner.abort()

    def _flush(self) -> None:
        rest = b"".join(self._lines)
        self._let_go()
        if rest:
            self._inner.write(rest)


class _Counted:
    """A carrier's user that counts before it is told."""

    def __init__(self, user: CarrierUser, read: Callable[[int], None]) -> None:
        self._user = user
        self._read = read

    def received(self, data: bytes) -> None:
        """Count, and hand on."""
        self._read(len(data))
        self._user.received(data)

    def pressure(self, full: bool) -> None:
        """Hand on."""
        self._user.pressure(full)

    def closed(self, reason: ClosedReason) -> None:
        """Hand on."""
        self._user.closed(reason)
