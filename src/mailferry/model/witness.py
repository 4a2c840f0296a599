"""The proof that a password was right, which alone permits to set it at the target.

Only `remote/open` makes one (a test walks the code for other makers): after a tagged OK to our own
tag (POP3: `+OK` to our PASS or AUTH and to the STAT behind it), from a session proved usable.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailferry.model.access import Server


@dataclass(frozen=True, slots=True)
class Witness:
    """A login that succeeded at `server`."""

    server: Server
    login: str
    confidential: bool
    """The link was verified TLS or loopback."""
    proved_by: str
    """The command whose success showed a usable session, such as `NAMESPACE` or `STAT`."""
