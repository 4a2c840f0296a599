"""A frontend's side of SASL PLAIN and LOGIN: lines in, prompts and credentials out."""

from __future__ import annotations

from enum import Enum

from mailferry.model.access import Secret
from mailferry.wire.sasl import (
    LOGIN_PASSWORD_PROMPT,
    LOGIN_USER_PROMPT,
    BadSasl,
    PlainResponse,
    decode_base64,
    parse_plain,
)

MECHANISMS = ("PLAIN", "LOGIN")


class Cancelled(Enum):
    """The client gave the exchange up with `*`."""

    BY_CLIENT = "*"


class SaslExchange:
    """One exchange of `mechanism`, one of MECHANISMS.

    `prompt` is the base64 of the challenge to send when more is needed.
    """

    __slots__ = ("_name", "mechanism", "prompt")

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self.prompt = LOGIN_USER_PROMPT if mechanism == "LOGIN" else b""
        self._name: bytes | None = None

    def respond(self, line: bytes, *, initial: bool = False) -> PlainResponse | Cancelled | None:
        """Take a response; returns the fields when all are there, None for another prompt.

        Raises `BadSasl`. In an initial response `=` stands for an empty one (RFC 4959 section 3).
        """
        if initial and line == b"=":
            line = b""
        elif line == b"*":
            return Cancelled.BY_CLIENT
        if self.mechanism == "PLAIN":
            return parse_plain(line)
        octets = decode_base64(line)
        if self._name is None:
            self._name = octets
            self.prompt = LOGIN_PASSWORD_PROMPT
            return None
        if not self._name or not octets:
            raise BadSasl("LOGIN needs a name and a password")
        return PlainResponse(b"", self._name, Secret(octets))
