"""What must hold for what other servers ask us and for the addresses that administrators write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from mailferry.config.endpoints import BadEndpoint, parse_endpoint
from mailferry.login.names import RefusedAtTheDoor, typed_credentials
from mailferry.login.sasl_exchange import MECHANISMS, Cancelled, SaslExchange
from mailferry.model.server_url import BadServerUrl, parse_server_url
from mailferry.wire.auth_http import BadAuthRequest, auth_reply, parse_auth_request
from mailferry.wire.dovecot_auth import Auth, BadAuthLine, Continue, escape, parse_client_line, unescape
from mailferry.wire.sasl import BadSasl, PlainResponse, encode_base64

_CONTROL = re.compile(rb"[\0\r\n]")


def _pieces(*words: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(words) | st.binary(max_size=6), max_size=14).map(b"".join)


_HEAD = _pieces(
    b"GET /auth HTTP/1.0\r\n", b"Auth-User: ", b"Auth-Pass: ", b"Auth-Method: plain\r\n", b"Client-IP: ", b"\r\n",
    b"Auth-Login-Attempt: ", b"9999999999", b"Auth-Key: ", b"%", b"%0a", b"%00", b":", b" ", b"\n", b"::1", b"\xff",
)  # fmt: skip
_LINE = _pieces(
    b"VERSION", b"AUTH", b"CONT", b"CANCEL", b"CPID", b"\t", b"1", b"4294967296", b"PLAIN", b"LOGIN", b"service=smtp",
    b"rip=", b"resp=", b"=", b"\x01", b"\x010", b"\x01t", b"nologin", b"AGF0AGI=",
)  # fmt: skip
_RESPONSES = st.tuples(
    st.sampled_from(MECHANISMS),
    st.booleans(),
    st.lists(
        st.sampled_from([b"=", b"*", b"", b"AGF0AGI=", b"YQ=="])
        | st.binary(max_size=40).map(encode_base64)
        | st.binary(max_size=20),
        max_size=4,
    ),
)
_ADDRESS = st.lists(
    st.sampled_from(
        ["imap://", "imaps://", "pop3s://", "a.test", "[::1]", ":993", "?tls=none", "&pin=sha256:", "?ca=/x", "#", "@"]
    )
    | st.text(max_size=5),
    max_size=8,
).map("".join)  # fmt: skip
_ENDPOINT = st.lists(
    st.sampled_from(
        ["tcp:", "unix:", "systemd:", "143", "/a", ":mode=660", ":interface=", "[::1]", "name=", "\\:", ":"]
    )
    | st.text(max_size=5),
    max_size=8,
).map("".join)  # fmt: skip


def _request(head: bytes) -> None:
    for octets in (head, b"GET /auth HTTP/1.0\r\nAuth-Method: plain\r\n" + head):
        try:
            request = parse_auth_request(octets)
        except BadAuthRequest:
            continue
        assert 0 <= request.attempt <= 999_999_999
        assert not re.search(r"[\0\r\n]", request.method + request.protocol + request.client)
        _judged(request.user, request.password.reveal())
        if not _CONTROL.search(request.user):
            reply = auth_reply({"Auth-User": request.user[:300]})
            assert reply.count(b"\r\n") == 3, "one header, whatever the name"


def _judged(user: bytes, password: bytes, authzid: bytes = b"") -> None:
    """What gets past the door's check of names and passwords ends no line anywhere, and is nobody else."""
    try:
        credentials = typed_credentials(user, password, authzid)
    except RefusedAtTheDoor:
        return
    assert credentials.authzid == ""
    assert not any(ord(c) < 0x20 or ord(c) == 0x7F for c in credentials.authcid)
    assert not _CONTROL.search(credentials.password.reveal())


def _line(line: bytes) -> None:
    for octets in (line, b"AUTH\t1\tPLAIN\t" + line):
        try:
            said = parse_client_line(octets)
        except BadAuthLine:
            continue
        if isinstance(said, Auth | Continue):
            assert 0 <= said.id < 2**32
        if isinstance(said, Auth):
            assert (said.mechanism + said.service + said.client).isascii()
    assert unescape(escape(line)) == line
    assert not {b"\t", b"\n", b"\0"} & {escape(line)[n : n + 1] for n in range(len(escape(line)))}


def _exchange(case: tuple[str, bool, list[bytes]]) -> None:
    mechanism, initial, lines = case
    exchange = SaslExchange(mechanism)
    for number, line in enumerate(lines):
        try:
            said = exchange.respond(line, initial=initial and number == 0)
        except BadSasl:
            return
        if isinstance(said, Cancelled):
            return
        if isinstance(said, PlainResponse):
            _judged(said.authcid, said.password.reveal(), said.authzid)
            return
        assert exchange.prompt


def _address(text: str) -> None:
    try:
        server = parse_server_url(text)
    except BadServerUrl:
        return
    assert server.host
    assert not any(c.isspace() or ord(c) < 0x21 for c in server.host)
    assert 0 < server.port < 65536
    assert parse_server_url(str(server)).host == server.host


def _endpoint(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except BadEndpoint:
        return
    assert parse_endpoint(str(endpoint)) == endpoint


REQUESTS: Mapping[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "auth_http request": (_HEAD, _request),
    "sasl line": (_LINE, _line),
    "sasl exchange": (_RESPONSES, _exchange),
    "server address": (_ADDRESS, _address),
    "endpoint": (_ENDPOINT, _endpoint),
}
