"""The carrier: one interface over plain and TLS byte streams, for dialogues, clients and the relay.

Nothing above this room knows what carries the octets. A carrier has one *user* at a time: a login
dialogue first, then a relay or a client of ours. Octets that arrive while nobody is attached, or
while reading is paused, are held (no more than one read's worth) and handed to the next user.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from twisted.internet.defer import Deferred

from mailferry.model.access import Server


class Ending(StrEnum):
    """How a stream came to its end."""

    FINISHED = "finished"  # the peer closed in order
    CLOSED = "closed"  # we closed, or aborted
    LOST = "lost"  # reset, or the network gave up
    TLS = "tls"  # the TLS layer failed


@dataclass(frozen=True, slots=True)
class ClosedReason:
    """Why a carrier carries nothing any more; `text` is for the log."""

    ending: Ending
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a finished handshake agreed on.

    `verified` says that we checked who the peer is: certificate chain and name, or a pin. On a
    connection that a client opened to us it is False, because we ask for no client certificates.
    """

    version: str
    cipher: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a TCP connection, the host in digits."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine (127.0.0.0/8, ::1, and the former inside IPv6)."""
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=4096)
def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


Octets = bytes | memoryview
"""What `write` takes. A view is only looked at during the call: what cannot go out at once is copied."""

Ends = tuple[Address, Address]
"""Peer and host of a connection."""


class HandshakeFailed(Exception):
    """A client that connected to us did not complete TLS; the text says what OpenSSL found."""


class CarrierUser(Protocol):
    """Who is told what a carrier receives. Calls come from the reactor, never two at a time.

    A user that also has a method `finished()` (see HalfCloseUser) is told separately when the peer
    will send no more; for the others that is the end of the stream.
    """

    def received(self, data: bytes) -> None:
        """Take octets that the peer sent."""
        ...

    def pressure(self, full: bool) -> None:
        """Learn that more is waiting to be sent than should (True), or that it has gone out (False)."""
        ...

    def closed(self, reason: ClosedReason) -> None:
        """Learn, once, that the carrier is closed on both ways; nothing follows."""
        ...


class HalfCloseUser(Protocol):
    """A CarrierUser that goes on sending after the peer has finished."""

    def finished(self) -> None:
        """Learn that the peer will send no more, but may still read."""
        ...


class BorrowingUser(Protocol):
    """A CarrierUser that looks at octets where they were read, and is done with them when it returns.

    A carrier that can lend calls `lent` in place of `received` for what comes while the user is attached; what
    was held for it still comes by `received`.
    """

    def lent(self, view: memoryview) -> None:
        """Take octets that stand in a buffer which the next read fills anew."""
        ...


class PouringUser(BorrowingUser, Protocol):
    """A BorrowingUser that writes what it is lent to one other carrier as it is, all of it or for a while.

    A carrier that can hands octets there without reading them, and tells how many.
    """

    @property
    def outlet(self) -> Carrier:
        """The other carrier."""
        ...

    @property
    def unseen(self) -> int:
        """How many of the next octets may go there so, and never one more."""
        ...

    def poured(self, octets: int) -> None:
        """Learn that so many go there now."""
        ...


class Carrier(Protocol):
    """A byte stream to one peer.

    After `close()` or `abort()` the user receives nothing but `closed`. `write` on a closed
    carrier is dropped without a word. `write` during a TLS handshake is an error of the caller.
    """

    @property
    def peer(self) -> Address:
        """The other end."""
        ...

    @property
    def host(self) -> Address:
        """Our end."""
        ...

    @property
    def secure(self) -> TlsFacts | None:
        """What TLS agreed on, None while the stream is plain."""
        ...

    @property
    def loopback(self) -> bool:
        """Whether the peer is this machine."""
        ...

    @property
    def confidential(self) -> bool:
        """Whether nobody between can read or forge: TLS with a verified peer, or loopback."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more: it ended, or `close()` or `abort()` was called."""
        ...

    def forget_ends(self) -> None:
        """Keep `peer` and `host` no longer: a session that stands for hours has no use for them.

        They are port 0 of nowhere from then on, so that the carrier is not `loopback` any more either.
        """
        ...

    def attach(self, user: CarrierUser) -> None:
        """Make `user` the one who is told; held octets, pressure and an end are told at once."""
        ...

    def detach(self) -> None:
        """Leave the carrier without a user; what arrives is held for the next one."""
        ...

    def write(self, data: Octets) -> None:
        """Send octets, buffering what the network does not take now."""
        ...

    def expect_bulk(self) -> None:
        """Read and send larger pieces from now on, for a copy: fewer steps, more memory."""
        ...

    def wait_for(self, octets: int) -> None:
        """Hand on nothing before so many octets came, or the peer closed; 1 takes that back.

        A hint, for a caller who knows that they will come and that nobody waits for the first of them.
        """
        ...

    def drop_if_killed(self) -> None:
        """When this process is killed, take back what was not sent yet: the peer sees a reset.

        Otherwise the kernel goes on sending for us, and what the peer made of it appears after our end.
        """
        ...

    def pause(self) -> None:
        """Stop handing on octets; the peer is slowed down."""
        ...

    def resume(self) -> None:
        """Go on handing on octets."""
        ...

    def start_tls_client(self, server: Server) -> Deferred[None]:
        """Become the client side of TLS and verify the peer on the terms of `server`.

        Octets that the peer sent before and nobody took break the upgrade. Fails with
        `Unavailable(TLS_ERROR)`, or PROTOCOL_ERROR for such octets; the carrier is closed then.
        """
        ...

    def start_tls_server(self) -> Deferred[None]:
        """Become the server side of TLS, after what was written before.

        Fails with HandshakeFailed; the carrier is closed then.
        """
        ...

    def finish(self) -> None:
        """Send what waits, then tell the peer that nothing follows; reading goes on.

        On TLS, where nearly all peers take that for the end of the connection, it is `close()`.
        """
        ...

    def close(self) -> None:
        """Send what waits, then close; the peer gets 30 s to take it."""
        ...

    def abort(self) -> None:
        """Close at once; what waits is dropped and the peer sees a reset."""
        ...
