"""The reactor of the workers: what one descriptor breaks is its own affair."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.python import log

from mailferry.net.quick_epoll import QuickEpollReactor


class Reader:
    def __init__(self, sock: socket.socket, *, breaks: bool) -> None:
        self.sock, self.breaks = sock, breaks
        self.read = self.written = self.lost = 0
        self.number: int | None = None

    def fileno(self) -> int:
        return self.sock.fileno() if self.number is None else self.number

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        return "reader"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self.read += len(self.sock.recv(10))
        if self.breaks:
            raise RuntimeError("of the reader")

    def connectionLost(self, reason: object) -> None:  # noqa: N802 - Twisted's name
        self.lost += 1
        raise RuntimeError("and once more")

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        self.written += 1


@pytest.fixture
def reactor() -> Iterator[QuickEpollReactor]:
    reactor = QuickEpollReactor()
    yield reactor
    reactor._poller.close()
    for end in (reactor.waker.i, reactor.waker.o):
        os.close(end)


def test_a_descriptor_that_breaks_even_while_it_is_told_so_ends_no_others_turn(
    monkeypatch: pytest.MonkeyPatch, reactor: QuickEpollReactor
) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "err", lambda: told.append(str(sys.exc_info()[1])))
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


def test_each_event_is_asked_for_and_given_up_by_itself(reactor: QuickEpollReactor) -> None:
    ours, theirs = socket.socketpair()
    reader = Reader(ours, breaks=False)
    theirs.send(b"x")
    for change in (reactor.addWriter, reactor.addWriter, reactor.addReader):
        change(reader)
    assert reader in reactor.getReaders()
    assert reader in reactor.getWriters()
    reactor.doIteration(0.0)
    assert (reader.read, reader.written) == (1, 1)
    reactor.removeWriter(reader)
    theirs.send(b"x")
    reactor.doIteration(0.0)
    assert (reader.read, reader.written) == (2, 1)
    reactor.removeReader(reader)
    reactor.removeReader(reader)
    theirs.send(b"x")
    reactor.doIteration(0.0)
    assert (reader.read, reader.written) == (2, 1)
    assert reader not in reactor.removeAll()
    ours.close()
    theirs.close()


def test_who_takes_the_number_of_one_that_was_closed_too_early_is_told_all_the_same(
    reactor: QuickEpollReactor,
) -> None:
    closed = Reader(socket.socket(), breaks=False)
    number = closed.fileno()
    ours, theirs = socket.socketpair()
    reactor.addReader(closed)
    closed.sock.close()
    with contextlib.suppress(OSError):  # the kernel has forgotten it already
        reactor.removeReader(closed)
    assert closed not in reactor.getReaders()
    again = Reader(socket.socket(fileno=os.dup2(ours.fileno(), number)), breaks=False)
    theirs.send(b"x")
    reactor.addReader(again)
    reactor.doIteration(0.0)
    assert again.read == 1
    reactor.removeReader(again)
    for end in (again.sock, ours, theirs):
        end.close()


def test_an_end_is_told_to_who_reads_and_to_who_only_writes(reactor: QuickEpollReactor) -> None:
    for ask in (reactor.addReader, reactor.addWriter):
        reading, writing = os.pipe()
        end = Reader(socket.socket(), breaks=False)
        end.sock.close()
        end.number = reading if ask == reactor.addReader else writing
        ask(end)
        os.close(writing if end.number == reading else reading)
        with contextlib.suppress(RuntimeError):
            reactor.doIteration(0.0)
        assert end.lost == 1
        os.close(end.number)


def test_calls_that_an_event_makes_due_have_their_turn_behind_it(reactor: QuickEpollReactor) -> None:
    ours, theirs = socket.socketpair()
    done: list[str] = []

    def step(name: str) -> None:
        done.append(name)
        theirs.send(b"x")

    far = reactor.callLater(3600, step, "an old one, moved")
    steps: list[Callable[[], Any]] = [
        lambda: reactor.callLater(0, step, "a new one"),
        lambda: reactor.callFromThread(step, "of a thread"),
        lambda: far.reset(0.01),
        lambda: reactor.callLater(0.01, step, "later"),
        reactor.stop,
    ]

    class Steps(Reader):
        def doRead(self) -> None:  # noqa: N802 - Twisted's name
            self.sock.recv(10)
            steps.pop(0)()

    def give_up() -> None:
        steps[:] = [reactor.crash]
        theirs.send(b"x")

    watchdog = threading.Timer(5.0, give_up)
    watchdog.start()
    reader = Steps(ours, breaks=False)
    reactor.addReader(reader)
    theirs.send(b"x")
    reactor.addSystemEventTrigger("during", "shutdown", step, "the end")
    reactor.run(installSignalHandlers=False)
    watchdog.cancel()
    watchdog.join()
    assert done == ["a new one", "of a thread", "an old one, moved", "later", "the end"]
    reactor.removeReader(reader)
    for end in (ours, theirs):
        end.close()


def test_the_loop_outlives_a_fault_of_its_own(
    monkeypatch: pytest.MonkeyPatch, reactor: QuickEpollReactor
) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "err", lambda: told.append(str(sys.exc_info()[1])))
    faults = [RuntimeError("of the loop")]

    def turn(_timeout: float | None) -> None:
        if faults:
            raise faults.pop()
        if reactor.running:
            reactor.stop()

    monkeypatch.setattr(reactor, "doPoll", turn)
    reactor.run(installSignalHandlers=False)
    assert told == ["of the loop"]
