"""Reads whole IMAP commands from a client that has not logged in, within narrow limits.

A command is its text with each literal in its place. Over the limits a command is refused without
reading its literals: a synchronizing one is then never sent, a non-synchronizing one is already on
its way and would be read as commands, so the session must end (RFC 7888 section 4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailferry.login.limits import TLS_HANDSHAKE
from mailferry.wire.imap_framing import FramingError, announced_literal
from mailferry.wire.imap_values import unescape
from mailferry.wire.line_buffer import LineBuffer, LineTooLong

MAX_COMMAND_OCTETS = 8192
"""Text and literals of one command together; with an unfinished line behind it 12 KiB are kept."""
MAX_LITERALS = 4

_COMMAND = re.compile(rb"([!#$&',-.0-9:;<=>?@A-Z\[\]^_`a-z|}~/]{1,255}) +([!-~]+)", re.DOTALL)
_BEHIND_A_LITERAL = frozenset({b"", b" ", b")"})
_ATOM = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')


class BadCommand(ValueError):
    """A command that is answered BAD; `tag` is b"*" when it has none."""

    def __init__(self, message: str, tag: bytes = b"*") -> None:
        super().__init__(message)
        self.tag = tag


class HostileInput(ValueError):
    """Input after which the stream cannot be read on; the session ends."""


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command: `name` in upper case, `parts` its arguments as text, literal, text, ..."""

    tag: bytes
    name: bytes
    parts: tuple[bytes, ...]

    def strings(self) -> list[bytes]:
        """Return the arguments as astrings; raises `BadCommand` when they are anything else."""
        found: list[bytes] = []
        for index in range(0, len(self.parts), 2):
            last = index + 1 >= len(self.parts)
            text = self.parts[index]
            if not last:
                text = text[: text.rindex(b"{")]
            self._words(text, found, opens=not last)
            if not last:
                found.append(self.parts[index + 1])
        return found

    def _words(self, text: bytes, found: list[bytes], *, opens: bool) -> None:
        position = 0
        while position < len(text):
            if text[position] != 0x20:
                raise BadCommand("Arguments stand apart by one space.", self.tag)
            position += 1
            if position == len(text) and opens:
                return
            word = _QUOTED.match(text, position)
            if word:
                found.append(unescape(word.group(1)))
            else:
                word = _ATOM.match(text, position)
                if not word:
                    raise BadCommand("Not a string.", self.tag)
                found.append(word.group())
            position = word.end()
        if opens:
            raise BadCommand("A literal stands behind a space.", self.tag)


class CommandReader:
    """Assembles commands out of a dialogue's buffer.

    `next_command()` returns a `Command`, `b"+"` when a continuation must be sent for a literal, or
    None when more octets are needed. It raises `BadCommand` (read on) and `HostileInput` (end).
    """

    __slots__ = ("_buffer", "_left", "_parts", "_size", "invites_literals")

    def __init__(self, buffer: LineBuffer, *, invites_literals: bool) -> None:
        self.invites_literals = invites_literals
        """False where LOGIN is disabled: a password is then not asked for with a continuation."""
        self._buffer = buffer
        self._parts: list[bytes] = []
        self._size = 0
        self._left = -1  # octets of a literal still to come; -1 in a line

    @property
    def held(self) -> int:
        """How many octets of an unfinished command are kept outside the buffer."""
        return sum(map(len, self._parts))

    def next_command(self) -> Command | bytes | None:
        """Return the next whole command (see the class)."""
        while True:
            if self._left >= 0:
                if len(self._buffer) < self._left:
                    return None
                self._parts.append(self._buffer.take(self._left))
                self._left = -1
            if not self._parts and self._buffer.starts_with(TLS_HANDSHAKE):
                raise HostileInput("a TLS handshake where plain commands are expected")
            try:
                line = self._buffer.next_line()
            except LineTooLong:
                raise HostileInput("a line of too many octets") from None
            if line is None:
                return None
            if self._parts and line[:1] not in _BEHIND_A_LITERAL:
                raise HostileInput("a literal of another size than announced")
            self._parts.append(line)
            self._size += len(line)
            wants = self._announced(line)
            if wants is None:
                return self._finish()
            if wants:
                return b"+"

    def _announced(self, line: bytes) -> bool | None:
        """Return None at a command's end, else whether the literal needs a continuation."""
        try:
            announced = announced_literal(line)
        except FramingError as fault:
            raise HostileInput(str(fault)) from None
        if announced is None:
            return None
        octets, non_sync = announced
        if self._size + octets > MAX_COMMAND_OCTETS or len(self._parts) // 2 >= MAX_LITERALS:
            if non_sync:
                raise HostileInput("a literal of too many octets")
            tag = self._drop()
            raise BadCommand("Literal too long.", tag)
        if not non_sync and not self.invites_literals:
            raise BadCommand("Use TLS before logging in.", self._drop())
        self._size += octets
        self._left = octets
        return not non_sync

    def _drop(self) -> bytes:
        found = _COMMAND.match(self._parts[0])
        self._parts = []
        self._size = 0
        return found.group(1) if found else b"*"

    def _finish(self) -> Command:
        parts = self._parts
        self._parts = []
        size, self._size = self._size, 0
        found = _COMMAND.match(parts[0])
        if not found:
            raise BadCommand("Not a command.")
        tag = found.group(1)
        if size > MAX_COMMAND_OCTETS:
            raise BadCommand("Too long.", tag)
        first = parts[0][found.end() :]
        return Command(tag, found.group(2).upper(), (first, *parts[1:]))
