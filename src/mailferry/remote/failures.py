"""From a server's words to one of the two failures, by the provider's rules (promise A3)."""

from __future__ import annotations

from mailferry.login.unspoken import unspoken
from mailferry.model.access import Credentials
from mailferry.model.causes import Answer, Cause, Refused, RemoteFailure, Unavailable
from mailferry.model.profile import Profile
from mailferry.providers.refused_messages import refused_message
from mailferry.providers.taxonomy import classify
from mailferry.wire.server_text import decode_text, visible

_PASSING = frozenset({Cause.RATE_LIMITED, Cause.TOO_MANY_CONNECTIONS, Cause.SERVER_DOWN})
"""Causes that pass by themselves: the server judged nothing, it only would not do it now."""

_WRITES = frozenset({"append", "store"})


def login_failure(
    profile: Profile,
    *,
    judged: bool,
    code: str | None,
    text: bytes,
    stage: str,
    personal: bool = True,
    sent: Credentials | None = None,
) -> RemoteFailure:
    """Return what a failed login raises: Refused only when the server judged what it was sent.

    `personal` is False for a login with a master's or an administrator's credentials. The password of
    what was `sent` does not stand in the failure's text.
    """
    words = visible(decode_text(text))
    verdict = classify(profile, judged, code, words, stage, personal=personal)
    kind = Refused if verdict.answer is Answer.REFUSED else Unavailable
    told = words if sent is None else unspoken(words, sent)
    return kind(verdict.shown, told, retry_after=verdict.retry_after)


def command_failure(profile: Profile, *, code: str | None, text: bytes, stage: str) -> RemoteFailure:
    """Return what a command raises that was answered NO, BAD or -ERR after login."""
    words = visible(decode_text(text))
    verdict = classify(profile, True, code, words, stage)
    passes = verdict.cause in _PASSING
    if passes and stage in _WRITES and refused_message(code, words).of_this_message:
        passes = False  # Dovecot's NO [LIMIT] to a message over quota_max_mail_size will be the same for ever
    kind = Unavailable if passes else Refused
    return kind(verdict.cause, words, retry_after=verdict.retry_after)


def lost_session(profile: Profile, *, farewell: bytes | None, text: str) -> Unavailable:
    """Return what ends a session that broke: sorted by the server's last words if it said any."""
    if farewell is None:
        return Unavailable(Cause.SERVER_DOWN, text)
    words = visible(decode_text(farewell))
    verdict = classify(profile, False, None, words, "session")
    return Unavailable(verdict.cause, words, retry_after=verdict.retry_after)
