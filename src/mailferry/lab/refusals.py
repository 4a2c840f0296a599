"""What a lab host says when it refuses a login: the sentences of real providers, switched by quirks."""

from __future__ import annotations

from mailferry.lab.premises import Premises

TENCENT = (
    b"Login fail. Account is abnormal, service is not open, password is incorrect, "
    b"login frequency limited, or system is busy."
)
TENCENT_CODE = (
    b"Please using authorized code to login. More information at "
    b"http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256"
)
TOO_MANY = b"Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)"
_GBK_PARAMETER = "缺少login参数".encode("gb18030")
_GBK_OFTEN = "登录太频繁".encode("gb18030")


def imap_refusal(premises: Premises) -> bytes:
    """Return status and text of a refused LOGIN."""
    if premises.has("tencent_five_causes"):
        return b"NO " + TENCENT
    if premises.has("tencent_authcode"):
        return b"NO " + TENCENT_CODE
    if premises.has("tencent_gbk"):
        return b"BAD " + _GBK_PARAMETER
    if premises.has("netease_refusal"):
        return b"NO LOGIN Login error or password error"
    if premises.has("gmail_web"):
        return b"NO [ALERT] Please log in via your web browser: https://support.example/ (Failure)"
    if premises.has("m365_logindisabled"):
        return b"NO Basic authentication is disabled."
    if premises.has("post_cutover_block"):
        return b"NO LOGIN failed."
    return b"NO [AUTHENTICATIONFAILED] Authentication failed."


def pop3_refusal(premises: Premises) -> bytes:
    """Return the answer to a refused PASS."""
    if premises.has("tencent_five_causes"):
        return b"-ERR " + TENCENT
    if premises.has("tencent_authcode"):
        return b"-ERR " + TENCENT_CODE
    if premises.has("tencent_gbk"):
        return b"-ERR " + _GBK_OFTEN
    if premises.has("netease_refusal"):
        return b"-ERR Unable to log on"
    return b"-ERR [AUTH] Authentication failed."
