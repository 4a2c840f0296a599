"""When a source counts as gone, so that its accounts are served by the target before their copy is done.

Gone is who was not reached for the whole time, not who says no: a judged refusal, a limit and a broken
certificate are answers. A source that answered in between begins to count anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.plan.retry import SHOWN_AS_FAILED_AFTER

GONE_CAUSES = frozenset({Cause.SERVER_DOWN})
"""What a source leaves behind that cannot be asked."""

DIALLING_SECONDS = 60.0
"""A user's session at the source that is older than this has been opened; a younger one may be a mere try."""


@dataclass(frozen=True, slots=True)
class Absence:
    """What is known of one account and its source; times on the database's clock, None for never."""

    phase: Phase
    cause: Cause | None
    contacts: Sequence[float | None]
    """When a pass went well, when the source last took the password, when the account began to move."""
    failed_since: float | None = None
    """Since when the account has counted as failed by `cause`."""
    sessions_opened: Sequence[float] = ()
    """When the user's sessions at the source were opened that are there now."""


def gone_for_good(absence: Absence, *, now: float, after: float | None, itself: bool = True) -> bool:
    """Whether the source has been gone for `after` seconds, None for "never say so".

    `itself`: it was this account that could not be copied all the time; else another one of the same
    source was, and this one only has to have had no contact either.
    """
    contact = max((at for at in absence.contacts if at is not None), default=None)
    if after is None or contact is None or now - contact < after:
        return False
    if any(now - opened >= DIALLING_SECONDS for opened in absence.sessions_opened):
        return False
    if itself:
        return (
            absence.phase is Phase.BLOCKED
            and absence.cause in GONE_CAUSES
            and _failed_long(absence, now, after)
        )
    return absence.phase in {Phase.PRECOPY, Phase.BLOCKED} and absence.cause in {None, *GONE_CAUSES}


def _failed_long(absence: Absence, now: float, after: float) -> bool:
    """Whether the failure is as old as the absence: passes may be hours apart, and other failures before it."""
    since = absence.failed_since
    return since is not None and now - since >= after - SHOWN_AS_FAILED_AFTER
