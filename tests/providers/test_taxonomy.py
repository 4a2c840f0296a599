"""Server texts as they were seen on the wire, and the cause that each stands for."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.causes import CAUSES, Answer, Cause
from mailferry.providers.loader import load_profiles
from mailferry.providers.taxonomy import (
    AFTER_CODES,
    BEFORE_CODES,
    CODES,
    classify,
    retry_after,
)
from mailferry.wire.server_text import decode_text

PROFILES = load_profiles()
GENERIC = PROFILES["generic"]

FIVE_CAUSES = (
    "Login fail. Account is abnormal, service is not open, password is incorrect, "
    "login frequency limited, or system is busy."
)

SEEN: list[tuple[str, str | None, str, Cause]] = [
    # bad_credentials
    ("Dovecot", "AUTHENTICATIONFAILED", "Authentication failed.", Cause.BAD_CREDENTIALS),
    ("Dovecot POP3", "AUTH", "Authentication failed.", Cause.BAD_CREDENTIALS),
    ("Courier", None, "Login failed.", Cause.BAD_CREDENTIALS),
    ("Cyrus", None, "Login failed: authentication failure", Cause.BAD_CREDENTIALS),
    ("Cyrus POP3", "AUTH", "Invalid login", Cause.BAD_CREDENTIALS),
    ("Zimbra", None, "LOGIN failed", Cause.BAD_CREDENTIALS),
    ("Zimbra", None, "AUTHENTICATE failed", Cause.BAD_CREDENTIALS),
    ("Gmail", "AUTHENTICATIONFAILED", "Invalid credentials (Failure)", Cause.BAD_CREDENTIALS),
    ("Yahoo", "AUTHENTICATIONFAILED", "AUTHENTICATE Invalid credentials", Cause.BAD_CREDENTIALS),
    ("NetEase 2026", None, "LOGIN Login error or password error", Cause.BAD_CREDENTIALS),
    ("NetEase older", None, "LOGIN Login error password error", Cause.BAD_CREDENTIALS),
    ("NetEase POP3", None, "Unable to log on", Cause.BAD_CREDENTIALS),
    ("NetEase enterprise", None, "ERR.LOGIN.PASSERR", Cause.BAD_CREDENTIALS),
    ("Sina", None, "LOGIN auth error", Cause.BAD_CREDENTIALS),
    ("Exchange", None, "LOGIN failed.", Cause.BAD_CREDENTIALS),
    ("Exchange", None, "AUTHENTICATE failed.", Cause.BAD_CREDENTIALS),
    (
        "Exchange POP3",
        None,
        "Logon failure: unknown user name or bad password.",
        Cause.BAD_CREDENTIALS,
    ),
    (
        "365 POP3",
        None,
        "Authentication failure: unknown user name or bad password.",
        Cause.BAD_CREDENTIALS,
    ),
    ("Chinese", None, "帐号或密码错误", Cause.BAD_CREDENTIALS),
    # app_password_required
    (
        "QQ",
        None,
        (
            "Please using authorized code to login. More information at "
            "http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256"
        ),
        Cause.APP_PASSWORD_REQUIRED,
    ),
    ("QQ", None, "Authorized code is incorrect", Cause.APP_PASSWORD_REQUIRED),
    (
        "QQ",
        None,
        "Login Fail. Please enter your authorization code to login.",
        Cause.APP_PASSWORD_REQUIRED,
    ),
    ("exmail", None, "Login fail. Please using weixin token", Cause.APP_PASSWORD_REQUIRED),
    (
        "Gmail",
        "ALERT",
        "Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
        Cause.APP_PASSWORD_REQUIRED,
    ),
    ("Gmail POP3", "AUTH", "Application-specific password required: x", Cause.APP_PASSWORD_REQUIRED),
    # mfa_required
    (
        "Gmail",
        "ALERT",
        "Please log in via your web browser: http://support.google.com/mail/accounts/bin/answer.py?answer=78754 (Failure)",
        Cause.MFA_REQUIRED,
    ),
    ("Gmail", "WEBALERT https://x", "Web login required.", Cause.MFA_REQUIRED),
    # oauth_required
    ("365", None, "Basic authentication is disabled.", Cause.OAUTH_REQUIRED),
    ("our dialogue", "LOGINDISABLED", "", Cause.OAUTH_REQUIRED),
    # protocol_disabled
    (
        "Gmail",
        "ALERT",
        (
            "Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your "
            "account for IMAP access. (Failure)"
        ),
        Cause.PROTOCOL_DISABLED,
    ),
    ("Gmail", "ALERT", "IMAP access is disabled for your domain. x", Cause.PROTOCOL_DISABLED),
    ("Zimbra", None, "account does not have IMAP access enabled", Cause.PROTOCOL_DISABLED),
    ("Zimbra POP3", None, "pop access not enabled for account", Cause.PROTOCOL_DISABLED),
    ("Aliyun", None, "UC_LOGIN_SOURCE_NOT_ALLOWED", Cause.PROTOCOL_DISABLED),
    ("Dovecot", "CONTACTADMIN", "Login disabled", Cause.PROTOCOL_DISABLED),
    # client_id_required
    (
        "NetEase",
        None,
        "SELECT Unsafe Login. Please contact kefu@188.com for help",
        Cause.CLIENT_ID_REQUIRED,
    ),
    (
        "NetEase 2017",
        None,
        "SELECT The login is not safe! Please update your mail client: http://mail.163.com/dashi",
        Cause.CLIENT_ID_REQUIRED,
    ),
    # account_locked
    ("NetEase enterprise", None, "ERR.LOGIN.USRSTATUS1", Cause.ACCOUNT_LOCKED),
    ("NetEase enterprise", None, "ERR.LOGIN.USERSTATUS", Cause.ACCOUNT_LOCKED),
    ("Chinese", None, "账号已被冻结", Cause.ACCOUNT_LOCKED),
    # expired
    ("Dovecot", "EXPIRED", "Password expired", Cause.EXPIRED),
    (
        "Zimbra",
        "ALERT",
        "password must be changed before IMAP login permitted",
        Cause.EXPIRED,
    ),
    ("Zimbra POP3", None, "your password has expired", Cause.EXPIRED),
    ("NetEase enterprise", None, "ERR.LOGIN.USRSTATUS2", Cause.EXPIRED),
    ("NetEase enterprise", None, "ERR.LOGIN.DOMAINEXPED", Cause.EXPIRED),
    # unknown_user
    ("NetEase enterprise", None, "ERR.LOGIN.USERNOTEXIST", Cause.UNKNOWN_USER),
    ("NetEase enterprise", None, "ERR.LOGIN.ILLEGALACCOUNT", Cause.UNKNOWN_USER),
    ("NetEase enterprise", None, "ERR.LOGIN.USRSTATUS5", Cause.UNKNOWN_USER),
    # domain_removed
    ("NetEase enterprise", None, "ERR.LOGIN.DOMAINNOTEXIST", Cause.DOMAIN_REMOVED),
    ("NetEase enterprise", None, "ERR.LOGIN.DOMAINSTATUS1", Cause.DOMAIN_REMOVED),
    ("NetEase enterprise", None, "ERR.LOGIN.DOMAINNULL", Cause.DOMAIN_REMOVED),
    # rate_limited
    (
        "Exchange",
        None,
        "Request is throttled. Suggested Backoff Time: 299961 milliseconds",
        Cause.RATE_LIMITED,
    ),
    (
        "Gmail",
        "OVERQUOTA",
        "Account exceeded command or bandwidth limits. (Failure)",
        Cause.RATE_LIMITED,
    ),
    ("Gmail", None, "Session expired, please login again", Cause.RATE_LIMITED),
    ("Yahoo", "LIMIT", "UID FETCH Rate limit hit.", Cause.RATE_LIMITED),
    ("POP3", "LOGIN-DELAY", "wait 60 s", Cause.RATE_LIMITED),
    ("NetEase SMTP", None, "451 too much fail authentication", Cause.RATE_LIMITED),
    ("NetEase POP3", None, "Download exceed. msg=10", Cause.RATE_LIMITED),
    # too_many_connections
    (
        "Gmail",
        "ALERT",
        "Too many simultaneous connections. (Failure)",
        Cause.TOO_MANY_CONNECTIONS,
    ),
    (
        "Dovecot 2017",
        "UNAVAILABLE",
        "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        Cause.TOO_MANY_CONNECTIONS,
    ),
    (
        "Dovecot",
        "LIMIT",
        "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        Cause.TOO_MANY_CONNECTIONS,
    ),
    (
        "Dovecot POP3",
        "IN-USE",
        "Mailbox is locked by another POP3 session.",
        Cause.TOO_MANY_CONNECTIONS,
    ),
    ("Cyrus", None, "Too many open connections (5 of 5 from host, x)", Cause.TOO_MANY_CONNECTIONS),
    ("Cyrus POP3", "IN-USE", "Unable to lock maildrop: x", Cause.TOO_MANY_CONNECTIONS),
    # ip_blocked
    ("NetEase enterprise", None, "ERR.LOGIN.IPDENY", Cause.IP_BLOCKED),
    ("any", None, "Your IP 192.0.2.1 is blocked", Cause.IP_BLOCKED),
    ("Chinese", None, "当前IP不在白名单", Cause.IP_BLOCKED),
    # server_down
    ("Dovecot", "UNAVAILABLE", "Temporary authentication failure.", Cause.SERVER_DOWN),
    ("Dovecot proxy", None, "Account is temporarily unavailable.", Cause.SERVER_DOWN),
    ("Exchange", None, "Server Unavailable. 15", Cause.SERVER_DOWN),
    (
        "Zimbra",
        "ALERT",
        "account undergoing maintenance; please try again later",
        Cause.SERVER_DOWN,
    ),
    ("Zimbra POP3", None, "Temporarily unavailable", Cause.SERVER_DOWN),
    ("NetEase enterprise", None, "ERR.LOGIN.SYSTEMBUSY", Cause.SERVER_DOWN),
    ("POP3", "SYS/TEMP", "Internal failure", Cause.SERVER_DOWN),
    # tls_error
    (
        "Dovecot",
        "PRIVACYREQUIRED",
        "Cleartext authentication disallowed on non-secure (SSL/TLS) connections.",
        Cause.TLS_ERROR,
    ),
    ("Cyrus", None, "Login only available under a layer", Cause.TLS_ERROR),
    ("Cyrus POP3", "AUTH", "USER command only available under a layer", Cause.TLS_ERROR),
    ("Zimbra", None, "cleartext logins disabled", Cause.TLS_ERROR),
    ("Tencent", None, "Login fail. A secure connection is requiered(such as ssl).", Cause.TLS_ERROR),
    ("Aliyun", None, "UC_CLIENT_NON_SSL", Cause.TLS_ERROR),
    # permission
    ("Dovecot", "AUTHORIZATIONFAILED", "Not allowed", Cause.PERMISSION),
    ("Zimbra", None, "LOGIN failed (wrong host)", Cause.PERMISSION),
    ("Zimbra", "REFERRAL imap://u@h/", "LOGIN failed", Cause.PERMISSION),
    ("Aliyun", None, "UC_OPER_NO_PERMISSION", Cause.PERMISSION),
    ("POP3", "SYS/PERM", "x", Cause.PERMISSION),
    # protocol_error
    ("any", "CLIENTBUG", "Invalid", Cause.PROTOCOL_ERROR),
    ("NetEase", "BAD", "command not support", Cause.PROTOCOL_ERROR),
    ("any", None, "BAD parse error", Cause.PROTOCOL_ERROR),
    # ambiguous and unknown
    ("Tencent", None, FIVE_CAUSES, Cause.AMBIGUOUS_REFUSAL),
    ("any", None, "The moon is full", Cause.UNKNOWN),
    ("any", "ALERT", "Read this", Cause.UNKNOWN),
]


@pytest.mark.parametrize(("server", "code", "text", "cause"), SEEN)
def test_a_text_seen_on_the_wire_has_its_cause(
    server: str, code: str | None, text: str, cause: Cause
) -> None:
    assert classify(GENERIC, True, code, text, "login").cause is cause


@pytest.mark.parametrize(("server", "code", "text", "cause"), SEEN)
def test_the_code_may_still_stand_in_the_text(server: str, code: str | None, text: str, cause: Cause) -> None:
    whole = f"[{code}] {text}" if code and code not in {"BAD", "LOGINDISABLED"} else text
    given_code = code if whole == text else None
    assert classify(GENERIC, True, given_code, whole.upper(), "login").cause is cause


@pytest.mark.parametrize(("server", "code", "text", "cause"), SEEN)
def test_what_was_not_judged_is_never_a_refusal(
    server: str, code: str | None, text: str, cause: Cause
) -> None:
    verdict = classify(GENERIC, False, code, text, "greeting")
    assert verdict.answer is Answer.TEMPORARY
    assert verdict.cause not in {Cause.BAD_CREDENTIALS, Cause.AMBIGUOUS_REFUSAL, Cause.UNKNOWN}


@pytest.mark.parametrize(
    ("octets", "profile", "cause"),
    [
        (b"\xb5\xc7\xc2\xbc\xcc\xab\xc6\xb5\xb7\xb1", "generic", Cause.RATE_LIMITED),
        (b"\xb5\xc7\xc2\xbc\xcc\xab", "tencent_exmail", Cause.RATE_LIMITED),
        ("请使用授权码登录".encode("gb18030"), "generic", Cause.APP_PASSWORD_REQUIRED),
        (b"BAD \xc8\xb1\xc9\xd9login\xb2\xce\xca\xfd", "tencent_exmail", Cause.PROTOCOL_ERROR),
    ],
)
def test_texts_in_gbk_are_understood(octets: bytes, profile: str, cause: Cause) -> None:
    assert classify(PROFILES[profile], True, None, decode_text(octets), "login").cause is cause


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ("generic", FIVE_CAUSES),
        ("tencent_exmail", FIVE_CAUSES),
        ("generic", "LOGIN failed."),
        ("generic", "NO AUTHENTICATE failed."),
        ("netease_qiye", "LOGIN Login error or password error"),
    ],
)
def test_a_text_that_stands_for_many_causes_is_never_a_wrong_password(profile: str, text: str) -> None:
    verdict = classify(PROFILES[profile], True, None, text, "login")
    assert verdict.ambiguous
    assert verdict.shown is Cause.AMBIGUOUS_REFUSAL
    assert verdict.answer is Answer.REFUSED


@pytest.mark.parametrize(
    ("judged", "code", "text"),
    [
        (False, "LOGINDISABLED", "the server takes no passwords"),
        (True, None, "Basic authentication is disabled."),
        (True, None, "LOGIN failed."),
        (True, None, "Logon failure: unknown user name or bad password."),
        (True, None, "User is authenticated but not connected."),
    ],
)
def test_a_host_that_takes_no_password_never_calls_one_wrong_and_means_it_for_good(
    judged: bool, code: str | None, text: str
) -> None:
    """A mail program that was told to come later would ask for ever; one that is told "wrong" asks its user."""
    verdict = classify(PROFILES["m365"], judged, code, text, "login")
    assert (verdict.cause, verdict.answer, verdict.shown) == (
        Cause.OAUTH_REQUIRED,
        Answer.REFUSED,
        Cause.OAUTH_REQUIRED,
    )


def test_a_host_that_is_only_said_to_take_no_password_just_now_keeps_its_users_stored_ones() -> None:
    verdict = classify(GENERIC, False, "LOGINDISABLED", "", "capability")
    assert (verdict.cause, verdict.answer) == (Cause.OAUTH_REQUIRED, Answer.TEMPORARY)
    assert classify(PROFILES["m365"], False, None, "", "greeting").answer is Answer.TEMPORARY


def test_exchanges_half_login_is_a_wrong_password_for_a_user_and_missing_rights_for_an_administrator() -> (
    None
):
    text = "User is authenticated but not connected."
    mine = classify(GENERIC, True, None, text, "proof")
    assert (mine.cause, mine.ambiguous) == (Cause.BAD_CREDENTIALS, True)
    assert classify(GENERIC, True, None, text, "proof", personal=False).cause is Cause.PERMISSION


@pytest.mark.parametrize(
    ("stage", "cause"),
    [("connect", Cause.SERVER_DOWN), ("greeting", Cause.SERVER_DOWN), ("tls", Cause.TLS_ERROR)],
)
def test_silence_is_a_server_that_is_down(stage: str, cause: Cause) -> None:
    verdict = classify(GENERIC, False, None, "", stage)
    assert (verdict.cause, verdict.answer) == (cause, Answer.TEMPORARY)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Request is throttled. Suggested Backoff Time: 1500 milliseconds", 1.5),
        ("Suggested Backoff Time: 99999999 milliseconds", 21600.0),
        ("[LOGIN-DELAY] wait 60 s", 60.0),
        ("[THROTTLED] please try again in 15 minutes", 900.0),
        ("Too many logins, retry after 2 hours.", 7200.0),
        ("rate limit hit; wait at least 5 mins", 300.0),
        ("Retry-After: 30", 30.0),
        ("try again later, in 90 secs", 90.0),
        ("wait 500 ms", 0.5),
        ("登录过于频繁，请在15分钟后再试", 900.0),
        ("请 30 秒后重试", 30.0),
        ("请1小时以后再试", 3600.0),
        ("try again later", None),
        ("later", None),
        ("you have 15 minutes of mail", None),
    ],
)
def test_a_named_time_is_honoured_up_to_six_hours(text: str, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_the_rules_stand_in_their_order() -> None:
    assert [rule.rule_id for rule in BEFORE_CODES] == [
        "tencent.five_causes",
        "client_id_required",
        "oauth_required",
        "app_password_required",
        "mfa_required",
        "protocol_disabled",
        "ip_blocked",
        "domain_removed",
        "unknown_user",
        "too_many_connections",
        "rate_limited",
        "expired",
        "tls_required",
        "not_connected",
        "permission",
        "account_locked",
    ]
    assert [rule.rule_id for rule in AFTER_CODES] == [
        "server_down",
        "exchange.same_text",
        "bad_credentials",
        "client_bug",
    ]


def test_every_login_cause_can_be_reached_and_no_other() -> None:
    reached = {cause for _, _, _, cause in SEEN}
    own_work = list(Cause)[list(Cause).index(Cause.TARGET_DOWN) :]
    assert reached == set(Cause) - set(own_work)
    assert set(CODES.values()) <= reached


@given(
    st.text(max_size=200),
    st.one_of(st.none(), st.text(max_size=20), st.sampled_from(sorted(CODES))),
    st.booleans(),
)
def test_any_text_has_a_cause(text: str, code: str | None, judged: bool) -> None:
    for profile in PROFILES.values():
        verdict = classify(profile, judged, code, text, "login")
        assert verdict.cause in CAUSES
        for_good = verdict.cause is Cause.OAUTH_REQUIRED and not profile.password_login
        assert judged or for_good or verdict.answer is Answer.TEMPORARY


@pytest.mark.hazard("T17")
@pytest.mark.parametrize(
    "text", ["IP" * 1000, "account " * 5000, "(" * 100_000, "use " * 9000, "a" * 1_000_000]
)
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()  # of this process: others share the machine
    for profile in PROFILES.values():
        classify(profile, True, None, text, "login")
    assert time.process_time() - began < 1.0
