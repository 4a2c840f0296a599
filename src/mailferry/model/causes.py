"""Why something did not work, sorted by what must happen next.

The first eighteen are the login failures of a source (docs/providers.md lists the texts behind
each); the rest arise in our own work on an account. *Refused* and *unavailable* are different
values everywhere: `Answer` says which of the two a client is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Actor(StrEnum):
    """Who must act so that the account goes on."""

    NOBODY = "nobody"
    USER = "user"
    ADMINISTRATOR = "administrator"
    PROVIDER = "provider"


class Answer(StrEnum):
    """What a client is told."""

    REFUSED = "refused"  # judged: NO [AUTHENTICATIONFAILED], -ERR [AUTH]
    TEMPORARY = "temporary"  # could not ask: NO [UNAVAILABLE], -ERR [SYS/TEMP]


class Cause(StrEnum):
    """The reason of a failure, stored and shown under this name."""

    BAD_CREDENTIALS = "bad_credentials"
    APP_PASSWORD_REQUIRED = "app_password_required"  # noqa: S105 - a cause, not a password
    MFA_REQUIRED = "mfa_required"
    OAUTH_REQUIRED = "oauth_required"
    PROTOCOL_DISABLED = "protocol_disabled"
    CLIENT_ID_REQUIRED = "client_id_required"
    ACCOUNT_LOCKED = "account_locked"
    EXPIRED = "expired"
    UNKNOWN_USER = "unknown_user"
    DOMAIN_REMOVED = "domain_removed"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    IP_BLOCKED = "ip_blocked"
    SERVER_DOWN = "server_down"
    TLS_ERROR = "tls_error"
    PERMISSION = "permission"
    PROTOCOL_ERROR = "protocol_error"
    UNKNOWN = "unknown"
    AMBIGUOUS_REFUSAL = "ambiguous_refusal"
    # our own work
    TARGET_DOWN = "target_down"
    TARGET_REFUSED = "target_refused"
    TARGET_PASSWORD_POLICY = "target_password_policy"  # noqa: S105 - a cause, not a password
    TARGET_OVER_QUOTA = "target_over_quota"
    UIDVALIDITY_EQUAL = "uidvalidity_equal"
    UIDL_UNPAIRED = "uidl_unpaired"
    FREEZE_TOO_LONG = "freeze_too_long"
    DELETIONS_HELD = "deletions_held"
    INCOMPLETE = "incomplete"
    BODIES_REFUSED = "bodies_refused"
    TARGET_REFUSES_MAIL = "target_refuses_mail"
    SOURCE_REFUSES_DOMAIN = "source_refuses_domain"
    SOURCE_TAKES_ANY_PASSWORD = "source_takes_any_password"  # noqa: S105 - a cause, not a password
    WINDOW_OVER = "window_over"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class CauseFacts:
    """What follows from a cause: who must act, what a client is told, whether we retry by ourselves."""

    actor: Actor
    answer: Answer
    retries: bool


_NOBODY, _USER, _ADMIN, _PROVIDER = Actor.NOBODY, Actor.USER, Actor.ADMINISTRATOR, Actor.PROVIDER
_REFUSED, _TEMPORARY = Answer.REFUSED, Answer.TEMPORARY

CAUSES: Mapping[Cause, CauseFacts] = {
    Cause.BAD_CREDENTIALS: CauseFacts(_USER, _REFUSED, retries=False),
    Cause.APP_PASSWORD_REQUIRED: CauseFacts(_USER, _REFUSED, retries=False),
    Cause.MFA_REQUIRED: CauseFacts(_USER, _REFUSED, retries=False),
    Cause.OAUTH_REQUIRED: CauseFacts(_ADMIN, _REFUSED, retries=False),
    Cause.PROTOCOL_DISABLED: CauseFacts(_ADMIN, _REFUSED, retries=False),
    Cause.CLIENT_ID_REQUIRED: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.ACCOUNT_LOCKED: CauseFacts(_USER, _REFUSED, retries=True),
    Cause.EXPIRED: CauseFacts(_ADMIN, _REFUSED, retries=False),
    Cause.UNKNOWN_USER: CauseFacts(_ADMIN, _REFUSED, retries=False),
    Cause.DOMAIN_REMOVED: CauseFacts(_ADMIN, _REFUSED, retries=False),
    Cause.RATE_LIMITED: CauseFacts(_NOBODY, _TEMPORARY, retries=True),
    Cause.TOO_MANY_CONNECTIONS: CauseFacts(_NOBODY, _TEMPORARY, retries=True),
    Cause.IP_BLOCKED: CauseFacts(_ADMIN, _REFUSED, retries=True),
    Cause.SERVER_DOWN: CauseFacts(_NOBODY, _TEMPORARY, retries=True),
    Cause.TLS_ERROR: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.PERMISSION: CauseFacts(_ADMIN, _REFUSED, retries=False),
    Cause.PROTOCOL_ERROR: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.UNKNOWN: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.AMBIGUOUS_REFUSAL: CauseFacts(_USER, _REFUSED, retries=False),
    Cause.TARGET_DOWN: CauseFacts(_NOBODY, _TEMPORARY, retries=True),
    Cause.TARGET_REFUSED: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.TARGET_PASSWORD_POLICY: CauseFacts(_USER, _TEMPORARY, retries=False),
    Cause.TARGET_OVER_QUOTA: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.UIDVALIDITY_EQUAL: CauseFacts(_ADMIN, _TEMPORARY, retries=False),
    Cause.UIDL_UNPAIRED: CauseFacts(_ADMIN, _TEMPORARY, retries=False),
    Cause.FREEZE_TOO_LONG: CauseFacts(_ADMIN, _TEMPORARY, retries=False),
    Cause.DELETIONS_HELD: CauseFacts(_ADMIN, _TEMPORARY, retries=False),
    Cause.INCOMPLETE: CauseFacts(_PROVIDER, _TEMPORARY, retries=True),
    Cause.BODIES_REFUSED: CauseFacts(_PROVIDER, _TEMPORARY, retries=True),
    Cause.TARGET_REFUSES_MAIL: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.SOURCE_REFUSES_DOMAIN: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
    Cause.SOURCE_TAKES_ANY_PASSWORD: CauseFacts(_ADMIN, _TEMPORARY, retries=False),
    Cause.WINDOW_OVER: CauseFacts(_ADMIN, _TEMPORARY, retries=False),
    Cause.INTERNAL: CauseFacts(_ADMIN, _TEMPORARY, retries=True),
}

ABOUT_THE_PASSWORD = frozenset({Cause.BAD_CREDENTIALS, Cause.AMBIGUOUS_REFUSAL})
"""What a source says of a password, or of much else in the same words."""


class RemoteFailure(Exception):
    """Something that another server did or did not do; always one of the two subclasses.

    `text` is the server's own wording, decoded, for the administrator only. `retry_after` is in
    seconds, when the server named a time.
    """

    def __init__(self, cause: Cause, text: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(f"{cause.value}: {text}" if text else cause.value)
        self.cause = cause
        self.text = text
        self.retry_after = retry_after


class Refused(RemoteFailure):
    """The server judged: it heard the request and said no."""


class Unavailable(RemoteFailure):
    """The server could not be asked, or did not answer so that it could be understood."""
