"""The reactor of the workers: what one descriptor breaks is its own affair."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from twisted.python import log

from mailferry.net.quick_epoll import QuickEpollReactor


class Reader:
    def __init__(self, sock: socket.socket, *, breaks: bool) -> None:
        self.sock, self.breaks = sock, breaks
        self.read, self.lost = 0, 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        return "reader"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self.read += len(self.sock.recv(10))
        if self.breaks:
            raise RuntimeError("of the reader")

    def connectionLost(self, reason: object) -> None:  # noqa: N802 - Twisted's name
        self.lost += 1
        raise RuntimeError("and once more")


def test_a_descriptor_that_breaks_even_while_it_is_told_so_ends_no_others_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "err", lambda: told.append(str(sys.exc_info()[1])))
    reactor = QuickEpollReactor()
    pairs = [socket.socketpair() for _ in range(3)]
    readers = [Reader(ours, breaks=number == 0) for number, (ours, _) in enumerate(pairs)]
    for reader, (_, theirs) in zip(readers, pairs, strict=True):
        reactor.addReader(reader)
        theirs.send(b"x")
    reactor.doIteration(0.0)
    assert [(reader.read, reader.lost) for reader in readers] == [(1, 1), (1, 0), (1, 0)]
    assert told == ["of the reader", "and once more"]
    assert readers[0] not in reactor.getReaders()
    pairs[1][1].send(b"y")
    reactor.doIteration(None)
    assert readers[1].read == 2
    for reader in readers[1:]:
        reactor.removeReader(reader)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    reactor._poller.close()
    for end in (reactor.waker.i, reactor.waker.o):
        os.close(end)
