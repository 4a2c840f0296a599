"""nginx's requests and replies: what it writes is read octet by octet, and nothing else is taken for it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.access import Secret
from mailferry.wire.auth_http import (
    MAX_REPLY_OCTETS,
    AuthRequest,
    BadAuthRequest,
    auth_reply,
    parse_auth_request,
    unescape,
)

REQUEST = (
    b"GET /auth HTTP/1.0\r\nHost: localhost\r\nAuth-Method: plain\r\nAuth-User: li%40x@old.test\r\n"
    b"Auth-Pass: a%20+%25\xff b\r\nAuth-Protocol: imap\r\nAuth-Login-Attempt: 2\r\nClient-IP: 192.0.2.7\r\n"
    b"Auth-Key: s3cret"
)


def as_nginx_writes(octets: bytes) -> bytes:
    """Control characters, the blank and the percent sign are escaped, and nothing else."""
    return b"".join(
        b"%%%02X" % octet if octet <= 0x20 or octet == 0x25 else bytes([octet]) for octet in octets
    )


def test_a_request_is_read_as_nginx_wrote_it() -> None:
    assert parse_auth_request(REQUEST) == AuthRequest(
        method="plain",
        protocol="imap",
        user=b"li@x@old.test",
        password=Secret(b"a +%\xff b"),
        client="192.0.2.7",
        attempt=2,
        key=Secret(b"s3cret"),
    )


@given(st.binary(min_size=1, max_size=255))
def test_every_password_comes_out_as_it_went_in(octets: bytes) -> None:
    head = b"GET /auth HTTP/1.0\r\nAuth-Pass: " + as_nginx_writes(octets)
    assert parse_auth_request(head).password.reveal() == octets


@pytest.mark.parametrize(
    "head",
    [
        b"POST /auth HTTP/1.0",
        b"GET auth HTTP/1.0",
        b"GET /auth HTTP/1.0\r\nno header",
        b"GET /auth HTTP/1.0\r\n: empty",
        b"GET /auth HTTP/1.0\r\nAuth-User: a\r\nauth-user: b",
        b"GET /auth HTTP/1.0\r\nAuth-User: a\nAuth-Key: b",
        b"GET /auth HTTP/1.0\r\nAuth-Pass: 100%",
        b"GET /auth HTTP/1.0\r\nAuth-Pass: %zz",
        b"GET /auth HTTP/1.0\r\nAuth-Login-Attempt: -1",
        b"GET /auth HTTP/1.0\r\nAuth-Method: pl\xe4in",
        b"",
    ],
)
def test_what_nginx_does_not_write_is_not_read(head: bytes) -> None:
    with pytest.raises(BadAuthRequest):
        parse_auth_request(head)


@given(st.binary(max_size=600))
def test_no_octets_break_the_reader(head: bytes) -> None:
    with contextlib.suppress(BadAuthRequest):
        parse_auth_request(b"GET /auth HTTP/1.0\r\n" + head)


@given(st.binary(max_size=100))
def test_unescaping_gives_octets_or_a_fault(octets: bytes) -> None:
    assert unescape(as_nginx_writes(octets)) == octets


def test_a_reply_holds_its_headers_and_fits_what_nginx_reads() -> None:
    reply = auth_reply({"Auth-Status": b"OK", "Auth-Server": b"127.0.0.1", "Auth-Port": b"143"})
    assert reply == (
        b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 143\r\n\r\n"
    )
    with pytest.raises(ValueError, match="longer"):
        auth_reply({"Auth-Status": b"x" * MAX_REPLY_OCTETS})


@pytest.mark.parametrize("hostile", [b"a\r\nAuth-Server: 198.51.100.1", b"a\nb", b"a\rb", b"a\0b"])
def test_a_line_end_in_a_value_makes_no_second_header(hostile: bytes) -> None:
    with pytest.raises(ValueError, match="line end"):
        auth_reply({"Auth-User": hostile})
