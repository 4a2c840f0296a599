"""Pipes through which the kernel hands octets from one socket to the other, unseen by us (splice(2)).

A pipe is borrowed while octets are in it and no longer: sessions that stand idle have none, and who finds none
left copies through memory, as does everybody where the kernel does not know how.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket

PIPE_OCTETS = 1 << 20
"""What a pipe is to hold. The kernel may refuse so much to an unprivileged user with many pipes; then it is less."""
MOST_PIPES = 64
"""Two descriptors each; more streams than that at once are not what two processors keep busy anyway."""
WORTH_IT_OCTETS = 64 * 1024
"""A read of so many says that a stream comes; a pour of less that it has run dry: what comes next is probably
short, and copied with fewer calls."""

_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class CannotSplice(Exception):
    """The kernel does not do this, here or anywhere."""


class Pipe:
    """One pipe; `held` octets are in it."""

    __slots__ = ("_reader", "_writer", "held")

    def __init__(self) -> None:
        """Raises OSError when no descriptors are left."""
        self.held = 0
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_OCTETS)

    def fill(self, sock: socket.socket, most: int) -> int:
        """Take what has arrived at a socket, `most` octets of it; 0 is its end. Raises OSError, CannotSplice."""
        try:
            got = os.splice(sock.fileno(), self._writer, min(most, PIPE_OCTETS), flags=_FLAGS)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOSYS}:
                raise CannotSplice from error
            raise
        self.held += got
        return got

    def drain(self, sock: socket.socket) -> None:
        """Send as much as the socket takes now. Raises OSError."""
        with contextlib.suppress(BlockingIOError):
            while self.held:
                gone = os.splice(self._reader, sock.fileno(), self.held, flags=_FLAGS)
                if not gone:
                    raise BrokenPipeError(errno.EPIPE, "nothing came out of a pipe that is not empty")
                self.held -= gone

    def close(self) -> None:
        """Drop it with what is in it."""
        os.close(self._reader)
        os.close(self._writer)


class Pipes:
    """The pipes of this process."""

    def __init__(self, most: int = MOST_PIPES) -> None:
        self._idle: list[Pipe] = []
        self._left = most
        self._given_up = not hasattr(os, "splice")

    def borrow(self) -> Pipe | None:
        """Return an empty pipe, None when there are enough of them or no descriptors."""
        if self._idle:
            return self._idle.pop()
        if self._left > 0 and not self._given_up:
            with contextlib.suppress(OSError):
                pipe = Pipe()
                self._left -= 1
                return pipe
        return None

    def give_back(self, pipe: Pipe) -> None:
        """Take a pipe back; one that still holds something is never used again."""
        if pipe.held or self._given_up:
            pipe.close()
            self._left += 1
        else:
            self._idle.append(pipe)

    def give_up(self) -> None:
        """Lend none any more: the kernel cannot."""
        self._given_up = True
        while self._idle:
            self._idle.pop().close()
            self._left += 1


PIPES = Pipes()
