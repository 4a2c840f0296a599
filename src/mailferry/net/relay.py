"""The relay: two carriers joined, with a tap between them or nobody, until one side ends.

It knows no command of any protocol. A side that reads slowly slows the other down: nothing is read
from a sender while more than a buffer's worth waits for its receiver. With a tap that answers one
side by itself the same holds for that side's own octets, which then go through it in small pieces.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from twisted.internet.interfaces import IReactorTime

from mailferry.model.tap import ALL_THAT_COMES, Flow, Tap
from mailferry.net.carrier import Carrier, ClosedReason, Octets
from mailferry.net.silence import unwatch, watch

IDLE_LIMIT_SECONDS = 30 * 60.0
"""RFC 3501 5.4 asks for at least 30 minutes (POP3: 10)."""
FINISHED_LIMIT_SECONDS = 60.0
"""How long a client that finished its side may wait in silence for answers that still come."""
QUIET_SECONDS = 2.0
"""A session without a tap that is asked to stop ends once nothing moved for so long."""
PIECE_OCTETS = 512
"""How much of the client's octets goes at once through a tap that answers by itself: each octet may
come back as a listing of the whole maildrop."""
MAX_PIECE_OCTETS = 4096
"""The same while a tap has never answered by itself; big enough for uploads."""

Direction = Literal["to_server", "to_client"]
Meter = Callable[[Direction, int], None]


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """How a relay ended: the log's words, octets received by each side, seconds from start to end."""

    reason: str
    to_server: int
    to_client: int
    seconds: float


class _ClientSide:
    """The client's carrier as the relay sees it: what it reads, the server's sends from where it stands."""

    __slots__ = ("_relay",)

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def received(self, data: bytes) -> None:
        self._relay.from_client(data)

    def lent(self, view: memoryview) -> None:
        self._relay.from_client(view)

    @property
    def outlet(self) -> Carrier:
        return self._relay.outlet("to_server")

    @property
    def unseen(self) -> int:
        return self._relay.unseen("to_server")

    def poured(self, octets: int) -> None:
        self._relay.poured("to_server", octets)

    def pressure(self, full: bool) -> None:
        self._relay.client_pressure(full=full)

    def finished(self) -> None:
        self._relay.client_finished()

    def closed(self, reason: ClosedReason) -> None:
        self._relay.side_closed("client", reason)


class _ServerSide:
    """The server's carrier as the relay sees it; a server that finishes has ended the session."""

    __slots__ = ("_relay",)

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def received(self, data: bytes) -> None:
        self._relay.from_server(data)

    def lent(self, view: memoryview) -> None:
        self._relay.from_server(view)

    @property
    def outlet(self) -> Carrier:
        return self._relay.outlet("to_client")

    @property
    def unseen(self) -> int:
        return self._relay.unseen("to_client")

    def poured(self, octets: int) -> None:
        self._relay.poured("to_client", octets)

    def pressure(self, full: bool) -> None:
        self._relay.server_pressure(full=full)

    def closed(self, reason: ClosedReason) -> None:
        self._relay.side_closed("server", reason)


class Relay(ABC):
    """Joins `client` and `server`; `meter` is told the octets received from each side.

    A session is one of these: what it does at its end it does in `over` and `server_is_closed`. Thousands stand
    idle for hours, so each holds as little as it can: no timer, no callables, not the addresses of its ends.
    """

    __slots__ = (
        "_answers",
        "_client",
        "_client_finished",
        "_client_full",
        "_client_open",
        "_client_paused",
        "_ending",
        "_finish_passed_on",
        "_limit",
        "_meter",
        "_moved_at",
        "_piece",
        "_reactor",
        "_server",
        "_server_full",
        "_server_open",
        "_server_paused",
        "_started_at",
        "_stopping",
        "_tap",
        "_to_client",
        "_to_server",
        "_waiting",
    )

    def __init__(
        self,
        client: Carrier,
        server: Carrier,
        tap: Tap | None = None,
        *,
        reactor: IReactorTime,
        idle_limit: float = IDLE_LIMIT_SECONDS,
        meter: Meter | None = None,
    ) -> None:
        self._client = client
        self._server = server
        self._tap = tap
        self._reactor = reactor
        self._limit = idle_limit
        self._meter = meter
        self._client_full = self._server_full = False
        self._client_paused = self._server_paused = True
        self._client_finished = self._finish_passed_on = False
        self._answers = False
        self._piece = PIECE_OCTETS
        self._waiting = b""
        self._ending: str | None = None
        self._stopping = False
        self._client_open = self._server_open = True
        self._to_server = self._to_client = 0
        self._started_at = self._moved_at = 0.0

    @abstractmethod
    def server_is_closed(self) -> None:
        """Learn, once and before `over`, that nothing can reach the server any more.

        A client that is slow to hang up must not make it look as if it still used that server.
        """

    @abstractmethod
    def over(self, end: RelayEnd) -> None:
        """Learn, once, that both carriers are closed."""

    def start(self, *, from_client: bytes = b"", from_server: bytes = b"") -> None:
        """Begin. The arguments are octets that each side sent behind its login; they go first, in order."""
        self._started_at = self._moved_at = self._reactor.seconds()
        watch(self, self._reactor)
        self._client.forget_ends()
        self._server.forget_ends()
        if from_server:
            self.from_server(from_server)
        if from_client:
            self.from_client(from_client)
        self._server.attach(_ServerSide(self))
        self._client.attach(_ClientSide(self))
        self._match_reading()

    def quiet_for(self) -> float | None:
        """Return for how many seconds a tap has seen the session rest; infinity in IMAP's IDLE.

        None while a command runs, and without a tap: nobody can tell.
        """
        if self._tap is None or self._waiting or not self._tap.resting:
            return None
        return math.inf if self._tap.in_idle else self.silent_seconds

    @property
    def silent_seconds(self) -> float:
        """How long nothing has moved in either direction."""
        return self._reactor.seconds() - self._moved_at

    def stop(self) -> None:
        """Ask for the end at the next boundary between commands, which only a tap can see.

        Without a tap the session ends once nothing has moved for two seconds. Whoever asks brings
        his own deadline and then calls `abort`.
        """
        if self._stopping or self._ending is not None:
            return
        self._stopping = True
        if self._tap is not None:
            self._carry_out(self._tap.stop())
        else:
            self._shorten_limit(QUIET_SECONDS)

    def abort(self, reason: str) -> None:
        """End at once, dropping what waits."""
        self._ending = self._ending or reason
        self._client.abort()
        self._server.abort()

    @property
    def due(self) -> float:
        """When the session ends if nothing moves until then."""
        return self._moved_at + self._limit

    def silent_for_too_long(self) -> None:
        """End; whoever is ending and has not come to it is broken off."""
        if self._ending is None:
            self._end("stopped" if self._stopping else "nothing moved for too long")
        else:
            self.abort(self._ending)

    # what the two sides tell

    def from_client(self, data: Octets) -> None:
        """Pass on octets of the client."""
        octets = len(data)
        self._to_server += octets
        self._moved_at = self._reactor.seconds()
        if self._meter is not None:
            self._meter("to_server", octets)
        if self._ending is not None:
            return
        if self._tap is None:
            self._server.write(data)
        else:
            self._waiting += bytes(data)
            self._tap_client(self._tap)

    def from_server(self, data: Octets) -> None:
        """Pass on octets of the server."""
        octets = len(data)
        self._to_client += octets
        self._moved_at = self._reactor.seconds()
        if self._meter is not None:
            self._meter("to_client", octets)
        if self._ending is not None:
            return
        if self._tap is None:
            self._client.write(data)
        else:
            self._tap_server(self._tap, data)

    def outlet(self, direction: Direction) -> Carrier:
        """Return where octets of this direction go that no tap wants to see."""
        return self._server if direction == "to_server" else self._client

    def unseen(self, direction: Direction) -> int:
        """Return how many octets may go there now without being seen here: all of them where no tap stands."""
        if self._tap is None:
            return ALL_THAT_COMES
        if direction == "to_client":
            return self._tap.unseen_to_client
        return 0 if self._waiting else self._tap.unseen_to_server

    def poured(self, direction: Direction, octets: int) -> None:
        """Take note of octets that one carrier hands to the other by itself."""
        if direction == "to_server":
            self._to_server += octets
            if self._tap is not None:
                self._tap.passed_to_server(octets)
        else:
            self._to_client += octets
            if self._tap is not None:
                self._tap.passed_to_client(octets)
        self._moved_at = self._reactor.seconds()
        if self._meter is not None:
            self._meter(direction, octets)

    def client_pressure(self, *, full: bool) -> None:
        """Read the server only as fast as the client reads."""
        self._client_full = full
        if not full and self._tap is not None:
            self._tap_client(self._tap)
        self._match_reading()

    def server_pressure(self, *, full: bool) -> None:
        """Read the client only as fast as the server reads."""
        self._server_full = full
        if not full and self._tap is not None:
            self._tap_client(self._tap)
        self._match_reading()

    def client_finished(self) -> None:
        """Let the server answer what the client asked before it finished its side."""
        self._client_finished = True
        self._match_reading()

    def side_closed(self, side: Literal["client", "server"], reason: ClosedReason) -> None:
        """End the other side too, behind what waits for it; when both are gone, tell."""
        if not (self._client_open if side == "client" else self._server_open):
            return
        if side == "client":
            self._client_open = False
        else:
            self._server_open = False
            self.server_is_closed()
        self._end(f"{side}: {reason}")
        if self._client_open or self._server_open:
            return
        unwatch(self, self._reactor)
        self.over(
            RelayEnd(
                reason=self._ending or "",
                to_server=self._to_server,
                to_client=self._to_client,
                seconds=self._reactor.seconds() - self._started_at,
            )
        )

    # inside

    def _tap_client(self, tap: Tap) -> None:
        """Give the tap what the client sent, as far as there is room for what may come of it."""
        while self._waiting and self._ending is None:
            if self._server_full or (self._answers and self._client_full):
                break
            unseen = tap.unseen_to_server
            if unseen:
                data, self._waiting = self._waiting[:unseen], self._waiting[unseen:]
                tap.passed_to_server(len(data))
                self._server.write(data)
                continue
            piece, self._waiting = self._waiting[: self._piece], self._waiting[self._piece :]
            flow = tap.from_client(piece)
            self._answers = self._answers or bool(flow.to_client)
            self._piece = PIECE_OCTETS if self._answers else min(self._piece * 2, MAX_PIECE_OCTETS)
            self._carry_out(flow)
        self._match_reading()

    def _tap_server(self, tap: Tap, data: Octets) -> None:
        """Pass on what the tap need not see from where it stands; give it the rest."""
        unseen = tap.unseen_to_client
        if unseen:
            tap.passed_to_client(min(unseen, len(data)))
            self._client.write(data[:unseen])
            data = data[unseen:]
        if data:
            self._carry_out(tap.from_server(bytes(data)))

    def _carry_out(self, flow: Flow) -> None:
        if flow.to_server:
            self._server.write(flow.to_server)
        if flow.to_client:
            self._client.write(flow.to_client)
        if flow.end is not None:
            self._end(flow.end)

    def _match_reading(self) -> None:
        """Read each side exactly when the other one has room; pass on the client's end of stream."""
        if self._ending is not None:
            return
        hold_client = self._server_full or bool(self._waiting)
        if hold_client is not self._client_paused:
            self._client_paused = hold_client
            (self._client.pause if hold_client else self._client.resume)()
        if self._client_full is not self._server_paused:
            self._server_paused = self._client_full
            (self._server.pause if self._client_full else self._server.resume)()
        if self._client_finished and not self._waiting and not self._finish_passed_on:
            self._finish_passed_on = True
            self._pass_on_finish()

    def _pass_on_finish(self) -> None:
        if self._server.secure is None:
            self._shorten_limit(FINISHED_LIMIT_SECONDS)
            self._server.finish()
        else:
            # Inside TLS nearly all servers take the end of one direction for the end of both, and
            # the answers would be lost: it ends when nothing comes any more.
            self._shorten_limit(QUIET_SECONDS)

    def _end(self, reason: str) -> None:
        if self._ending is not None:
            return
        self._ending = "client: it closed the connection" if self._client_finished else reason
        self._waiting = b""
        self._client.close()
        self._server.close()

    def _shorten_limit(self, seconds: float) -> None:
        self._limit = min(self._limit, seconds)
        watch(self, self._reactor)
