"""Payloads of SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login) in strict base64.

Strict means canonical: the alphabet of RFC 4648 section 4, right padding, nothing in between. Names
stay octets here; whoever takes a login decodes them.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from mailferry.model.access import Secret

LOGIN_USER_PROMPT = b"VXNlcm5hbWU6"
"""`Username:` in base64, the first challenge of LOGIN."""
LOGIN_PASSWORD_PROMPT = b"UGFzc3dvcmQ6"
"""`Password:` in base64, the second challenge of LOGIN."""


class BadSasl(ValueError):
    """A payload that is not what its mechanism allows; the text holds nothing of the payload."""


@dataclass(frozen=True, slots=True)
class PlainResponse:
    """What a PLAIN response holds (RFC 4616 section 2)."""

    authzid: bytes
    authcid: bytes
    password: Secret


def decode_base64(payload: bytes) -> bytes:
    """Return the octets of canonical base64; raises `BadSasl`."""
    try:
        octets = binascii.a2b_base64(payload, strict_mode=True)
    except binascii.Error:
        raise BadSasl("not base64") from None
    if encode_base64(octets) != payload:
        raise BadSasl("not canonical base64")
    return octets


def encode_base64(octets: bytes) -> bytes:
    """Return canonical base64 in one line."""
    return binascii.b2a_base64(octets, newline=False)


def parse_plain(payload: bytes) -> PlainResponse:
    """Parse the base64 of `[authzid] NUL authcid NUL password`; raises `BadSasl`."""
    fields = decode_base64(payload).split(b"\0")
    if len(fields) != 3:
        raise BadSasl("PLAIN has three fields")
    authzid, authcid, password = fields
    if not authcid or not password:
        raise BadSasl("PLAIN needs a name and a password")
    return PlainResponse(authzid, authcid, Secret(password))


def encode_plain(authzid: bytes, authcid: bytes, password: Secret) -> bytes:
    """Return the base64 of a PLAIN response; raises `BadSasl` on NUL in a field or an empty name."""
    fields = (authzid, authcid, password.reveal())
    joined = b"\0".join(fields)
    if joined.count(b"\0") != len(fields) - 1:
        raise BadSasl("NUL in a field of PLAIN")
    if not authcid or not password:
        raise BadSasl("PLAIN needs a name and a password")
    return encode_base64(joined)
