"""Sorts a server's refusal into one of the login causes, by its wording and its response code.

The rules stand in the order in which they are tried; the first that fits wins (docs/providers.md).
Wordings are judged on decoded text without regard to case. `[ALERT]` only carries a text and is no
reason by itself. A profile's own rules come first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from mailferry.model.causes import CAUSES, Answer, Cause
from mailferry.model.profile import Profile

LONGEST_TEXT = 2000
"""Only this many characters of a refusal are looked at."""

LONGEST_WAIT = 6 * 3600.0
"""A named back-off time is honoured up to here, in seconds."""

RESPONSE_CODE = "response_code"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a refusal stands for.

    `ambiguous` wordings stand for several causes: the combined help is shown, never "wrong
    password", and nothing is concluded from them for good. `rule` names what matched.
    `retry_after` is in seconds, when the server named a time.
    """

    cause: Cause
    ambiguous: bool = False
    rule: str = ""
    retry_after: float | None = None
    judged: bool = True

    @property
    def answer(self) -> Answer:
        """What the client is told: what was never judged is temporary, whatever its wording."""
        return CAUSES[self.cause].answer if self.judged else Answer.TEMPORARY

    @property
    def shown(self) -> Cause:
        """The cause whose sentence is shown: the combined help for an ambiguous refusal."""
        return Cause.AMBIGUOUS_REFUSAL if self.ambiguous else self.cause


@dataclass(frozen=True, slots=True)
class Rule:
    """One wording and what it stands for."""

    rule_id: str
    pattern: re.Pattern[str]
    cause: Cause
    ambiguous: bool = False


def _rule(rule_id: str, cause: Cause, *patterns: str, ambiguous: bool = False) -> Rule:
    return Rule(rule_id, re.compile("|".join(patterns), re.IGNORECASE), cause, ambiguous)


BEFORE_CODES: tuple[Rule, ...] = (
    _rule(
        "tencent.five_causes",
        Cause.AMBIGUOUS_REFUSAL,
        r"Login fail\.? *Account is abnormal",
        ambiguous=True,
    ),
    _rule(
        "client_id_required",
        Cause.CLIENT_ID_REQUIRED,
        r"Unsafe Login|The login is not safe|kefu@188\.com|mail\.163\.com/dashi",
    ),
    _rule("oauth_required", Cause.OAUTH_REQUIRED, r"basic authentication is disabled|BasicAuthBlocked"),
    _rule(
        "app_password_required",
        Cause.APP_PASSWORD_REQUIRED,
        r"authori[sz](ed|ation) code|Application-specific password|app(-| )?password|weixin token",
        r"授权(码|密码)|专用密码|安全密码|独立密码",
    ),
    _rule(
        "mfa_required",
        Cause.MFA_REQUIRED,
        r"WEBALERT|log ?in via (your )?web browser|web login required|two-?factor|2-?step",
        r"second(ary)? verification|二次(登录)?验证|动态密码|异地登录",
    ),
    _rule(
        "protocol_disabled",
        Cause.PROTOCOL_DISABLED,
        r"not enabled for (IMAP|POP)|yet to enable IMAP|does not have IMAP access|pop access not enabled",
        r"(IMAP|POP3?) access is disabled|service is not open|UC_LOGIN_SOURCE_NOT_ALLOWED",
        r"未开启.{0,8}(IMAP|POP)|(IMAP|POP3?).{0,6}(未开通|已关闭|未开启)",
    ),
    _rule(
        "ip_blocked",
        Cause.IP_BLOCKED,
        r"ERR\.LOGIN\.IPDENY|\bIP\b.{0,24}(denied|blocked|black ?list|not allowed)|COUNTRY IS BLACKLISTED",
        r"(IP|地址).{0,8}(限制|黑名单|白名单)|信任登录地",
    ),
    _rule(
        "domain_removed",
        Cause.DOMAIN_REMOVED,
        r"ERR\.LOGIN\.DOMAIN(NOTEXIST|NOTREGISTER|STATUS1|NULL)|domain (not found|disabled)",
        r"域名.{0,6}(不存在|停用|禁用)",
    ),
    _rule(
        "unknown_user",
        Cause.UNKNOWN_USER,
        r"USERNOTEXIST|ILLEGALACCOUNT|USRSTATUS5|no such (user|account)|unknown user(?! name or)",
        r"user not found|用户不存在|(帐|账)号不存在",
    ),
    _rule(
        "too_many_connections",
        Cause.TOO_MANY_CONNECTIONS,
        r"too many (simultaneous|open) connections|maximum number of connections|mail_max_userip_connections",
        r"\[IN-USE\]|locked by another|unable to lock maildrop|already (logged in|in use)|连接数(过多|超限)",
    ),
    _rule(
        "rate_limited",
        Cause.RATE_LIMITED,
        r"throttl|Suggested Backoff Time:\s*\d+|frequency limited|too many (login|fail|request)|too much fail",
        r"rate limit|bandwidth limits|session expired, please login again|Download exceed",
        r"登录(太|过于)频繁|登录频率|次数过多",
    ),
    _rule(
        "expired",
        Cause.EXPIRED,
        r"\[EXPIRED\]|password must be changed|password has expired|ERR\.LOGIN\.USRSTATUS2",
        r"ERR\.LOGIN\.DOMAINEXPED|(account|password|mailbox|domain|service).{0,24}expired|过期|到期|欠费",
    ),
    _rule(
        "tls_required",
        Cause.TLS_ERROR,
        r"\[PRIVACYREQUIRED\]|under a layer|cleartext (logins|authentication) dis",
        r"plaintext authentication disallowed|secure connection is requ|UC_CLIENT_NON_SSL",
        r"(issue|use|need|require)[a-z]*.{0,16}STARTTLS|STARTTLS (first|required)",
    ),
    _rule("not_connected", Cause.PERMISSION, r"authenticated but not connected"),
    _rule(
        "permission",
        Cause.PERMISSION,
        r"\[AUTHORIZATIONFAILED\]|wrong host|\[REFERRAL|UC_OPER_NO_PERMISSION",
    ),
    _rule(
        "account_locked",
        Cause.ACCOUNT_LOCKED,
        r"account is abnormal|(?<!un)(?<!b)locked|suspend(ed)?|(account|user) (is )?disabled|ERR\.LOGIN\.USRSTATUS1",
        r"ERR\.LOGIN\.USERSTATUS|frozen|冻结|锁定|被禁用|帐号异常|账号异常",
    ),
)
"""Wordings tried before the response code is believed."""

CODES: Mapping[str, Cause] = {
    "AUTHENTICATIONFAILED": Cause.BAD_CREDENTIALS,
    "AUTH": Cause.BAD_CREDENTIALS,
    "AUTHORIZATIONFAILED": Cause.PERMISSION,
    "NOPERM": Cause.PERMISSION,
    "SYS/PERM": Cause.PERMISSION,
    "EXPIRED": Cause.EXPIRED,
    "PRIVACYREQUIRED": Cause.TLS_ERROR,
    "CONTACTADMIN": Cause.PROTOCOL_DISABLED,
    "LIMIT": Cause.RATE_LIMITED,
    "LOGIN-DELAY": Cause.RATE_LIMITED,
    "OVERQUOTA": Cause.RATE_LIMITED,
    "THROTTLED": Cause.RATE_LIMITED,
    "IN-USE": Cause.TOO_MANY_CONNECTIONS,
    "UNAVAILABLE": Cause.SERVER_DOWN,
    "SERVERBUG": Cause.SERVER_DOWN,
    "INUSE": Cause.SERVER_DOWN,
    "SYS/TEMP": Cause.SERVER_DOWN,
    "CLIENTBUG": Cause.PROTOCOL_ERROR,
    # not codes of a server: what our own dialogue saw
    "LOGINDISABLED": Cause.OAUTH_REQUIRED,  # inside TLS; before it no login is tried at all
    "BAD": Cause.PROTOCOL_ERROR,
}
"""RFC 3501, 5530, 2449 and 3206 response codes."""

AFTER_CODES: tuple[Rule, ...] = (
    _rule(
        "server_down",
        Cause.SERVER_DOWN,
        r"\[UNAVAILABLE\]|temporar(y|ily)|try again later|SYSTEMBUSY|system is busy|maintenance",
        r"Server Unavailable|Connection closed\. \d+|系统繁忙|服务(器)?(繁忙|暂停)|稍(后|候)再试",
    ),
    # Exchange says the same for a wrong password, IMAP switched off, a second factor and basic
    # authentication switched off; Zimbra, which means the password, has no full stop there.
    _rule(
        "exchange.same_text",
        Cause.BAD_CREDENTIALS,
        r"^(NO |-ERR )?(LOGIN|AUTHENTICATE) failed\.$",
        ambiguous=True,
    ),
    _rule(
        "bad_credentials",
        Cause.BAD_CREDENTIALS,
        r"\[AUTHENTICATIONFAILED\]|invalid (login )?credentials|incorrect (username|password)|login incorrect",
        r"login bad|bad (username|password)|Login error (or )?password error|LOGIN auth error|LOGIN failed",
        r"AUTHENTICATE failed|Authentication failed|invalid login|ERR\.LOGIN\.PASSERR",
        r"unknown user name or bad password|Authentication failure|Unable to log on",
        r"密码错误|(帐|账)号或密码(错误|不正确)|用户名或密码",
    ),
    _rule("client_bug", Cause.PROTOCOL_ERROR, r"^BAD\b"),
)
"""Wordings tried when no response code decided."""

_BACKOFF = re.compile(r"Suggested Backoff Time:\s*(\d{1,9})\s*milliseconds", re.IGNORECASE)
_NAMED_TIME = re.compile(
    r"(?:wait|retry[- ]after|(?:try|retry|come back|connect|log ?in)(?: again)?(?: later)?,? (?:in|after))"
    r":? (?:at least |about )?(\d{1,6}) ?(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h)?\b",
    re.IGNORECASE,
)
_NAMED_TIME_ZH = re.compile(r"(\d{1,6}) ?(秒|分钟|分|小时)(?:之后|以后|后)")
_UNITS = {
    "ms": 0.001,
    "millisecond": 0.001,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
_UNITS |= {"分": 60.0, "分钟": 60.0, "小时": 3600.0}
_LEADING_CODE = re.compile(r"(?:NO |BAD |-ERR )?\[([A-Z][A-Z/-]*)", re.IGNORECASE)
_WRONG_PASSWORD = frozenset({Cause.BAD_CREDENTIALS, Cause.AMBIGUOUS_REFUSAL})
_TLS_STAGES = frozenset({"tls", "starttls"})


def classify(
    profile: Profile, judged: bool, code: str | None, text: str, stage: str, *, personal: bool = True
) -> Verdict:
    """Return what a refusal (`judged`) or a failure to get an answer stands for.

    `code` is the response code without brackets, `text` the decoded wording, `stage` where the
    dialogue stood. `personal` is False for an administrator's login, for which Exchange's
    "authenticated but not connected" means missing rights; for a user's own it means a wrong password.
    """
    text = text[:LONGEST_TEXT]
    if code is None and (leading := _LEADING_CODE.match(text)) is not None:
        code = leading[1]
    name = (code or "").upper().partition(" ")[0]
    subject = (
        f"[{code}] {text}" if code and name != "BAD" and f"[{code.upper()}" not in text.upper() else text
    )
    wait = retry_after(subject)
    rule = _first(_own_rules(profile), subject) or _first(BEFORE_CODES, subject)
    if rule is None and name in CODES:
        rule_cause, rule_id, ambiguous = CODES[name], f"{RESPONSE_CODE}.{name}", False
    else:
        rule = rule or _first(AFTER_CODES, subject) or _first(AFTER_CODES, text)
        if rule is None:
            return _unworded(stage, judged=judged, wait=wait)
        rule_cause, rule_id, ambiguous = rule.cause, rule.rule_id, rule.ambiguous
    if rule_id == "not_connected" and personal:
        rule_cause, ambiguous = Cause.BAD_CREDENTIALS, True
    if not profile.password_login and (
        rule_cause is Cause.OAUTH_REQUIRED or (judged and rule_cause in _WRONG_PASSWORD)
    ):
        # No password is right there: that is final though nobody compared this one, and "bad password"
        # (Exchange's POP3) means the same.
        return Verdict(Cause.OAUTH_REQUIRED, rule=rule_id, retry_after=wait)
    if not judged and rule_cause in _WRONG_PASSWORD:
        rule_cause, ambiguous = Cause.SERVER_DOWN, False  # nobody compared a password
    return Verdict(rule_cause, ambiguous, rule_id, wait, judged)


def retry_after(text: str) -> float | None:
    """Return the seconds that a server asked us to wait, at most `LONGEST_WAIT`."""
    if (found := _BACKOFF.search(text)) is not None:
        return min(int(found[1]) / 1000, LONGEST_WAIT)
    found = _NAMED_TIME.search(text) or _NAMED_TIME_ZH.search(text)
    if found is None:
        return None
    unit = (found[2] or "").lower()
    seconds = _UNITS.get(unit.removesuffix("s") if len(unit) > 2 else unit, 1.0)
    return min(float(found[1]) * seconds, LONGEST_WAIT)


def _unworded(stage: str, *, judged: bool, wait: float | None) -> Verdict:
    if judged:
        return Verdict(Cause.UNKNOWN, rule="unknown", retry_after=wait)
    cause = Cause.TLS_ERROR if stage in _TLS_STAGES else Cause.SERVER_DOWN
    return Verdict(cause, rule="no_answer", retry_after=wait, judged=False)


def _first(rules: tuple[Rule, ...], text: str) -> Rule | None:
    return next((rule for rule in rules if rule.pattern.search(text)), None)


def _own_rules(profile: Profile) -> tuple[Rule, ...]:
    return tuple(
        Rule(rule.rule_id, _compiled(rule.pattern), Cause(rule.cause), rule.ambiguous)
        for rule in profile.error_rules
    )


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
