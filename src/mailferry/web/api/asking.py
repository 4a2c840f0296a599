"""What requests name and ask for: addresses, domains, pages; read in one place for all routes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from mailferry.model.access import MAX_PASSWORD_OCTETS, Secret
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.web.api.problems import ApiFault

LARGEST_PAGE = 1000
LARGEST_ID = 2**63 - 1
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
"""NUL and its like are no part of any name (PostgreSQL would not even take them)."""

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at once.")]
CursorText = Annotated[
    str | None, Query(max_length=2000, description="`next` of the page before, with the same filters.")
]
Words = Annotated[str, StringConstraints(max_length=1000, pattern=_ONE_LINE)]
DomainFilter = Annotated[
    str | None, Query(max_length=255, pattern=_ONE_LINE, description="Only this domain.")
]


class Body(BaseModel):
    """What a request sends; a name that nobody knows is a fault."""

    model_config = ConfigDict(extra="forbid")


class PasswordBody(Body):
    """A password: text is sent on as UTF-8; octets that are none come as base64. One of the two."""

    password: str | None = Field(default=None, min_length=1, max_length=MAX_PASSWORD_OCTETS)
    password_base64: str | None = Field(default=None, min_length=4, max_length=4 * MAX_PASSWORD_OCTETS)

    @field_validator("password")
    @classmethod
    def _fits(cls, text: str | None) -> str | None:
        if text is not None and len(text.encode()) > MAX_PASSWORD_OCTETS:
            raise ValueError(f"a password has 1 to {MAX_PASSWORD_OCTETS} octets")
        return text

    @field_validator("password_base64")
    @classmethod
    def _decodes(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                octets = base64.b64decode(text, validate=True)
            except ValueError:
                raise ValueError("this is no base64") from None
            if not 1 <= len(octets) <= MAX_PASSWORD_OCTETS:
                raise ValueError(f"a password has 1 to {MAX_PASSWORD_OCTETS} octets")
        return text

    @model_validator(mode="after")
    def _one_of_two(self) -> PasswordBody:
        if (self.password is None) is (self.password_base64 is None):
            raise ValueError("send password or password_base64")
        return self

    def secret(self) -> Secret:
        """Return the password's octets."""
        if self.password is not None:
            return Secret(self.password.encode())
        assert self.password_base64 is not None
        return Secret(base64.b64decode(self.password_base64))


def _address(address: Annotated[str, Path(max_length=1000, description="The account's address.")]) -> str:
    try:
        return canonical_address(address)
    except BadAddress as error:
        raise ApiFault(404, f"no account has such an address: {error}") from None


def _domain(name: Annotated[str, Path(max_length=1000, description="The domain.")]) -> str:
    if not name.isprintable():
        raise ApiFault(404, "no domain has such a name")
    return name


Address = Annotated[str, Depends(_address)]
"""For handlers: the account's address in the path, in its one spelling."""

DomainName = Annotated[str, Depends(_domain)]
"""For handlers: the domain in the path."""


def cursor(of: str, key: str | int | None) -> str | None:
    """Return the opaque text for the page of the list `of` that follows `key`; None at the end."""
    if key is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([of, key]).encode()).decode().rstrip("=")


def cursor_behind(of: str, rows: Sequence[Mapping[str, Any]], limit: int) -> str | None:
    """Return the text for the page behind `rows` of the list `of`; None where they do not fill theirs."""
    return cursor(of, rows[-1]["id"]) if len(rows) == limit else None


def text_key(of: str, text: str | None) -> str | None:
    """Return the text that `cursor` was given for that list, None for the first page; raises ApiFault."""
    key = _key(of, text)
    if key is not None and not (isinstance(key, str) and key.isprintable()):
        raise _no_page()
    return key


def number_key(of: str, text: str | None) -> int | None:
    """Return the number that `cursor` was given for that list, None for the first page; raises ApiFault."""
    key = _key(of, text)
    if key is None:
        return None
    if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key <= LARGEST_ID:
        raise _no_page()
    return key


def _key(of: str, text: str | None) -> object:
    if text is None:
        return None
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        kind, key = json.loads(octets)
    except (ValueError, binascii.Error, TypeError, RecursionError):
        raise _no_page() from None
    if kind != of or key is None:
        raise _no_page()
    return key


def _no_page() -> ApiFault:
    return ApiFault(422, "this cursor belongs to no page of this list")
