"""Dovecot's authentication protocol, version 1, the server's side for clients (doc/auth-protocol.txt).

Lines of fields between tabs. Postfix (`smtpd_sasl_type = dovecot`) and Exim speak it: a request has a
number of its own, so that many may be under way on one connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_LINE_OCTETS = 8192
MAJOR_VERSION = 1
MINOR_VERSION = 2

_MAX_ID = 2**32 - 1
_TO_ESCAPE = {b"\x01": b"\x011", b"\t": b"\x01t", b"\n": b"\x01n", b"\r": b"\x01r", b"\0": b"\x010"}
_ESCAPED = {value[1:]: key for key, value in _TO_ESCAPE.items()}
_ESCAPES = re.compile(rb"[\x01\t\n\r\0]")
_UNESCAPES = re.compile(rb"\x01(.?)", re.DOTALL)


class BadAuthLine(ValueError):
    """A line that the protocol does not know so; the text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class ClientVersion:
    """`VERSION`: what the client speaks."""

    major: int


@dataclass(frozen=True, slots=True)
class Auth:
    """`AUTH`: begin request `id` with `mechanism`; `response` is base64, None where none came along."""

    id: int
    mechanism: str
    service: str
    client: str
    """The client's address in digits (`rip`), empty where it is not told."""
    response: bytes | None


@dataclass(frozen=True, slots=True)
class Continue:
    """`CONT`: the client's next response, base64."""

    id: int
    response: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """`CANCEL`: nobody waits for this answer any more."""

    id: int


ClientLine = ClientVersion | Auth | Continue | Cancel


def parse_client_line(line: bytes) -> ClientLine | None:
    """Return what a client's line says, None for one that needs no answer; raises `BadAuthLine`."""
    command, *fields = line.split(b"\t")
    if command == b"VERSION":
        return ClientVersion(_number(fields[0] if fields else b""))
    if command == b"AUTH":
        return _auth(fields)
    if command == b"CONT":
        if len(fields) != 2:
            raise BadAuthLine("CONT has a number and a response")
        return Continue(_number(fields[0]), fields[1])
    if command == b"CANCEL":
        return Cancel(_number(fields[0] if fields else b""))
    return None  # CPID, and what later versions may have


def _auth(fields: list[bytes]) -> Auth:
    if len(fields) < 2:
        raise BadAuthLine("AUTH has a number and a mechanism")
    told: dict[bytes, bytes] = {}
    response: bytes | None = None
    for field in fields[2:]:
        if response is not None:
            raise BadAuthLine("the response stands last")
        name, equals, value = field.partition(b"=")
        if name == b"resp" and equals:
            response = value
        else:
            told[name] = unescape(value)
    return Auth(
        _number(fields[0]),
        _text(fields[1]).upper(),
        _text(told.get(b"service", b"")),
        _text(told.get(b"rip", b"")),
        response,
    )


def _number(digits: bytes) -> int:
    if not (digits.isdigit() and len(digits) <= 10 and int(digits) <= _MAX_ID):
        raise BadAuthLine("a number that is none")
    return int(digits)


def _text(octets: bytes) -> str:
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError:
        raise BadAuthLine("a word that is not ASCII") from None


def greeting(mechanisms: Iterable[str], *, pid: int, number: int, cookie: bytes) -> bytes:
    """Return what the server says first: `number` is unique among its connections, `cookie` 16 random octets."""
    return b"".join(
        [
            b"VERSION\t%d\t%d\n" % (MAJOR_VERSION, MINOR_VERSION),
            *(b"MECH\t%s\tplaintext\n" % name.encode() for name in mechanisms),
            b"SPID\t%d\nCUID\t%d\nCOOKIE\t%s\nDONE\n" % (pid, number, cookie.hex().encode()),
        ]
    )


def proceed(request: int, challenge: bytes) -> bytes:
    """Return the line that asks for more; `challenge` is base64."""
    return b"CONT\t%d\t%s\n" % (request, challenge)


def accepted(request: int, user: str) -> bytes:
    """Return the line of a login that is right; `user` is who it is from now on."""
    return b"OK\t%d\tuser=%s\n" % (request, escape(user.encode()))


def refused(request: int, reason: str) -> bytes:
    """Return the line of a login that is wrong; Postfix shows `reason` to the mail program."""
    return b"FAIL\t%d\treason=%s\n" % (request, escape(reason.encode()))


def escape(value: bytes) -> bytes:
    """Return a field's value as it stands in a line."""
    return _ESCAPES.sub(lambda found: _TO_ESCAPE[found[0]], value)


def unescape(value: bytes) -> bytes:
    """Return the value that stands escaped in a line; raises `BadAuthLine`."""

    def octet(found: re.Match[bytes]) -> bytes:
        try:
            return _ESCAPED[found[1]]
        except KeyError:
            raise BadAuthLine("an escape that is none") from None

    return _UNESCAPES.sub(octet, value)
