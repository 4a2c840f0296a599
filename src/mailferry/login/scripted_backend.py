"""Runs a backend's conversation that is written as a generator, one answer of the server at a time.

The script yields what it waits for and is resumed with it; its return value is the dialogue's end.
Here are the rules that both protocols share: nothing is read while an upgrade to TLS is under way,
octets behind the upgrade's answer break the protocol, and what a server may send is bounded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from enum import Enum, auto
from typing import Generic, TypeVar

from mailferry.login.actions import Action, Failed, Proved, Send, Stage, StartTls
from mailferry.wire.line_buffer import LineBuffer, LineTooLong, PlaintextBehindUpgrade

MAX_LINE_OCTETS = 8192
MAX_TOTAL_OCTETS = 1 << 20
"""Sina answers `LIST "" ""` with all mailboxes; nothing before the relay is longer."""
MAX_TEXT_OCTETS = 2000
BROKEN = "BAD"
"""Stands as the code of a failure where the server did not keep to the protocol."""

AnswerT = TypeVar("AnswerT")
Ended = Proved | Failed


class Wait(Enum):
    """What a script waits for."""

    ANSWER = auto()
    TLS = auto()


Script = Generator[Wait, AnswerT | None, Ended]


class Broken(Exception):
    """The server does not keep to the protocol; nothing it said counts."""


class ScriptedBackend(ABC, Generic[AnswerT]):
    """A dialogue with a server; a subclass writes `_script` and reads answers out of `_buffer`."""

    def __init__(self) -> None:
        self._buffer = LineBuffer(MAX_LINE_OCTETS)
        self._out: list[Action] = []
        self._stage = Stage.GREETING
        self._waits: Wait | None = None
        self._running: Script[AnswerT] | None = None
        self._total = 0
        self._last_words = b""

    def start(self) -> list[Action]:
        """Begin the conversation."""
        self._running = self._script()
        self._resume(None)
        return self._flush()

    def feed(self, data: bytes) -> list[Action]:
        """Take octets from the server."""
        if self._running is None:
            return []
        self._total += len(data)
        try:
            if self._waits is Wait.TLS:
                raise Broken("octets in plaintext behind the answer to the upgrade")
            if self._total > MAX_TOTAL_OCTETS:
                raise Broken("endless answers before the session's begin")
            self._buffer.feed(data)
            while self._waits is Wait.ANSWER:
                answer = self._next_answer()
                if answer is None:
                    break
                self._resume(answer)
        except LineTooLong as fault:
            self._end(self._broken(str(fault)))
        except Broken as fault:
            self._end(self._ended_by(fault))
        return self._flush()

    def secured(self) -> list[Action]:
        """Go on inside TLS."""
        if self._waits is Wait.TLS:
            self._resume(None)
        return self._flush()

    def closed(self) -> list[Action]:
        """The server closed the connection: nobody judged, unless the script knows better."""
        if self._running is not None:
            self._end(self._at_close())
        return self._flush()

    @abstractmethod
    def _script(self) -> Script[AnswerT]:
        """Hold the conversation."""

    @abstractmethod
    def _next_answer(self) -> AnswerT | None:
        """Read one answer out of the buffer; raises `Broken`."""

    def _at_close(self) -> Failed:
        return self._failed(
            judged=False, code=None, text=self._last_words or b"the server closed the connection"
        )

    def _send(self, data: bytes) -> None:
        self._out.append(Send(data))

    def _become_tls(self) -> Generator[Wait, AnswerT | None, None]:
        try:
            self._buffer.upgrade()
        except PlaintextBehindUpgrade:
            raise Broken("octets in plaintext behind the answer to the upgrade") from None
        self._out.append(StartTls())
        yield Wait.TLS

    def _failed(self, *, judged: bool, code: str | None, text: bytes) -> Failed:
        return Failed(judged, code, text[:MAX_TEXT_OCTETS], self._stage)

    def _broken(self, message: str) -> Failed:
        return self._failed(
            judged=False, code=BROKEN, text=b"the server broke the protocol: " + message.encode()
        )

    def _ended_by(self, fault: Broken) -> Ended:
        return self._broken(str(fault))

    def _resume(self, answer: AnswerT | None) -> None:
        assert self._running is not None
        try:
            self._waits = self._running.send(answer)
        except StopIteration as stop:
            self._end(stop.value)
        except Broken as fault:
            self._end(self._ended_by(fault))

    def _end(self, ended: Ended) -> None:
        self._running = None
        self._waits = None
        self._buffer = LineBuffer(MAX_LINE_OCTETS)
        self._out.append(ended)

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out
