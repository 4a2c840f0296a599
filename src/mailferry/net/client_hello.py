"""The first message of a TLS client, read before the handshake begins (RFC 8446 4.1.2, 6066 3, 7301 3.1).

Python's `ssl` tells a server neither which application protocols a client offered nor lets it refuse a client
that offers none of ours. What is read here decides that, so it is read strictly: nothing passes that OpenSSL
could understand in another way, nor anything before the message, which an attacker between could put there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MOST_OCTETS = 16 * 1024
"""Longer than this, headers of records included, is no client's first message: with post-quantum keys they have 2 KiB."""
MOST_RECORDS = 16
"""Nobody cuts it into more, and each look goes through all of them."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_SERVER_NAME, _PROTOCOLS = 0, 16
_HOST_NAME = 0
_BEFORE_SESSION_ID = 34
"""Version and random octets."""


class NotAHello(Exception):
    """What a client sent first is no such message, or one that nobody sends; the text says why."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client asks for."""

    name: bytes
    """The host it wants to talk to, empty where it does not say."""
    protocols: tuple[bytes, ...]
    """The application protocols that it offers, empty where it offers none."""


def read_hello(octets: memoryview) -> ClientHello | int:
    """Return what `octets` begin with, or how many must be there before it is worth to look again.

    Raises NotAHello as soon as it cannot become one.
    """
    message = bytearray()
    at = 0
    for _ in range(MOST_RECORDS):
        if at < len(octets) and octets[at] != _HANDSHAKE:
            raise NotAHello("what came first is no TLS handshake")
        missing = _missing(message)
        if len(octets) < at + _RECORD_HEADER:
            return _needed(at + _RECORD_HEADER + missing)
        begin = at + _RECORD_HEADER
        length = octets[at + 3] << 8 | octets[at + 4]
        if not length:
            raise NotAHello("a record of the first message is empty")
        if len(octets) < begin + length:
            return _needed(begin + max(length, missing))
        message += octets[begin : begin + length]
        at = begin + length
        missing = _missing(message)
        if missing < 0:
            raise NotAHello("something follows the first message at once")
        if not missing:
            return _hello(bytes(message[_MESSAGE_HEADER:]))
    raise NotAHello("the first message comes in too many pieces")


def _missing(message: bytearray) -> int:
    """Return how many octets the message lacks, at least; below 0 it has too many."""
    if message and message[0] != _CLIENT_HELLO:
        raise NotAHello("the first message is not a client's hello")
    if len(message) < _MESSAGE_HEADER:
        return 1
    return _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER]) - len(message)


def _needed(octets: int) -> int:
    if octets > MOST_OCTETS:
        raise NotAHello("the first message is too long")
    return octets


def _hello(body: bytes) -> ClientHello:
    try:
        return _read(body)
    except (IndexError, struct.error) as error:
        raise NotAHello("the first message is malformed") from error


def _read(body: bytes) -> ClientHello:
    """Walk through the message; what is cut short is an IndexError or struct.error."""
    name: bytes = b""
    protocols: tuple[bytes, ...] = ()
    at = _BEFORE_SESSION_ID
    at += 1 + body[at]
    at += 2 + _number(body, at)  # ciphers
    at += 1 + body[at]  # compression
    if at == len(body):
        return ClientHello(name, protocols)
    _whole(body, at)
    at += 2
    seen = set()
    while at < len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        at += 4 + length
        if at > len(body) or kind in seen:
            raise IndexError(kind)
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _host_name(body[at - length : at])
        elif kind == _PROTOCOLS:
            protocols = _protocol_names(body[at - length : at])
    return ClientHello(name, protocols)


def _number(octets: bytes, at: int) -> int:
    return octets[at] << 8 | octets[at + 1]


def _whole(octets: bytes, at: int) -> None:
    """Raise IndexError unless a list that fills the rest begins here."""
    if at + 2 + _number(octets, at) != len(octets):
        raise IndexError(at)


def _host_name(extension: bytes) -> bytes:
    """Return the one name that there may be."""
    _whole(extension, 0)
    if extension[2] != _HOST_NAME:
        raise IndexError(extension[2])
    _whole(extension, 3)
    return extension[5:]


def _protocol_names(extension: bytes) -> tuple[bytes, ...]:
    _whole(extension, 0)
    names, at = [], 2
    while at < len(extension):
        end = at + 1 + extension[at]
        if end > len(extension) or end == at + 1:
            raise IndexError(end)
        names.append(extension[at + 1 : end])
        at = end
    if not names:
        raise IndexError(at)
    return tuple(names)
