"""The PROXY header, octet by octet."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailferry.wire.proxy_header import (
    BadProxyHeader,
    Endpoint,
    ProxyHeader,
    parse_proxy_header,
    proxy_header,
)

pytestmark = pytest.mark.hazard("T33")

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, DOOR = Endpoint("203.0.113.9", 56324), Endpoint("192.0.2.1", 993)
SIX = Endpoint("2001:db8::9", 65535)


def version_2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


TCP4 = bytes([203, 0, 113, 9, 192, 0, 2, 1]) + struct.pack("!HH", 56324, 993)
GOOD: dict[str, tuple[bytes, Endpoint | None, Endpoint | None]] = {
    "v1 TCP4": (b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 993\r\n", CLIENT, DOOR),
    "v1 TCP6": (
        b"PROXY TCP6 2001:db8::9 2001:DB8:0::1 65535 0\r\n",
        SIX,
        Endpoint("2001:db8::1", 0),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", None, None),
    "v1 UNKNOWN with words": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None, None),
    "v2 TCP4": (version_2(0x21, 0x11, TCP4), CLIENT, DOOR),
    "v2 TCP4 with more": (version_2(0x21, 0x11, TCP4 + b"\x04\x00\x03abc"), CLIENT, DOOR),
    "v2 TCP6": (
        version_2(0x21, 0x21, bytes.fromhex("20010db8" + "0" * 22 + "09") * 2 + b"\xff\xff\x03\xe1"),
        SIX,
        Endpoint("2001:db8::9", 993),
    ),
    "v2 LOCAL": (version_2(0x20, 0x00, b""), None, None),
    "v2 LOCAL with addresses": (version_2(0x20, 0x11, TCP4), None, None),
    "v2 UNSPEC": (version_2(0x21, 0x00, b"whatever"), None, None),
}
BAD: dict[str, bytes] = {
    "a command": b"a LOGIN u p\r\n",
    "a TLS hello": b"\x16\x03\x01",
    "NUL": b"\0",
    "lower case": b"proxy TCP4 203.0.113.9 192.0.2.1 56324 993\r\n",
    "a family nobody knows": b"PROXY TCP5 203.0.113.9 192.0.2.1 56324 993\r\n",
    "two spaces": b"PROXY  TCP4 203.0.113.9 192.0.2.1 56324 993\r\n",
    "an address too many": b"PROXY TCP4 203.0.113.9 192.0.2.1 192.0.2.2 56324 993\r\n",
    "an address of the other family": b"PROXY TCP4 ::1 192.0.2.1 56324 993\r\n",
    "no address": b"PROXY TCP4 203.0.113.999 192.0.2.1 56324 993\r\n",
    "a name": b"PROXY TCP4 localhost 192.0.2.1 56324 993\r\n",
    "a port over 65535": b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 993\r\n",
    "a port with a zero ahead": b"PROXY TCP4 203.0.113.9 192.0.2.1 0993 993\r\n",
    "a sign": b"PROXY TCP4 203.0.113.9 192.0.2.1 +993 993\r\n",
    "NUL in the line": b"PROXY TCP4 203.0.113.9\0 192.0.2.1 56324 993\r\n",
    "a line without end": b"PROXY UNKNOWN " + b"x" * 100,
    "bare LF": b"PROXY UNKNOWN\n" + b"x" * 100,
    "another version": version_2(0x31, 0x11, TCP4),
    "another command": version_2(0x22, 0x11, TCP4),
    "UDP": version_2(0x21, 0x12, TCP4),
    "UNIX": version_2(0x21, 0x31, b"\0" * 216),
    "too short": version_2(0x21, 0x11, TCP4[:-1]),
    "64 kB": SIGNATURE + b"\x21\x11\xff\xff",
    "4 kB and one": SIGNATURE + b"\x20\x00\x10\x01",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_read_however_it_comes_and_nothing_behind_it(name: str) -> None:
    octets, client, door = GOOD[name]
    for end in range(len(octets)):
        assert parse_proxy_header(octets[:end]) is None
    for behind in (b"", b"a LOGIN u p\r\n", b"\x16\x03\x01\0", b"\r\n"):
        assert parse_proxy_header(octets + behind) == ProxyHeader(len(octets), client, door)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(BadProxyHeader):
        parse_proxy_header(BAD[name])


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda x: SIGNATURE + x))
@example(b"PROXY ")
@example(SIGNATURE)
def test_any_octets_are_a_header_or_too_few_or_refused(octets: bytes) -> None:
    try:
        header = parse_proxy_header(octets)
    except BadProxyHeader:
        return
    assert header is None or header.octets <= len(octets)


@pytest.mark.parametrize(
    ("client", "door", "read"),
    [
        (CLIENT, DOOR, (CLIENT, DOOR)),
        (SIX, SIX, (SIX, SIX)),
        (SIX, DOOR, (SIX, Endpoint("::ffff:c000:201", 993))),
        (Endpoint("fe80::1%eth0", 1), SIX, (Endpoint("fe80::1", 1), SIX)),
        (None, DOOR, (None, None)),
        (CLIENT, None, (None, None)),
    ],
)
def test_what_we_write_we_read(
    client: Endpoint | None, door: Endpoint | None, read: tuple[Endpoint | None, Endpoint | None]
) -> None:
    octets = proxy_header(client, door)
    header = parse_proxy_header(octets)
    assert header is not None
    assert header.octets == len(octets)
    assert (header.client, header.door) == read
