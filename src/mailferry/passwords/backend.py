"""What every place is that keeps the target's passwords: read one, and set it if nobody else did."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mailferry.model.access import Secret


class PushResult(StrEnum):
    """What became of setting a password."""

    DONE = "done"
    CREATED = "created"
    """The account was missing and was made."""
    CONFLICT = "conflict"
    """Something else stands there than was expected; nothing was written."""
    MISSING = "missing"
    """There is no such account, and none is made here."""


@dataclass(frozen=True, slots=True)
class NewPassword:
    """What is to be set: most places take the hash, some make their own from the octets."""

    stored: str = field(repr=False)
    """`{SCHEME}` and the hash, for places that store what they are given."""
    secret: Secret


class PasswordBackend(Protocol):
    """One kind of place. Addresses are canonical; hashes carry their `{SCHEME}` prefix.

    Both methods raise `model.causes.Unavailable` (TARGET_DOWN) when the place cannot be asked; its
    text never holds a hash.
    """

    @property
    def name(self) -> str:
        """The backend's name in the configuration and in metrics."""
        ...

    @property
    def pushes(self) -> bool:
        """Whether passwords can be set here at all."""
        ...

    @property
    def readable(self) -> bool:
        """Whether what stands there can be read and compared.

        Where it cannot, whose password stands there is found out by logins at the target, and `push`
        compares nothing.
        """
        ...

    async def current(self, address: str) -> str | None:
        """Return the stored hash, empty when the account has none, None when there is no account."""
        ...

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:
        """Set the password if `expected` still stands there (None: if there is no account yet).

        Raises `schemes.UnfitPassword` when the place refuses this password by its own rules.
        """
        ...
