"""The PROXY protocol's header, versions 1 and 2 (haproxy.org, proxy-protocol.txt, 2020): read and written.

A balancer sends it ahead of everything else and says whom it speaks for. Whether it may is decided by who
believes it; here is only what it says. TCP over IPv4 and IPv6 alone carry addresses that we can use.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

LONGEST_LINE = 107
"""Octets of a version 1 header with its line end (section 2.1)."""
LONGEST_BODY = 4096
"""Octets behind the first 16 of a version 2 header; the protocol allows 65,535, which no balancer fills."""

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_LINE = re.compile(
    rb"PROXY (TCP[46]) ([0-9a-fA-F:.]{2,39}) ([0-9a-fA-F:.]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")


class BadProxyHeader(ValueError):
    """The octets are no PROXY header; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a TCP connection: an address in digits, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What one header says; `client` and `door` are None where the balancer speaks for itself."""

    octets: int
    """How long the header is; what follows is the client's."""
    client: Endpoint | None = None
    door: Endpoint | None = None
    """The address that the client connected to."""


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that `data` begins with, None while more of it is needed.

    Raises BadProxyHeader as soon as no continuation could make one.
    """
    if data.startswith(_SIGNATURE) or (data and _SIGNATURE.startswith(data)):
        return _binary(data)
    if data.startswith(b"PROXY ") or b"PROXY ".startswith(data):
        return _line(data)
    raise BadProxyHeader("no PROXY header")


def _line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE) + 2
    if end == 1:
        if len(data) >= LONGEST_LINE:
            raise BadProxyHeader("a PROXY line that does not end")
        return None
    line = data[:end]
    if _UNKNOWN.fullmatch(line):
        return ProxyHeader(end)
    said = _LINE.fullmatch(line)
    if said is None:
        raise BadProxyHeader("a PROXY line that says nothing known")
    family, client, door, client_port, door_port = (part.decode() for part in said.groups())
    version = int(family[-1])
    return ProxyHeader(end, _end(client, client_port, version), _end(door, door_port, version))


def _end(host: str, port: str, version: int) -> Endpoint:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadProxyHeader("a PROXY line with an address that is none") from None
    if address.version != version or int(port) > 65535:
        raise BadProxyHeader("a PROXY line whose address or port cannot be")
    return Endpoint(str(address), int(port))


def _binary(data: bytes) -> ProxyHeader | None:
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    if command not in {_LOCAL, _PROXY}:
        raise BadProxyHeader("a PROXY header of an unknown version or command")
    if length > LONGEST_BODY:
        raise BadProxyHeader(f"a PROXY header of {length} octets")
    if len(data) < _HEAD.size + length:
        return None
    octets = _HEAD.size + length
    if command == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(octets)
    if family not in {_TCP4, _TCP6}:
        raise BadProxyHeader("a PROXY header for something else than TCP")
    size = 4 if family == _TCP4 else 16
    if length < 2 * size + 4:
        raise BadProxyHeader("a PROXY header that is too short for its addresses")
    body = data[_HEAD.size : octets]
    client_port, door_port = struct.unpack_from("!HH", body, 2 * size)
    return ProxyHeader(
        octets,
        Endpoint(str(ipaddress.ip_address(body[:size])), client_port),
        Endpoint(str(ipaddress.ip_address(body[size : 2 * size])), door_port),
    )


def proxy_header(client: Endpoint | None, door: Endpoint | None) -> bytes:
    """Return a version 2 header that speaks for `client`, or for ourselves where either end is None.

    Ends of two families are both written as IPv6, the IPv4 one mapped (RFC 4291, 2.5.5.2).
    """
    if client is None or door is None:
        return _HEAD.pack(_SIGNATURE, _LOCAL, _UNSPECIFIED, 0)
    ends = [ipaddress.ip_address(one.host.partition("%")[0]) for one in (client, door)]
    four = all(one.version == 4 for one in ends)
    packed = b"".join(
        one.packed if four or one.version == 6 else b"\0" * 10 + b"\xff\xff" + one.packed for one in ends
    )
    body = packed + struct.pack("!HH", client.port, door.port)
    return _HEAD.pack(_SIGNATURE, _PROXY, _TCP4 if four else _TCP6, len(body)) + body
