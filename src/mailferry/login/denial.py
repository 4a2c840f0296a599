"""A denial's sentence as octets of one line, in both protocols."""

from __future__ import annotations

from mailferry.login.limits import MAX_DENIAL_TEXT
from mailferry.wire.server_text import visible


def denial_text(sentence: str) -> bytes:
    """Return `sentence` in UTF-8, in one line without control characters, cut between characters."""
    octets = visible(sentence).encode("utf-8", "replace")
    return octets[:MAX_DENIAL_TEXT].decode("utf-8", "ignore").encode()
