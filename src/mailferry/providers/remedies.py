"""Which steps of a provider's checklist mend a failure: its own menu path beside the general sentence."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.model.causes import Cause
from mailferry.model.profile import CheckStep, Profile

_CODES = frozenset({"code", "client_password", "app_password", "secure_login"})
_SWITCHES = frozenset({"imap_on", "service_scope", "third_party", "per_account", "per_mailbox", "services"})
_ADDRESSES = frozenset({"login_place", "trusted_place"})
_SECOND_FACTOR = frozenset({"second_factor", "secure_login", "app_password"})

REMEDIES: Mapping[Cause, frozenset[str]] = {
    Cause.BAD_CREDENTIALS: _CODES,
    Cause.APP_PASSWORD_REQUIRED: _CODES,
    Cause.MFA_REQUIRED: _SECOND_FACTOR,
    Cause.OAUTH_REQUIRED: frozenset({"no_passwords", "login_type", "app_password"}),
    Cause.PROTOCOL_DISABLED: _SWITCHES | {"code"},
    Cause.ACCOUNT_LOCKED: frozenset({"lock"}),
    Cause.EXPIRED: frozenset({"must_change"}),
    Cause.DOMAIN_REMOVED: frozenset({"agree_after_dns", "dns_waits"}),
    Cause.RATE_LIMITED: frozenset({"throttling", "trusted_place"}),
    Cause.IP_BLOCKED: _ADDRESSES,
    Cause.TLS_ERROR: frozenset({"login_type"}),
    Cause.PERMISSION: frozenset({"per_mailbox", "per_account"}),
    Cause.AMBIGUOUS_REFUSAL: _CODES | _SWITCHES | _ADDRESSES,
    Cause.INCOMPLETE: frozenset(
        {"all_mail", "no_folder_limit", "labels_shown", "folder_lock", "archiving", "empty_bodies"}
    ),
    Cause.BODIES_REFUSED: frozenset({"empty_bodies", "folder_lock", "throttling"}),
    Cause.SOURCE_REFUSES_DOMAIN: _SWITCHES | _ADDRESSES | {"agree_after_dns"},
}
"""Cause to the ids of steps, in whatever profile they stand; causes that no setting mends are left out."""


def remedies(cause: Cause, profile: Profile) -> tuple[CheckStep, ...]:
    """Return the steps of `profile` that mend `cause`, in the order of its checklist."""
    ids = REMEDIES.get(cause, frozenset())
    return tuple(step for step in profile.checklist if step.step_id in ids)
