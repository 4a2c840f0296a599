"""Handing octets on to another carrier without reading them, where both are plain sockets of ours.

Bulk that is copied through memory costs twice as much (docs/decisions): so once a read was a large one,
the kernel moves what follows through a pipe. What the other socket does not take yet stays in the pipe,
which is then what waits there; nothing more is read until it is empty.
"""

from __future__ import annotations

import socket
from abc import abstractmethod

from OpenSSL import SSL

from mailferry.net.descriptor_tls import TlsSteps
from mailferry.net.splice import PIPES, WORTH_IT_OCTETS, CannotSplice, Pipe
from mailferry.net.tls_client import ClientTls
from mailferry.net.tls_server import ServerContexts
from mailferry.net.user_side import UserSide


class Pouring(UserSide):
    """What waits to be sent on a socket, in memory or in a pipe, and the way through pipes."""

    __slots__ = ("_outgoing", "_pipe", "_send_failed", "_sock", "_streams", "_tls", "_write_side_shut")

    def __init__(
        self, sock: socket.socket, client_tls: ClientTls | None, server_tls: ServerContexts | None
    ) -> None:
        super().__init__(client_tls, server_tls)
        self._sock = sock
        self._tls: TlsSteps | None = None
        self._outgoing: bytearray | None = None
        self._pipe: Pipe | None = None  # what is in it goes out before `_outgoing`
        self._streams = False  # the last read was a large one: a stream
        self._send_failed = self._write_side_shut = False

    @abstractmethod
    def _match_writing(self) -> None:
        """Have the reactor tell us exactly while there is something to do when the peer has room."""

    @abstractmethod
    def _after_the_last(self) -> None:
        """Do what was to come behind everything that waited."""

    @abstractmethod
    def _lose(self, error: SSL.Error | None = None) -> None:
        """End, because the connection broke."""

    @property
    def _nothing_waits(self) -> bool:
        return self._outgoing is None and self._pipe is None

    @property
    def takes_pipes(self) -> bool:
        """Whether what is in a pipe could go out now, in its place."""
        return self._nothing_waits and self._tls is None and not self.is_closed and not self._write_side_shut

    def pour(self, pipe: Pipe) -> None:
        """Send what is in a pipe, which is given back when it is empty. `takes_pipes` has been asked."""
        self._pipe = pipe
        try:
            pipe.drain(self._sock)
        except OSError:
            self._send_failed = True  # fails again in doWrite, and is told there
        if pipe.held:
            self._match_writing()
            self._tell_pressure(full=True)
        else:
            self._return_pipe()

    def _pour_waiting(self, pipe: Pipe) -> None:
        try:
            pipe.drain(self._sock)
        except OSError:
            self._lose()
            return
        if not pipe.held:
            self._return_pipe()
            if self._outgoing is None:
                self._after_the_last()

    def _return_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            PIPES.give_back(pipe)

    def _pour(self) -> bool:
        """Let the kernel hand on what arrived, to the carrier that our user would write it to.

        False says that it must be read: at its end, where no pipe is free, when something waits there, or
        when our user wants to see it, if not now then soon.
        """
        user = self._user
        outlet = getattr(user, "outlet", None)
        if not isinstance(outlet, Pouring) or not outlet.takes_pipes:
            return False
        most: int = user.unseen  # type: ignore[union-attr]  # who has an outlet is a PouringUser
        if most < WORTH_IT_OCTETS:
            return False
        pipe = PIPES.borrow()
        if pipe is None:
            return False
        try:
            got = pipe.fill(self._sock, most)
        except (BlockingIOError, InterruptedError):
            PIPES.give_back(pipe)
            return True
        except CannotSplice:
            PIPES.give_back(pipe)
            PIPES.give_up()
            self._streams = False
            return False
        except OSError:
            PIPES.give_back(pipe)
            self._lose()
            return True
        self._streams = got >= WORTH_IT_OCTETS
        if not got:
            PIPES.give_back(pipe)
            return False
        user.poured(got)  # type: ignore[union-attr]
        outlet.pour(pipe)
        return True
