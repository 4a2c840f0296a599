"""A profile's checklist held against what a test login saw: each step is well, wrong, or for people to look at.

Only what was really seen counts: a switch that one account's login proves is proved for that account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.causes import Cause

OLD_DAYS = 45.0
"""Mail older than this is in no view of the last 30 days."""


class Seen(StrEnum):
    """What a test login says of a step."""

    WELL = "seen: well"
    WRONG = "seen: wrong"
    YOURS = "only you can see it"


@dataclass(frozen=True, slots=True)
class Observed:
    """What the test saw. Nothing was seen where no account was given."""

    accepted: int = 0
    """Protocols that let the account in."""
    causes: frozenset[Cause] = frozenset()
    """Why the others did not."""
    hidden: int = 0
    """Messages in INBOX that one protocol shows and the other does not."""
    oldest_days: float | None = None
    """Age of the oldest message that was listed."""
    whole: int = 0
    """Messages that were read and came with what they promise."""
    bodyless: int = 0
    """Messages that came without their bodies."""
    sizes_exact: bool | None = None
    """Whether the listed sizes are those of the messages."""


Rule = Callable[[Observed], Seen]

_SWITCHED_OFF = frozenset({Cause.PROTOCOL_DISABLED, Cause.PERMISSION})
_OTHER_PASSWORD = frozenset({Cause.APP_PASSWORD_REQUIRED, Cause.MFA_REQUIRED, Cause.OAUTH_REQUIRED})


def _login(wrong: frozenset[Cause]) -> Rule:
    """Return the rule for what a login proves, or one of these causes disproves."""

    def rule(seen: Observed) -> Seen:
        if seen.causes & wrong:
            return Seen.WRONG
        return Seen.WELL if seen.accepted and not seen.causes else Seen.YOURS

    return rule


def _all_mail(seen: Observed) -> Seen:
    if seen.hidden:
        return Seen.WRONG
    return Seen.WELL if seen.oldest_days is not None and seen.oldest_days > OLD_DAYS else Seen.YOURS


def _nothing_hidden(seen: Observed) -> Seen:
    return Seen.WRONG if seen.hidden else Seen.YOURS


def _bodies(seen: Observed) -> Seen:
    if seen.bodyless:
        return Seen.WRONG
    return Seen.WELL if seen.whole else Seen.YOURS


def _as_outlook(seen: Observed) -> Seen:
    both = {_all_mail(seen), _bodies(seen)}
    if Seen.WRONG in both:
        return Seen.WRONG
    return Seen.WELL if both == {Seen.WELL} else Seen.YOURS


def _sizes(seen: Observed) -> Seen:
    if seen.sizes_exact is None:
        return Seen.YOURS
    return Seen.WELL if seen.sizes_exact else Seen.WRONG


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("imap_on", "services", "per_mailbox", "third_party", "per_account", "service_scope", "login_type"),
        _login(_SWITCHED_OFF),
    ),
    **dict.fromkeys(
        ("code", "client_password", "app_password", "secure_login", "second_factor", "no_passwords"),
        _login(_OTHER_PASSWORD),
    ),
    **dict.fromkeys(("trusted_place", "login_place"), _login(frozenset({Cause.IP_BLOCKED}))),
    "lock": _login(frozenset({Cause.ACCOUNT_LOCKED})),
    "must_change": _login(frozenset({Cause.EXPIRED})),
    "all_mail": _all_mail,
    **dict.fromkeys(("no_folder_limit", "archiving", "labels_shown", "folder_lock"), _nothing_hidden),
    "empty_bodies": _bodies,
    "outlook": _as_outlook,
    "exact_sizes": _sizes,
}


def judged(step_id: str, observed: Observed) -> Seen:
    """Return what was seen of a step; a step that nothing here knows is for people."""
    rule = _RULES.get(step_id)
    return Seen.YOURS if rule is None else rule(observed)
