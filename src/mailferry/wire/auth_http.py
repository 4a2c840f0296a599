"""nginx's mail authentication protocol (ngx_mail_auth_http_module): a request's head in, a reply's octets out.

nginx asks with one GET per login attempt and everything in headers. In `Auth-User` and `Auth-Pass` it
writes control characters, the blank and the percent sign as `%XX` and leaves all other octets as they
are, `+` and 8-bit octets among them. It reads replies of at most 1,024 octets, which must come in one piece.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailferry.model.access import Secret

MAX_HEAD_OCTETS = 16 * 1024
"""Of a request; an SMTP client's MAIL and RCPT arguments stand in it as well."""
MAX_REPLY_OCTETS = 1024
HEAD_END = b"\r\n\r\n"

_REQUEST_LINE = re.compile(rb"GET /[!-~]* HTTP/1\.[01]")
_NAME = re.compile(rb"[A-Za-z0-9-]{1,64}")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})?")
_LINE_OCTETS = re.compile(rb"[\r\n\0]")


class BadAuthRequest(ValueError):
    """A request that nginx does not send; the text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """One login attempt as nginx tells it; names and passwords are the octets that the client sent."""

    method: str
    protocol: str
    user: bytes
    password: Secret
    client: str
    """The client's address in digits, empty where nginx names none."""
    attempt: int
    """Which attempt of its connection this is, from 1 on."""
    key: Secret = field(default_factory=lambda: Secret(b""))
    """The header `Auth-Key`, which nginx adds where it is configured to (`auth_http_header`)."""


def parse_auth_request(head: bytes) -> AuthRequest:
    """Parse a request without the blank line that ends it; raises `BadAuthRequest`."""
    first, *lines = head.split(b"\r\n")
    if _REQUEST_LINE.fullmatch(first) is None:
        raise BadAuthRequest("not a GET request")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None or _LINE_OCTETS.search(value):
            raise BadAuthRequest("a line that is no header")
        key = name.lower()
        if key in headers:
            raise BadAuthRequest("a header that stands twice")
        headers[key] = value.removeprefix(b" ")
    return AuthRequest(
        method=_word(headers, b"auth-method"),
        protocol=_word(headers, b"auth-protocol"),
        user=unescape(headers.get(b"auth-user", b"")),
        password=Secret(unescape(headers.get(b"auth-pass", b""))),
        client=_word(headers, b"client-ip"),
        attempt=_number(headers.get(b"auth-login-attempt", b"1")),
        key=Secret(headers.get(b"auth-key", b"")),
    )


def _word(headers: Mapping[bytes, bytes], name: bytes) -> str:
    try:
        return headers.get(name, b"").decode("ascii")
    except UnicodeDecodeError:
        raise BadAuthRequest("a word that is not ASCII") from None


def _number(digits: bytes) -> int:
    if not (digits.isdigit() and len(digits) <= 9):
        raise BadAuthRequest("a number that is none")
    return int(digits)


def unescape(value: bytes) -> bytes:
    """Return the octets that nginx escaped; raises `BadAuthRequest` at a percent sign that escapes nothing."""

    def octet(found: re.Match[bytes]) -> bytes:
        digits = found[1]
        if digits is None:
            raise BadAuthRequest("a percent sign that escapes nothing")
        return bytes([int(digits, 16)])

    return _ESCAPED.sub(octet, value)


def auth_reply(headers: Mapping[str, bytes]) -> bytes:
    """Return a reply with these headers.

    Raises ValueError for one that nginx would not read: a line end in a value, more octets than it takes.
    """
    if any(_LINE_OCTETS.search(value) for value in headers.values()):
        raise ValueError("a line end in a header")
    lines = [b"HTTP/1.0 200 OK", *(b"%s: %s" % (name.encode(), value) for name, value in headers.items())]
    reply = b"\r\n".join(lines) + HEAD_END
    if len(reply) > MAX_REPLY_OCTETS:
        raise ValueError("a reply that is longer than nginx reads")
    return reply


def faulty_reply(status: str) -> bytes:
    """Return an HTTP answer that tells nginx nothing, so that its client reads of an internal error, which is temporary."""
    return b"HTTP/1.0 %s\r\nContent-Length: 0\r\n\r\n" % status.encode()
