"""The backend of a target whose passwords are nobody's business here: nothing is ever set."""

from __future__ import annotations

from mailferry.passwords.backend import NewPassword, PushResult


class NoBackend:
    """Keeps nothing; the target must know the users' passwords by itself."""

    name = "none"
    pushes = False
    readable = False

    async def current(self, address: str) -> str | None:  # noqa: ARG002 - the interface's word
        """Return None: what the target holds cannot be known."""
        return None

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:  # noqa: ARG002 - same
        """Set nothing."""
        return PushResult.MISSING
