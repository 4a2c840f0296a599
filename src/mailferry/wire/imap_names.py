"""Mailbox names in modified UTF-7 (RFC 3501 5.1.3).

The raw wire name is a mailbox's key everywhere. `decode_strict` is for translating a name to another server
and refuses what does not come back.
"""

from __future__ import annotations

import binascii
import re

_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")
_DIRECT = re.compile(r"[\x20-\x7e]+")


class BadMailboxName(ValueError):
    """A wire name that is not well-formed modified UTF-7."""


def encode_mailbox(name: str) -> bytes:
    """Return the wire form; raises `BadMailboxName` on lone surrogates and NUL, CR or LF."""
    if any(char in name for char in "\0\r\n"):
        raise BadMailboxName("a control character in a mailbox name")
    out: list[str] = []
    position = 0
    while position < len(name):
        direct = _DIRECT.match(name, position)
        if direct:
            out.append(direct.group().replace("&", "&-"))
            position = direct.end()
            continue
        end = position
        while end < len(name) and not " " <= name[end] <= "~":
            end += 1
        out.append(_shift(name[position:end]))
        position = end
    return "".join(out).encode("ascii")


def decode_strict(raw: bytes) -> str:
    """Return the name of a well-formed wire name; raises `BadMailboxName`.

    Well-formed means that `encode_mailbox` gives exactly `raw` again, so two names never become one.
    """
    try:
        text = raw.decode("ascii")
        name = _SHIFTED.sub(lambda found: _unshift(found.group(1)), text)
        again = encode_mailbox(name)
    except (ValueError, UnicodeError):
        raise BadMailboxName("not modified UTF-7") from None
    if again != raw:
        raise BadMailboxName("not canonical modified UTF-7")
    return name


def _shift(text: str) -> str:
    try:
        octets = text.encode("utf-16-be")
    except UnicodeEncodeError:
        raise BadMailboxName("a lone surrogate in a mailbox name") from None
    digits = binascii.b2a_base64(octets, newline=False).decode("ascii")
    return "&" + digits.rstrip("=").replace("/", ",") + "-"


def _unshift(digits: str) -> str:
    if not digits:
        return "&"
    padded = digits.replace(",", "/") + "=" * (-len(digits) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be")
