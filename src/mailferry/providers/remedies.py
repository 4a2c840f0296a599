"""Which steps of a provider's checklist mend a failure: its own menu path beside the general sentence."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.model.causes import Cause
from mailferry.model.profile import CheckStep, Profile
from mailferry.providers.sentences import Words, advice

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


def no_passwords(profile: Profile) -> Words | None:
    """Return why a system cannot be moved by its users' passwords and what is left; None for all that can."""
    if profile.password_login:
        return None
    names, why = profile.names, profile.notes.get("password_login", "mail programs need another way")
    step = next((one for one in profile.checklist if one.step_id == "no_passwords"), None)
    general = advice(Cause.OAUTH_REQUIRED)
    instead = Words(general["en"], general["zh"]) if step is None else Words(step.en, step.zh)
    return Words(
        f"{names['en']} cannot be moved by the users' passwords: {why}. {instead.en}",
        f"无法凭用户密码从 {names['zh']} 搬家。{instead.zh}",
    )
