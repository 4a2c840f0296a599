"""Dovecot's authentication protocol: lines in, lines out, and no value that makes a field or a line of its own."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.wire.dovecot_auth import (
    Auth,
    BadAuthLine,
    Cancel,
    ClientVersion,
    Continue,
    accepted,
    escape,
    greeting,
    parse_client_line,
    proceed,
    refused,
    unescape,
)


def test_the_greeting_names_version_mechanisms_and_connection() -> None:
    assert greeting(["PLAIN", "LOGIN"], pid=7, number=3, cookie=bytes(16)) == (
        b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t7\nCUID\t3\n"
        b"COOKIE\t00000000000000000000000000000000\nDONE\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"VERSION\t1\t0", ClientVersion(1)),
        (b"CPID\t123", None),
        (b"SOMETHING\tnew", None),
        (
            b"AUTH\t1\tplain\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.7\tsecured\tresp=AGEAYg==",
            Auth(1, "PLAIN", "smtp", "192.0.2.7", b"AGEAYg=="),
        ),
        (b"AUTH\t4294967295\tLOGIN\tservice=smtp", Auth(4294967295, "LOGIN", "smtp", "", None)),
        (b"AUTH\t2\tLOGIN\tservice=smtp\tresp=", Auth(2, "LOGIN", "smtp", "", b"")),
        (b"CONT\t2\tYWJj", Continue(2, b"YWJj")),
        (b"CONT\t2\t", Continue(2, b"")),
        (b"CANCEL\t2", Cancel(2)),
    ],
)
def test_what_a_client_says_is_understood(line: bytes, said: object) -> None:
    assert parse_client_line(line) == said


@pytest.mark.parametrize(
    "line",
    [
        b"VERSION",
        b"VERSION\tone",
        b"AUTH",
        b"AUTH\t1",
        b"AUTH\t-1\tPLAIN",
        b"AUTH\t4294967296\tPLAIN",
        b"AUTH\t1\tPLAIN\tresp=a\tservice=smtp",
        b"AUTH\t1\tPLAIN\trip=\x01x",
        b"AUTH\t1\tPL\xc3\x84IN",
        b"CONT\t1",
        b"CONT\t1\ta\tb",
        b"CANCEL",
    ],
)
def test_what_the_protocol_does_not_know_is_a_fault(line: bytes) -> None:
    with pytest.raises(BadAuthLine):
        parse_client_line(line)


@given(st.binary(max_size=200))
def test_no_octets_break_the_reader(line: bytes) -> None:
    with contextlib.suppress(BadAuthLine):
        parse_client_line(line)


@given(st.binary(max_size=100))
def test_an_escaped_value_has_no_tab_and_no_line_end_and_comes_back(value: bytes) -> None:
    escaped = escape(value)
    assert not set(b"\t\n\r\0") & set(escaped)
    assert unescape(escaped) == value


def test_answers_are_one_line_each() -> None:
    assert proceed(1, b"VXNlcm5hbWU6") == b"CONT\t1\tVXNlcm5hbWU6\n"
    assert accepted(1, "li@old.test") == b"OK\t1\tuser=li@old.test\n"
    assert refused(1, "no\tno\nOK\t1") == b"FAIL\t1\treason=no\x01tno\x01nOK\x01t1\n"
