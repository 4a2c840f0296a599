from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.config.endpoints import (
    BadEndpoint,
    Endpoint,
    SystemdEndpoint,
    TcpEndpoint,
    UnixEndpoint,
    parse_endpoint,
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp:143", TcpEndpoint(143, "0.0.0.0")),
        ("tcp:0", TcpEndpoint(0, "0.0.0.0")),
        ("tcp:port=143", TcpEndpoint(143, "0.0.0.0")),
        ("tcp:143:interface=127.0.0.1", TcpEndpoint(143, "127.0.0.1")),
        ("tcp:143:interface=localhost", TcpEndpoint(143, "127.0.0.1")),
        ("tcp:143:interface=[::1]", TcpEndpoint(143, "::1")),
        (r"tcp:143:interface=\:\:1", TcpEndpoint(143, "::1")),
        ("systemd:name=imap", SystemdEndpoint("imap")),
        ("unix:/run/mailferry/sasl", UnixEndpoint("/run/mailferry/sasl", 0o660)),
        ("unix:/run/mailferry/sasl:mode=0606", UnixEndpoint("/run/mailferry/sasl", 0o606)),
        (r"unix:/run/a\:b:mode=600", UnixEndpoint("/run/a:b", 0o600)),
    ],
)
def test_an_endpoint_is_understood_and_written_back(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "143",
        "udp:143",
        "tcp:",
        "tcp:x",
        "tcp:65536",
        "tcp:-1",
        "tcp:143:iface=x",
        "tcp:143:interface=mail.test",
        "tcp:143:interface=",
        "systemd:",
        "systemd:imap",
        "systemd:name=",
        "systemd:name=\\:",
        "unix:/run/a\\",
        "tcp:1:interface=::1",
        "tcp:１４３",
        "unix:",
        "unix:run/sasl",
        "unix:/" + "x" * 107,
        "unix:/run/sasl:mode=rw",
        "unix:/run/sasl:mode=888",
        "unix:/run/sasl:lockfile=0",
    ],
)
def test_what_is_no_endpoint_says_so(text: str) -> None:
    with pytest.raises(BadEndpoint):
        parse_endpoint(text)


def test_only_an_address_of_this_machine_alone_is_loopback() -> None:
    assert parse_endpoint("tcp:1:interface=127.0.0.2").loopback
    assert not parse_endpoint("tcp:1").loopback
    assert not parse_endpoint("systemd:name=x").loopback


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse_endpoint(text)
    except BadEndpoint:
        pass
