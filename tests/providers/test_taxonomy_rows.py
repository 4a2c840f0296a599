"""Every row of the taxonomy by its literals: each alternative of each rule, however a server writes it."""

from __future__ import annotations

import re
import time

import pytest

from mailferry.model.causes import Cause
from mailferry.providers.loader import load_profiles
from mailferry.providers.taxonomy import AFTER_CODES, BEFORE_CODES, CODES, Rule, classify
from mailferry.wire.server_text import decode_text

PROFILES = load_profiles()
GENERIC = PROFILES["generic"]
RULES = {rule.rule_id: rule for rule in (*BEFORE_CODES, *AFTER_CODES)}

FIVE_CAUSES = (
    "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, "
    "or system is busy."
)

LITERALS: dict[str, tuple[str, ...]] = {
    "tencent.five_causes": (
        FIVE_CAUSES,
        f"535 {FIVE_CAUSES} More information at https://help.mail.qq.com/detail/108/1023",
    ),
    "client_id_required": (
        "SELECT Unsafe Login. Please contact kefu@188.com for help",
        "The login is not safe! Please update your mail client",
        "Please contact kefu@188.com",
        "see http://mail.163.com/dashi",
    ),
    "oauth_required": ("Basic authentication is disabled.", "BasicAuthBlocked"),
    "app_password_required": (
        "Please using authorized code to login.",
        "Please enter your authorization code to login.",
        "Please enter your authorisation code",
        "Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
        "use an app password", "use an app-password", "use an apppassword",
        "Login fail. Please using weixin token",
        "请使用授权码登录", "请使用授权密码", "请使用客户端专用密码", "请使用三方客户端安全密码", "请使用独立密码",
    ),
    "mfa_required": (
        "[WEBALERT https://x] sign in",
        "Please log in via your web browser: x (Failure)", "please login via web browser",
        "Web login required.", "two-factor needed", "twofactor", "2-step", "2step",
        "second verification", "secondary verification",
        "需要二次登录验证", "需要二次验证", "请输入微信动态密码", "异地登录",
    ),
    "protocol_disabled": (
        "Your account is not enabled for IMAP use.", "not enabled for POP",
        "You are yet to enable IMAP for your account",
        "account does not have IMAP access enabled", "pop access not enabled for account",
        "IMAP access is disabled for your domain.", "POP access is disabled", "POP3 access is disabled",
        "service is not open", "UC_LOGIN_SOURCE_NOT_ALLOWED",
        "该用户未开启客户端 IMAP", "未开启POP服务", "IMAP服务未开通", "POP3 已关闭", "POP 未开启",
    ),
    "ip_blocked": (
        "ERR.LOGIN.IPDENY",
        "IP address denied", "your IP is blocked", "IP in black list", "IP blacklisted", "this IP is not allowed",
        "COUNTRY IS BLACKLISTED",
        "IP受到限制", "当前IP在黑名单", "IP不在白名单", "地址被限制", "请设置信任登录地",
    ),
    "domain_removed": (
        "ERR.LOGIN.DOMAINNOTEXIST", "ERR.LOGIN.DOMAINNOTREGISTER", "ERR.LOGIN.DOMAINSTATUS1", "ERR.LOGIN.DOMAINNULL",
        "domain not found", "domain disabled", "域名不存在", "域名已停用", "该域名被禁用",
    ),
    "unknown_user": (
        "ERR.LOGIN.USERNOTEXIST", "ERR.LOGIN.ILLEGALACCOUNT", "ERR.LOGIN.USRSTATUS5",
        "no such user", "No such account", "unknown user", "user not found", "用户不存在", "帐号不存在", "账号不存在",
    ),
    "too_many_connections": (
        "Too many simultaneous connections. (Failure)", "Too many open connections (5 of 5 from host, x)",
        "Maximum number of connections from user+IP exceeded", "mail_max_userip_connections=10",
        "[IN-USE] busy", "Mailbox is locked by another POP3 session.", "Unable to lock maildrop: x",
        "already logged in", "already in use", "连接数过多", "连接数超限",
    ),
    "rate_limited": (
        "Request is throttled. Suggested Backoff Time: 299961 milliseconds", "Suggested Backoff Time: 5",
        "login frequency limited", "too many login attempts", "Too many failures", "too many requests",
        "451 too much fail authentication", "Rate limit hit.",
        "Account exceeded command or bandwidth limits. (Failure)",
        "Session expired, please login again", "Download exceed. msg=10",
        "登录太频繁", "登录过于频繁", "登录频率", "错误次数过多",
    ),
    "expired": (
        "[EXPIRED] x", "password must be changed before IMAP login permitted", "your password has expired",
        "ERR.LOGIN.USRSTATUS2", "ERR.LOGIN.DOMAINEXPED",
        "account expired", "password is expired", "mailbox has expired", "domain expired", "the service is expired",
        "服务已过期", "域名到期", "账户欠费",
    ),
    "tls_required": (
        "[PRIVACYREQUIRED] x", "Login only available under a layer",
        "cleartext logins disabled", "Cleartext authentication disallowed on non-secure (SSL/TLS) connections.",
        "Plaintext authentication disallowed", "A secure connection is requiered(such as ssl).",
        "secure connection is required", "UC_CLIENT_NON_SSL",
        "Must issue a STARTTLS command first", "use STARTTLS", "you need STARTTLS", "required: STARTTLS",
        "STARTTLS first", "STARTTLS required",
    ),
    "not_connected": ("User is authenticated but not connected.",),
    "permission": (
        "[AUTHORIZATIONFAILED] x", "LOGIN failed (wrong host)", "[REFERRAL imap://u@h/] x", "UC_OPER_NO_PERMISSION",
    ),
    "account_locked": (
        "Your account is abnormal", "account locked", "account suspended", "we suspend it",
        "account disabled", "user is disabled",
        "ERR.LOGIN.USRSTATUS1", "ERR.LOGIN.USERSTATUS", "account frozen",
        "账号已被冻结", "账号锁定", "账号被禁用", "帐号异常", "账号异常",
    ),
    "server_down": (
        "[UNAVAILABLE] x", "Temporary failure", "Temporarily unavailable", "try again later", "ERR.LOGIN.SYSTEMBUSY",
        "the system is busy", "under maintenance", "Server Unavailable. 15", "Connection closed. 14",
        "系统繁忙", "服务器繁忙", "服务暂停", "稍后再试", "稍候再试",
    ),
    "exchange.same_text": ("LOGIN failed.", "AUTHENTICATE failed."),
    "bad_credentials": (
        "[AUTHENTICATIONFAILED] x", "Invalid credentials (Failure)", "invalid login credentials",
        "incorrect username", "Incorrect password", "Login incorrect", "LOGIN bad", "bad username", "bad password",
        "LOGIN Login error or password error", "LOGIN Login error password error", "LOGIN auth error",
        "LOGIN failed", "AUTHENTICATE failed", "Authentication failed.", "Invalid login", "ERR.LOGIN.PASSERR",
        "Logon failure: unknown user name or bad password.", "Authentication failure:", "Unable to log on",
        "密码错误", "帐号或密码错误", "账号或密码不正确", "用户名或密码不对",
    ),
    "client_bug": ("BAD parse error",),
}  # fmt: skip

CASES = [(rule_id, text) for rule_id, texts in LITERALS.items() for text in texts]


def alternatives(pattern: str) -> list[str]:
    """Split a pattern at the `|` outside of its groups."""
    found, depth, start = [], 0, 0
    for at, letter in enumerate(pattern):
        escaped = pattern[at - 1 : at] == "\\"
        depth += (letter in "([") - (letter in ")]") if not escaped else 0
        if letter == "|" and depth == 0 and not escaped:
            found.append(pattern[start:at])
            start = at + 1
    return [*found, pattern[start:]]


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.rule_id)
def test_each_alternative_of_each_rule_has_a_literal(rule: Rule) -> None:
    untried = [
        part
        for part in alternatives(rule.pattern.pattern)
        if not any(re.search(part, text, re.IGNORECASE) for text in LITERALS[rule.rule_id])
    ]
    assert untried == []


@pytest.mark.parametrize(("rule_id", "text"), CASES)
def test_a_literal_has_the_cause_of_its_row_in_any_letter_case(rule_id: str, text: str) -> None:
    expected = Cause.BAD_CREDENTIALS if rule_id == "not_connected" else RULES[rule_id].cause
    for written in (text, text.upper(), text.lower(), text.swapcase()):
        verdict = classify(GENERIC, True, None, written, "login")
        assert (verdict.cause, verdict.rule.partition(".AUTH")[0]) == (expected, verdict_rule(rule_id, text))


def verdict_rule(rule_id: str, text: str) -> str:
    """Return what names the match: a text that begins with a response code may be decided by that."""
    code = re.match(r"\[([A-Z/-]+)", text)
    after = rule_id in {rule.rule_id for rule in AFTER_CODES}
    if after and code is not None and code[1] in CODES:
        return f"response_code.{code[1]}".partition(".AUTH")[0]
    return rule_id


@pytest.mark.parametrize(("rule_id", "text"), CASES)
def test_a_literal_is_understood_in_gbk_and_behind_what_carries_it(rule_id: str, text: str) -> None:
    expected = classify(GENERIC, True, None, text, "login").cause
    octets = text.encode("gb18030")
    assert classify(GENERIC, True, None, decode_text(octets), "login").cause is expected
    if rule_id not in {"exchange.same_text", "client_bug"}:  # these are the whole text
        for before in ("NO [ALERT] ", "-ERR ", "NO LOGIN ", "535 5.7.8 "):
            assert classify(GENERIC, True, None, f"{before}{text}", "login").cause is expected
            assert (
                classify(GENERIC, True, None, decode_text(before.encode() + octets), "login").cause
                is expected
            )


@pytest.mark.parametrize(
    ("rule_id", "text"), [(r, t) for r, t in CASES if r in {rule.rule_id for rule in BEFORE_CODES}]
)
@pytest.mark.parametrize("code", ["AUTHENTICATIONFAILED", "AUTH", "UNAVAILABLE", "ALERT", "SYS/TEMP"])
def test_words_that_say_why_beat_the_response_code_around_them(rule_id: str, text: str, code: str) -> None:
    """Servers put any of these codes around any reason."""
    expected = classify(GENERIC, True, None, text, "login").cause
    assert classify(GENERIC, True, code, text, "login").cause is expected
    assert classify(GENERIC, True, None, f"NO [{code}] {text}", "login").cause is expected


@pytest.mark.parametrize("code", sorted(set(CODES) - {"BAD", "LOGINDISABLED"}))
def test_a_response_code_alone_decides_where_the_words_say_nothing(code: str) -> None:
    for given, text in (
        (code, "no"),
        (code.lower(), "no"),
        (None, f"NO [{code}] no"),
        (None, f"-ERR [{code}] no"),
    ):
        assert classify(GENERIC, True, given, text, "login").cause is CODES[code]


@pytest.mark.parametrize(
    "text",
    [
        FIVE_CAUSES,
        "LOGIN failed.",
        "AUTHENTICATE failed.",
        "User is authenticated but not connected.",
    ],
)
@pytest.mark.parametrize("name", sorted(PROFILES))
def test_no_profile_takes_an_ambiguous_sentence_for_a_wrong_password(name: str, text: str) -> None:
    for written in (text, text.upper(), text.lower()):
        verdict = classify(PROFILES[name], True, None, written, "login")
        takes_passwords = PROFILES[name].password_login
        assert verdict.shown is (Cause.AMBIGUOUS_REFUSAL if takes_passwords else Cause.OAUTH_REQUIRED)


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("tencent_exmail", "登录太", Cause.RATE_LIMITED),
        ("qq", "登录太", Cause.RATE_LIMITED),
        ("netease_free", "Can't get the letter xtbB[301], try again later", Cause.SERVER_DOWN),
        ("netease_qiye", "SUC.LOGIN.USRUNLOCK", Cause.SERVER_DOWN),
        ("netease_qiye", "ERR.LOGIN.USERORPASSNULL", Cause.PROTOCOL_ERROR),
        ("coremail", "Message can not load", Cause.SERVER_DOWN),
        ("aliyun_qiye", "526 Authentication failure[1]", Cause.RATE_LIMITED),
        ("aliyun_qiye", "526 Authentication failure[0]", Cause.BAD_CREDENTIALS),
        ("zimbra", "your account is having maintenance peformed. please try again later", Cause.SERVER_DOWN),
        ("exchange_onprem", "Command received in Invalid state", Cause.TLS_ERROR),
    ],
)
def test_a_profiles_own_rules_come_first(name: str, text: str, cause: Cause) -> None:
    assert classify(PROFILES[name], True, None, text, "login").cause is cause


@pytest.mark.hazard("T17")
@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.rule_id)
def test_no_rule_takes_long_on_what_nearly_fits_it(rule: Rule) -> None:
    pieces = [*LITERALS[rule.rule_id], *(text[: len(text) // 2] for text in LITERALS[rule.rule_id])]
    began = time.process_time()  # of this process: others share the machine
    for piece in pieces:
        text = (piece + " ") * (2000 // len(piece) + 1)
        rule.pattern.search(text[:2000])
        rule.pattern.search((piece[:-1] * 2000)[:2000])
    assert time.process_time() - began < 0.5
