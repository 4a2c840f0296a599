"""Commands as an IMAP client sends them (RFC 3501, 2.2.1 and 9), read by the lab's own hand.

Atoms, quoted strings and literals become octets, a parenthesis becomes a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mailferry.lab.connection import MAX_LINE

MAX_LITERAL = 256 * 1024 * 1024
LONG_COMMAND = 6 * 1024

_LITERAL = re.compile(rb"~?\{(\d{1,10})(\+?)\}$")
_ATOM = re.compile(rb"(?:[^\s()\"\[\]]|\[[^\]]*\])+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


class Literal(bytes):
    """A string that came as a literal."""

    __slots__ = ()


Value: TypeAlias = "bytes | list[Value]"


class BadCommand(Exception):
    """Octets that are no command."""

    def __init__(self, text: str, tag: bytes = b"*") -> None:
        super().__init__(text)
        self.tag = tag


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its arguments; `uid` when it came behind the word UID."""

    tag: bytes
    verb: str
    arguments: list[Value]
    uid: bool = False
    literals: int = 0


class CommandReader:
    """Takes whole commands out of a buffer, asking for literals where the client waits to be asked."""

    def __init__(self, go_ahead: Callable[[], None], *, literal_plus: Callable[[], bool]) -> None:
        self._go_ahead = go_ahead
        self._literal_plus = literal_plus
        self._pieces: list[bytes] = []
        self._left: int | None = None

    def take(self, buffer: bytearray) -> list[bytes] | None:
        """Return the pieces of the next command, None when it is not whole yet. Raises BadCommand."""
        while True:
            if self._left is not None:
                if len(buffer) < self._left:
                    return None
                self._pieces.append(Literal(buffer[: self._left]))
                del buffer[: self._left]
                self._left = None
            end = buffer.find(b"\n")
            if end < 0:
                if len(buffer) > MAX_LINE:
                    raise BadCommand("Line too long")
                return None
            line = bytes(buffer[:end]).removesuffix(b"\r")
            del buffer[: end + 1]
            match = _LITERAL.search(line)
            if match is None:
                pieces, self._pieces = [*self._pieces, line], []
                return pieces
            if int(match[1]) > MAX_LITERAL:
                raise BadCommand("Literal too big")
            if match[2] and not self._literal_plus():
                raise BadCommand("Non-synchronizing literals are not offered", line.split(b" ")[0])
            self._pieces.append(line[: match.start()])
            self._left = int(match[1])
            if not match[2]:
                self._go_ahead()


def parse_command(pieces: list[bytes]) -> Command:
    """Return the command that the pieces spell. Raises BadCommand."""
    head = pieces[0].split(b" ", 1)
    tag = head[0]
    if len(head) < 2 or not tag or not re.fullmatch(rb"[^\s(){%*\"\\+]+", tag):
        raise BadCommand("Error in IMAP command: no tag or command")
    values, rest = _values([head[1], *pieces[1:]], tag)
    if rest or not values or isinstance(values[0], list):
        raise BadCommand("Error in IMAP command", tag)
    verb, arguments, uid = values[0].upper(), values[1:], False
    if verb == b"UID" and arguments and isinstance(arguments[0], bytes):
        uid, verb, arguments = True, arguments[0].upper(), arguments[1:]
    literals = sum(isinstance(piece, Literal) for piece in pieces)
    return Command(tag, verb.decode("latin-1"), arguments, uid=uid, literals=literals)


def _values(pieces: list[bytes], tag: bytes) -> tuple[list[Value], bool]:
    """Return the values and whether a parenthesis stayed open."""
    stack: list[list[Value]] = [[]]
    for piece in pieces:
        if isinstance(piece, Literal):
            stack[-1].append(piece)
            continue
        at = 0
        while at < len(piece):
            character = piece[at : at + 1]
            if character in b" \t":
                at += 1
            elif character == b"(":
                if len(stack) > 20:
                    raise BadCommand("Too many parentheses", tag)
                stack.append([])
                at += 1
            elif character == b")":
                if len(stack) == 1:
                    raise BadCommand("Unexpected parenthesis", tag)
                inner = stack.pop()
                stack[-1].append(inner)
                at += 1
            elif character == b'"':
                quoted = _QUOTED.match(piece, at)
                if quoted is None:
                    raise BadCommand("Quoted string without end", tag)
                stack[-1].append(_ESCAPE.sub(rb"\1", quoted[1]))
                at = quoted.end()
            else:
                atom = _ATOM.match(piece, at)
                if atom is None:
                    raise BadCommand("Invalid character", tag)
                stack[-1].append(atom[0])
                at = atom.end()
    return stack[0], len(stack) > 1


def text(value: Value) -> bytes:
    """Return an argument that must be a string. Raises BadCommand for a parenthesis."""
    if isinstance(value, list):
        raise BadCommand("A string was expected")
    return value


def words(value: Value) -> list[bytes]:
    """Return the strings of an argument that may be a parenthesis or a single word."""
    return [text(v) for v in value] if isinstance(value, list) else [value]


def quoted(octets: bytes) -> bytes:
    """Return octets as a quoted string, or as a literal where a quoted string cannot hold them."""
    if any(c < 0x20 or c > 0x7E for c in octets):
        return b"{%d}\r\n%s" % (len(octets), octets)
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
