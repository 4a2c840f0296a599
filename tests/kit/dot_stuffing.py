"""How a POP3 server sends a message (RFC 1939 3), written down line by line and at once."""

from __future__ import annotations

END = b".\r\n"


def stuffed(body: bytes) -> bytes:
    """Return a message as it is sent: dots at line starts doubled, and `END` on a line of its own."""
    lines = body.split(b"\n")
    wire = b"\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    return wire + (END if body.endswith(b"\r\n") or not body else b"\r\n" + END)
