"""What a lab host says when it refuses a login: the sentences of real providers, one row a quirk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailferry.lab.premises import Premises


@dataclass(frozen=True, slots=True)
class Refusal:
    """How logins are refused: status and text over IMAP, the whole line over POP3; b"" lets that protocol be."""

    imap: bytes
    pop3: bytes
    whoever: bool = False
    """Whether the right password is refused as well."""
    before: bytes = b""
    """An untagged line that comes first over IMAP."""
    without_tls: bool = False
    """Whether that is so on connections without TLS alone."""
    after: float = 0.0
    """Seconds until the answer."""
    strangers: bool = False
    """Whether only names that the host does not know are refused so."""


_TENCENT = (
    b"Login fail. Account is abnormal, service is not open, password is incorrect, "
    b"login frequency limited, or system is busy."
)
_TENCENT_CODE = (
    b"Please using authorized code to login. More information at "
    b"http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256"
)
_TENCENT_TOKEN = b"Login fail. Please using weixin token"
_GOOGLE_CODE = (
    b"Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)"
)
_GOOGLE_OFF = (
    b"Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your "
    b"account for IMAP access. (Failure)"
)
_WEB = b"Please log in via your web browser: https://support.example/ (Failure)"
_MAINTENANCE = b"account undergoing maintenance; please try again later"

REFUSALS: Mapping[str, Refusal] = {
    "netease_unknown_user": Refusal(
        b"NO LOGIN ERR.LOGIN.USERNOTEXIST", b"-ERR ERR.LOGIN.USERNOTEXIST", strangers=True
    ),
    "unknown_user": Refusal(
        b"NO [AUTHENTICATIONFAILED] No such user", b"-ERR [AUTH] No such user", strangers=True
    ),
    "unknown_user_gbk": Refusal(
        b"NO LOGIN " + "帐号不存在".encode("gb18030"),
        b"-ERR " + "用户不存在".encode("gb18030"),
        strangers=True,
    ),
    "tencent_five_causes": Refusal(b"NO " + _TENCENT, b"-ERR " + _TENCENT),
    "tencent_authcode": Refusal(b"NO " + _TENCENT_CODE, b"-ERR " + _TENCENT_CODE),
    "tencent_weixin": Refusal(b"NO " + _TENCENT_TOKEN, b"-ERR " + _TENCENT_TOKEN),
    "tencent_gbk": Refusal(
        b"BAD " + "缺少login参数".encode("gb18030"), b"-ERR " + "登录太频繁".encode("gb18030")
    ),
    "netease_refusal": Refusal(b"NO LOGIN Login error or password error", b"-ERR Unable to log on"),
    "netease_ipdeny": Refusal(b"NO LOGIN ERR.LOGIN.IPDENY", b"-ERR ERR.LOGIN.IPDENY", whoever=True),
    "netease_expired": Refusal(b"NO LOGIN ERR.LOGIN.USRSTATUS2", b"-ERR ERR.LOGIN.USRSTATUS2", whoever=True),
    "netease_domain_expired": Refusal(
        b"NO LOGIN ERR.LOGIN.DOMAINEXPED", b"-ERR ERR.LOGIN.DOMAINEXPED", whoever=True
    ),
    "gmail_web": Refusal(
        b"NO [ALERT] " + _WEB,
        b"-ERR [AUTH] " + _WEB,
        before=b"* NO [WEBALERT https://accounts.example/signin] Web login required.",
    ),
    "gmail_apppw": Refusal(b"NO [ALERT] " + _GOOGLE_CODE, b"-ERR [AUTH] " + _GOOGLE_CODE),
    "gmail_imap_off": Refusal(b"NO [ALERT] " + _GOOGLE_OFF, b"", whoever=True),
    "gmail_domain_off": Refusal(
        b"NO [ALERT] IMAP access is disabled for your domain. Please contact your domain administrator (Failure)",
        b"",
        whoever=True,
    ),
    "exchange_same_text": Refusal(
        b"NO LOGIN failed.", b"-ERR Logon failure: unknown user name or bad password."
    ),
    "m365_logindisabled": Refusal(b"NO Basic authentication is disabled.", b"", whoever=True),
    "zimbra_maintenance": Refusal(
        b"NO [ALERT] " + _MAINTENANCE,
        b"-ERR your account is having maintenance peformed. please try again later",
        whoever=True,
    ),
    "zimbra_must_change": Refusal(
        b"NO [ALERT] password must be changed before IMAP login permitted",
        b"-ERR your password has expired",
        whoever=True,
    ),
    "zimbra_no_imap": Refusal(b"NO account does not have IMAP access enabled", b"", whoever=True),
    "zimbra_referral": Refusal(
        b"NO [REFERRAL imap://other.example/] LOGIN failed (wrong host)", b"-ERR LOGIN failed", whoever=True
    ),
    "cyrus_layer": Refusal(
        b"NO Login only available under a layer",
        b"-ERR [AUTH] USER command only available under a layer",
        whoever=True,
        without_tls=True,
    ),
    "cyrus_slow_refusal": Refusal(
        b"NO Login failed: authentication failure", b"-ERR [AUTH] Invalid login", after=3.0
    ),
    "post_cutover_block": Refusal(b"NO LOGIN failed.", b"-ERR [AUTH] Authentication failed.", whoever=True),
}
"""The first row whose quirk is on gives the words."""

_USUAL = Refusal(b"NO [AUTHENTICATIONFAILED] Authentication failed.", b"-ERR [AUTH] Authentication failed.")

_CROWDS: Mapping[str, tuple[int, bytes]] = {
    "dovecot_userip": (
        10,
        b"[UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)",
    ),
    "dovecot_limit": (
        10,
        b"[LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)",
    ),
    "gmail_connections": (15, b"[ALERT] Too many simultaneous connections. (Failure)"),
}
"""Quirk to the sessions that an account may have, and what one more is told."""


def refusal(premises: Premises, protocol: str, name: bytes, *, secure: bool) -> Refusal:
    """Return how a login over `protocol` is refused now; `name` is who it is that wants to log in."""
    known = premises.find(name) is not None
    rows = _that_hold(premises, protocol, secure=secure)
    return next((row for row in rows if not (row.strangers and known)), _USUAL)


def nobody_enters(premises: Premises, protocol: str, *, secure: bool) -> bool:
    """Say whether the right password is refused as well."""
    return any(row.whoever for row in _that_hold(premises, protocol, secure=secure))


def too_many(premises: Premises, sessions: int) -> str | None:
    """Return what a login is told that comes on top of an account's open `sessions`; None lets it in."""
    for quirk, (usual, words) in _CROWDS.items():
        limit = usual if premises.connection_limit is None else premises.connection_limit
        if premises.has(quirk) and sessions >= limit:
            return (words % limit if b"%d" in words else words).decode()
    return None


def _that_hold(premises: Premises, protocol: str, *, secure: bool) -> list[Refusal]:
    return [
        row
        for quirk, row in REFUSALS.items()
        if premises.has(quirk) and getattr(row, protocol) and not (row.without_tls and secure)
    ]
