"""What a client may do before its login: the numbers that both frontends keep to."""

from __future__ import annotations

MAX_LINE_OCTETS = 4096
MAX_BAD_COMMANDS = 5
"""Commands that are answered BAD or -ERR as such; the session ends with the last of them."""
MAX_DENIALS = 5
"""Failed logins of one connection."""
RESIDUAL_LIMIT = 8192
"""Octets kept behind credentials under judgement; beyond them the client is not read."""
MAX_DENIAL_TEXT = 450
"""Octets of a denial's sentence, so that a POP3 reply keeps to 512 (RFC 1939 section 3)."""
TLS_HANDSHAKE = b"\x16\x03"
"""How a TLS record of a handshake begins: a client that was set to TLS on a plaintext port."""
REFUSED_TEXT = "Authentication failed."
"""For credentials refused at the door; the same words as for a wrong password."""
