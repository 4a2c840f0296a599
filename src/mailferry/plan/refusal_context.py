"""What a refusal means in the light of what happened before and to others (docs/providers.md).

Providers say the same of a wrong password, of too many logins and of a domain that they have shut out.
A password that the source took yesterday and refuses with such words is most likely slowed down; a whole
domain whose good passwords all fail at once has been shut out. One user alone stands as judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailferry.model.causes import ABOUT_THE_PASSWORD, Cause

ACCEPTED_LATELY_SECONDS = 24 * 3600.0
"""For how long an acceptance speaks for the password."""

AT_ONCE_SECONDS = 900.0
"""Refusals within so many seconds happen at once."""

WHOLE_DOMAIN = 5
"""So many accounts refused, each with the password that was good before, are the domain."""

_SAID_OF_ONE = ABOUT_THE_PASSWORD | {Cause.UNKNOWN_USER}
"""What a source says of one account; of a whole domain it means something else."""


@dataclass(frozen=True, slots=True)
class RefusalContext:
    """What is known besides the words.

    `accepted_ago` is for how many seconds the source's yes to this very password is past, None where it
    never took it. `good_refused` counts the domain's accounts, this one included, whose last good
    password was refused within `AT_ONCE_SECONDS`, with no login accepted in between; or where more were
    refused than accepted lately, all of these (store.domain_refusals).
    """

    accepted_ago: float | None = None
    good_refused: int = 0

    @property
    def shut_out(self) -> bool:
        """Whether the whole domain is refused: what its source says of one account judges nobody."""
        return self.good_refused >= WHOLE_DOMAIN


def cause_in_context(cause: Cause, context: RefusalContext) -> Cause:
    """Return what a refusal for `cause` stands for; words that name another cause than the password are believed."""
    if context.shut_out and cause in _SAID_OF_ONE:
        return Cause.SOURCE_REFUSES_DOMAIN
    if cause not in ABOUT_THE_PASSWORD:
        return cause
    lately = context.accepted_ago is not None and context.accepted_ago < ACCEPTED_LATELY_SECONDS
    if cause is Cause.AMBIGUOUS_REFUSAL and lately:
        return Cause.RATE_LIMITED
    return cause
