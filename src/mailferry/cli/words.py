"""Words that several commands take, checked before anything is opened."""

from __future__ import annotations

from typing import Annotated

import typer

from mailferry.cli.program import WrongUse
from mailferry.plan.addresses import BadAddress, canonical_address


def an_address(name: str | None) -> str | None:
    """Return the one spelling of an account's address; raises WrongUse with what is wrong with it."""
    if name is None:
        return None
    try:
        return canonical_address(name)
    except BadAddress as error:
        raise WrongUse(f"{name!r} is no account's address: {error}") from None


Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", callback=an_address, help="The account's mail address.")
]
