"""The side of a carrier that faces its user: who is told what, in which order, and what is held for whom.

Every carrier is one of these over some way to move octets. What arrived in plaintext before an upgrade
to TLS is never handed on after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.internet.defer import Deferred

from mailferry.model.access import Server
from mailferry.model.causes import Cause, Unavailable
from mailferry.net.carrier import (
    Address,
    CarrierUser,
    ClosedReason,
    Ending,
    HandshakeFailed,
    Octets,
    TlsFacts,
)
from mailferry.net.descriptor_tls import Agreed
from mailferry.net.tls_client import ClientTls, ServerCheck
from mailferry.net.tls_server import ServerContexts
from mailferry.net.upgrade import Upgrade

ONE_READ_OCTETS = 64 * 1024
"""What is read at a time, and what may wait to be sent before that is too much."""
BULK_OCTETS = 256 * 1024
"""The same for a copy."""
CLOSING_SECONDS = 30.0
"""How long a peer may take to read what waits for it after `close()`, and to close its side."""

FINISHED = ClosedReason(Ending.FINISHED, "the peer closed the connection")
CLOSED = ClosedReason(Ending.CLOSED, "closed by us")
LOST = ClosedReason(Ending.LOST, "the connection was lost")


_NOWHERE = Address("", 0)


class UserSide(ABC):
    """What all carriers do for their users; a carrier adds how octets move.

    `client_tls` is there on connections that we dialled, `server_tls` on those that were opened to us
    where there is a certificate.
    """

    __slots__ = (
        "_client_tls",
        "_closing",
        "_fault",
        "_finish_told",
        "_full",
        "_handing_on",
        "_held",
        "_host",
        "_lends",
        "_paused",
        "_peer",
        "_peer_finished",
        "_reason",
        "_secure",
        "_server_tls",
        "_upgrade",
        "_user",
    )

    def __init__(self, client_tls: ClientTls | None, server_tls: ServerContexts | None) -> None:
        self._client_tls = client_tls
        self._server_tls = server_tls
        self._user: CarrierUser | None = None
        self._lends = False
        self._held = b""
        self._paused = False
        self._full = False
        self._handing_on = False
        self._peer_finished = False
        self._finish_told = False
        self._closing = False
        self._reason: ClosedReason | None = None
        self._fault: Exception | None = None
        self._upgrade: Upgrade | None = None
        self._secure: TlsFacts | None = None
        self._peer = self._host = _NOWHERE

    @property
    def peer(self) -> Address:
        """Where the other end is, as the socket says or a trusted balancer."""
        return self._peer

    @property
    def host(self) -> Address:
        """Where our end is, as the socket says or a trusted balancer."""
        return self._host

    @property
    def secure(self) -> TlsFacts | None:
        """What TLS agreed on, None before it."""
        return self._secure

    @property
    def loopback(self) -> bool:
        """Whether the peer is this machine."""
        return self._peer.loopback

    @property
    def confidential(self) -> bool:
        """Whether the peer was verified inside TLS, or is this machine."""
        return self.loopback or (self._secure is not None and self._secure.verified)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closing or self._reason is not None

    def forget_ends(self) -> None:
        """Keep no addresses any more (see Carrier)."""
        self._peer = self._host = _NOWHERE

    def attach(self, user: CarrierUser) -> None:
        """Make `user` the one who is told, and tell it what waits."""
        self._user = user
        self._lends = hasattr(user, "lent")
        self._finish_told = False
        if self._full:
            user.pressure(full=True)
        self._hand_on()

    def detach(self) -> None:
        """Hold what arrives from now on."""
        self._user = None
        self._match_reading()

    def pause(self) -> None:
        """Stop reading; what was read already is held."""
        self._paused = True
        self._match_reading()

    def resume(self) -> None:
        """Hand on what was held, then read on."""
        self._paused = False
        self._hand_on()

    def start_tls_client(self, server: Server) -> Deferred[None]:
        """Become the client side of TLS (see Carrier)."""
        if self._client_tls is None:
            raise RuntimeError("a connection that was opened to us is no TLS client")
        try:
            check = self._client_tls.check_for(server)
        except Unavailable as problem:
            return self._cannot_upgrade(problem)
        if self._held:
            return self._cannot_upgrade(
                Unavailable(Cause.PROTOCOL_ERROR, f"{server}: the server sent octets before TLS was there")
            )
        return self._start_tls(check)

    def start_tls_server(self) -> Deferred[None]:
        """Become the server side of TLS (see Carrier)."""
        contexts = self._server_tls
        if contexts is None:
            raise RuntimeError("this listener has no certificate")
        if self._held:
            return self._cannot_upgrade(HandshakeFailed("the client sent octets before TLS was there"))
        return self._start_tls(contexts)

    # what a carrier adds

    @abstractmethod
    def close(self) -> None:
        """Close behind what waits (see Carrier)."""

    @abstractmethod
    def abort(self) -> None:
        """Close now, with a reset (see Carrier)."""

    @abstractmethod
    def _match_reading(self) -> None:
        """Read from the socket exactly when somebody can take it."""

    @abstractmethod
    def _begin_handshake(self, upgrade: Upgrade) -> None:
        """Shake hands behind what was written before, then call `_judge`."""

    # for carriers

    def _cannot_upgrade(self, problem: Exception) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        done.errback(problem)
        self.abort()
        return done

    def _start_tls(self, creator: ServerCheck | ServerContexts) -> Deferred[None]:
        if self._secure is not None or self._upgrade is not None:
            raise RuntimeError("TLS is already there")
        done: Deferred[None] = Deferred(lambda _cancelled: self.abort())
        upgrade = Upgrade(done, creator)
        if self.is_closed:
            done.errback(upgrade.failure(None))
            return done
        self._upgrade = upgrade
        self._match_reading()
        self._begin_handshake(upgrade)
        return done

    def _judge(self, connection: Agreed) -> None:
        """Judge the peer; until this says yes nothing has been sent or handed on inside TLS."""
        upgrade = self._upgrade
        if upgrade is None or self._closing:
            return
        try:
            facts = upgrade.facts(connection)
        except Unavailable as problem:
            self._fault = problem
            self.abort()
            return
        self._upgrade = None
        self._secure = facts
        upgrade.done.callback(None)
        self._match_reading()

    @property
    def _has_taker(self) -> bool:
        """Whether somebody would take octets now."""
        return self._user is not None and not self._paused and not self._held

    def _take(self, data: Octets) -> None:
        """Hand octets on, or hold them; a view is valid during this call only."""
        if self._closing:
            return
        user = self._user
        if user is None or self._paused or self._held or self._handing_on:
            self._held += bytes(data)
            self._hand_on()
        elif self._lends:
            user.lent(data)  # type: ignore[attr-defined]  # it is a BorrowingUser: attach has looked
        else:
            user.received(bytes(data))

    def _tell_pressure(self, *, full: bool) -> None:
        if self._full is not full:
            self._full = full
            if self._user is not None:
                self._user.pressure(full=full)

    def _tell_end(self, reason: ClosedReason, error: BaseException | None) -> None:
        """Tell the end, behind what is still held; `error` is what a handshake ended with."""
        self._reason = reason
        upgrade, self._upgrade = self._upgrade, None
        if upgrade is not None and not upgrade.done.called:
            upgrade.done.errback(upgrade.failure(self._fault or error))
        self._hand_on()

    def _hand_on(self) -> None:
        """Tell the user what waits, in order: octets, the peer's FIN, the end."""
        if self._handing_on:
            return
        if self._held or self._peer_finished or self._reason is not None:
            self._handing_on = True
            try:
                while self._user is not None and self._hand_on_next(self._user):
                    pass
            finally:
                self._handing_on = False
        self._match_reading()

    def _hand_on_next(self, user: CarrierUser) -> bool:
        if self._held:
            if self._paused:
                return False
            data, self._held = self._held, b""
            user.received(data)
            return True
        if self._reason is not None:
            self._user = None
            user.closed(self._reason)
            return True  # whoever attached himself just now is told too
        if self._peer_finished and not self._finish_told and not self._closing:
            self._finish_told = True
            finished = getattr(user, "finished", None)  # of a HalfCloseUser: isinstance takes much longer
            if finished is not None:
                finished()
            else:
                self.close()
            return True
        return False
