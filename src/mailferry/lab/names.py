"""Mailbox names of the lab in modified UTF-7 (RFC 3501, 5.1.3), written apart from the product's own."""

from __future__ import annotations

import base64


def encode_name(name: str) -> bytes:
    """Return the wire form of a readable mailbox name."""
    out = bytearray()
    run = ""

    def flush() -> None:
        nonlocal run
        if run:
            packed = base64.b64encode(run.encode("utf-16-be"), b"+,").rstrip(b"=")
            out.extend(b"&" + packed + b"-")
            run = ""

    for character in name:
        if 0x20 <= ord(character) <= 0x7E:
            flush()
            out.extend(b"&-" if character == "&" else character.encode())
        else:
            run += character
    flush()
    return bytes(out)


def decode_name(raw: bytes) -> str:
    """Return the readable form of a wire name; a name that is not modified UTF-7 is shown as Latin-1."""
    out = []
    rest = raw
    try:
        while rest:
            plain, shift, rest = rest.partition(b"&")
            out.append(plain.decode("ascii"))
            if not shift:
                break
            packed, _, rest = rest.partition(b"-")
            if not packed:
                out.append("&")
                continue
            padded = packed + b"=" * (-len(packed) % 4)
            out.append(base64.b64decode(padded, b"+,", validate=True).decode("utf-16-be"))
    except ValueError:
        return raw.decode("latin-1")
    return "".join(out)
