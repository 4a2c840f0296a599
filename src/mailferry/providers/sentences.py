"""What users and administrators read for each cause, in English (ASCII) and simplified Chinese.

One sentence says what is the matter, and what to do about it stands in the same breath.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailferry.model.causes import Cause


@dataclass(frozen=True, slots=True)
class Words:
    """One sentence in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Sentences:
    """What the user reads, and what the administrator reads."""

    user: Words
    admin: Words


_BAD_CREDENTIALS = Words(
    "The old mailbox refused this password. Use the password of the old mail service.",
    "原邮箱拒绝了该密码，请使用原邮箱的密码登录。",
)
_LATER = Words(
    "The mail service cannot check this login just now; try again later.",
    "邮件服务暂时无法验证登录，请稍后再试。",
)

SENTENCES: Mapping[Cause, Sentences] = {
    Cause.BAD_CREDENTIALS: Sentences(
        _BAD_CREDENTIALS,
        Words(
            "If the user is sure, check app-password rules, IMAP/POP switch and IP limits at the old provider.",
            "若用户确认密码无误，请到原服务商检查授权码、IMAP/POP 开关和 IP 限制。",
        ),
    ),
    Cause.APP_PASSWORD_REQUIRED: Sentences(
        Words(
            "The old mailbox needs its client authorization code. Enter that code here once, or ask your "
            "administrator to turn the requirement off.",
            "原邮箱开启了客户端授权码（专用密码），请在此输入授权码，或请管理员在原邮箱关闭该要求。",
        ),
        Words(
            "Turn off authorization code / secure login for the domain during the move, or import the codes.",
            "搬家期间请在原邮箱后台关闭客户端授权码/安全登录/微信动态密码，或批量导入授权码。",
        ),
    ),
    Cause.MFA_REQUIRED: Sentences(
        Words(
            "The old provider wants a sign-in in the browser first.",
            "原邮箱要求先在网页端完成验证，请登录网页邮箱确认后重试。",
        ),
        Words("Disable forced second-factor for IMAP/POP accounts.", "请关闭强制二次登录验证。"),
    ),
    Cause.OAUTH_REQUIRED: Sentences(
        Words(
            "The old system no longer accepts passwords from mail programs.",
            "原系统已不再接受邮件程序用密码登录。",
        ),
        Words(
            "This source takes no passwords from mail programs, only OAuth: it cannot be moved by them. Use the "
            "provider's own export, or let it allow password logins during the move.",
            "该来源只接受 OAuth，不接受邮件程序用密码登录，无法凭用户密码搬家：请使用服务商自带的导出，"
            "或请其在搬家期间允许密码登录。",
        ),
    ),
    Cause.PROTOCOL_DISABLED: Sentences(
        Words(
            "IMAP/POP is switched off in your old mailbox.",
            "原邮箱未开启 IMAP/POP 服务，请在原邮箱设置中开启。",
        ),
        Words(
            "Enable IMAP or POP for the user or organisation; try POP3 if only IMAP is off.",
            "请在原邮箱后台为该用户或全员开启 IMAP/POP；仅 IMAP 关闭时可改用 POP3。",
        ),
    ),
    Cause.CLIENT_ID_REQUIRED: Sentences(
        _LATER,
        Words(
            "The source wants client identification; report if it persists.",
            "来源要求客户端身份（IMAP ID），若持续出现请反馈。",
        ),
    ),
    Cause.ACCOUNT_LOCKED: Sentences(
        Words(
            "The old provider locked this account; sign in on its website to unlock.",
            "原邮箱账号被锁定或异常，请登录其网页解除锁定。",
        ),
        Words(
            "Unlock it; some providers unlock by themselves after an hour.",
            "请解锁账号；部分服务商约 1 小时后自动解锁。",
        ),
    ),
    Cause.EXPIRED: Sentences(
        Words("The old mailbox or its password has expired.", "原邮箱或密码已过期。"),
        Words(
            "Renew the old service until the move is finished (30 days of reserve are advised).",
            "请续费原服务直至搬家完成，建议预留 30 天。",
        ),
    ),
    Cause.UNKNOWN_USER: Sentences(
        Words(
            "There is no such account on the old server.",
            "原服务器上没有该账号（非搬家账号）。",
        ),
        Words("Check the address mapping.", "请检查新旧账号对应关系。"),
    ),
    Cause.DOMAIN_REMOVED: Sentences(
        Words("The old service no longer serves this domain.", "原服务商已停止服务该域名。"),
        Words(
            "Ask the old provider to keep client access after the DNS change; for NetEase try the other host pair.",
            "请联系原服务商在解析切换后保留客户端收信权限；网易可更换服务器地址重试。",
        ),
    ),
    Cause.RATE_LIMITED: Sentences(
        Words(
            "The old server is limiting requests; the copy goes on later.",
            "原服务器限制了访问频率，稍后会自动继续搬家。",
        ),
        Words(
            "Lower speed or connections, or ask the provider to lift limits.",
            "请降低搬家速度/并发，或联系原服务商放宽限制。",
        ),
    ),
    Cause.TOO_MANY_CONNECTIONS: Sentences(
        Words("Too many programs use the old mailbox now.", "同时连接原邮箱的程序过多。"),
        Words(
            "Close old clients or lower the per-account connection limit.",
            "请关闭旧客户端或调低单账号并发。",
        ),
    ),
    Cause.IP_BLOCKED: Sentences(
        Words(
            "The old server refuses our network address; your administrator was told.",
            "原服务器拒绝了搬家服务器的 IP，已通知管理员。",
        ),
        Words(
            "Add the proxy's addresses to the allow list or trusted places at the old provider.",
            "请在原邮箱后台把搬家服务器 IP 加入白名单/信任登录地。",
        ),
    ),
    Cause.SERVER_DOWN: Sentences(
        Words(
            "The old server is not answering; try again later.",
            "原服务器暂时无响应，请稍后再试。",
        ),
        Words(
            "Check host, port, firewall and that the old service still runs.",
            "请检查地址、端口、防火墙及原服务是否仍在运行。",
        ),
    ),
    Cause.TLS_ERROR: Sentences(
        Words("A secure connection to the old server failed.", "与原服务器的加密连接失败。"),
        Words(
            "Use 993/995; if the certificate names another host use that host.",
            "请改用 993/995 加密端口；若证书域名不符请改用证书上的主机名。",
        ),
    ),
    Cause.PERMISSION: Sentences(
        Words("The old mailbox could not be opened with this login.", "该登录信息无法打开原邮箱。"),
        Words(
            "Check password, licence, mailbox rights or follow the referral host.",
            "请检查密码、许可、邮箱权限或改用提示的服务器。",
        ),
    ),
    Cause.PROTOCOL_ERROR: Sentences(
        _LATER,
        Words(
            "The old server and this program did not understand each other; report it with the log.",
            "协议不兼容，请反馈。",
        ),
    ),
    Cause.UNKNOWN: Sentences(
        _LATER,
        Words(
            "The old server gave a reason that is not known yet; its own words stand in the account's log.",
            "未知错误，已记录原文。",
        ),
    ),
    Cause.AMBIGUOUS_REFUSAL: Sentences(
        Words(
            "The old mailbox refused the login. Check: IMAP/POP enabled, client password, too many attempts, "
            "account state.",
            "原邮箱拒绝登录，可能原因：未开启 IMAP/POP 服务、需使用客户端专用密码（授权码）、密码错误、"
            "登录过于频繁、账号异常或系统繁忙；请逐项检查。",
        ),
        Words(
            "The provider says the same for several causes: check for this user that IMAP/POP is on, whether "
            "a client password is needed, that the account is not locked, and that our address is allowed.",
            "原服务商对多种原因返回同一提示：请检查该用户是否已开启 IMAP/POP、是否需要客户端专用密码、"
            "账号是否锁定以及搬家服务器 IP 是否放行。",
        ),
    ),
    # our own work
    Cause.TARGET_DOWN: Sentences(
        Words(
            "The new mail server is not answering; try again later.", "新邮箱服务器暂时无响应，请稍后再试。"
        ),
        Words(
            "Check that the target runs and can be reached from here: mailferry check.",
            "请检查新服务器是否运行并可连接：mailferry check。",
        ),
    ),
    Cause.TARGET_REFUSED: Sentences(
        _LATER,
        Words(
            "The target refused our login: check that the account exists there and the master login of [target].",
            "新服务器拒绝了我们的登录：请检查账号是否存在以及 [target] 的主登录设置。",
        ),
    ),
    Cause.TARGET_PASSWORD_POLICY: Sentences(
        Words(
            "The new mail server does not allow this password; set a stronger one at the old service first.",
            "新邮箱服务器不接受该密码，请先在原邮箱设置更强的密码。",
        ),
        Words(
            "The target's policy refuses the user's password: relax it during the move, or let the user "
            "choose another password at the old service.",
            "新服务器的密码策略拒绝了用户密码：请在搬家期间放宽策略，或让用户在原邮箱更换密码。",
        ),
    ),
    Cause.TARGET_OVER_QUOTA: Sentences(
        Words("The new mailbox is full; your administrator was told.", "新邮箱空间已满，已通知管理员。"),
        Words(
            "Raise the account's quota at the target; the copy goes on by itself.",
            "请提高该账号在新服务器的容量，搬家会自动继续。",
        ),
    ),
    Cause.UIDVALIDITY_EQUAL: Sentences(
        _LATER,
        Words(
            "A mailbox has the same UIDVALIDITY on both servers, which would show wrong messages: change it at "
            "the target (Dovecot: doveadm mailbox update --uid-validity) and retry.",
            "某邮箱在新旧服务器上 UIDVALIDITY 相同，会导致客户端显示错误邮件："
            "请在新服务器修改（Dovecot：doveadm mailbox update --uid-validity）后重试。",
        ),
    ),
    Cause.UIDL_UNPAIRED: Sentences(
        _LATER,
        Words(
            "Some messages cannot be matched between POP3 and IMAP, so POP3 programs would load mail again: "
            "look at the list and approve, or wait.",
            "部分邮件无法在 POP3 与 IMAP 之间对应，POP3 客户端会重复收信：请查看列表后批准或等待。",
        ),
    ),
    Cause.FREEZE_TOO_LONG: Sentences(
        _LATER,
        Words(
            "The last pass does not fit into the freeze: move the account with account switch.",
            "最后一次同步超出冻结时限：请使用 account switch 切换该账号。",
        ),
    ),
    Cause.DELETIONS_HELD: Sentences(
        _LATER,
        Words(
            "Very many messages vanished at the source; nothing is deleted at the target before account approve.",
            "来源处大量邮件消失；在 account approve 之前不会删除新服务器上的邮件。",
        ),
    ),
    Cause.INCOMPLETE: Sentences(
        Words(
            "The old server does not show all your mail yet; the move goes on when it does.",
            "原服务器尚未显示全部邮件，显示后会自动继续搬家。",
        ),
        Words(
            'The source seems to hide mail: set "all mail" for clients at the old provider, or account approve.',
            "来源可能隐藏了部分邮件：请在原服务商设置“收取全部邮件”，或使用 account approve。",
        ),
    ),
    Cause.BODIES_REFUSED: Sentences(
        Words(
            "The old server does not hand over many of your messages yet; the move goes on when it does.",
            "原服务器暂未交出您的许多邮件，交出后会自动继续搬家。",
        ),
        Words(
            "The source lists many messages and does not give them; account skipped shows its words. Let the "
            "provider mend that: they are tried again by themselves. account approve goes on without them.",
            "来源列出了大量邮件却不提供内容，account skipped 可查看其原文：请联系原服务商恢复，系统会自动重试；"
            "account approve 可不带这些邮件继续。",
        ),
    ),
    Cause.TARGET_REFUSES_MAIL: Sentences(
        Words(
            "The new mailbox does not take many of your messages; your administrator was told.",
            "新邮箱拒收了您的许多邮件，已通知管理员。",
        ),
        Words(
            "The target refuses many messages, often by a size limit; account skipped shows its words. Change "
            "that: they are tried again by themselves. account approve goes on without them.",
            "新服务器拒收了大量邮件（常因大小限制），account skipped 可查看其原文：请调整设置，系统会自动重试；"
            "account approve 可不带这些邮件继续。",
        ),
    ),
    Cause.SOURCE_REFUSES_DOMAIN: Sentences(
        Words(
            "The old mail service lets nobody of your domain in just now; your administrator was told.",
            "原邮件服务目前拒绝了本域名所有用户的登录，已通知管理员。",
        ),
        Words(
            "The old provider refuses good passwords of the whole domain at once. Check that IMAP/POP is on, that "
            "our address is allowed, and that logins go on after the DNS change; it is tried again by itself.",
            "原服务商同时拒绝了本域名所有用户的正确密码：请检查 IMAP/POP 是否开启、搬家服务器 IP 是否放行、"
            "解析切换后是否仍允许客户端登录；系统会自动重试。",
        ),
    ),
    Cause.SOURCE_TAKES_ANY_PASSWORD: Sentences(
        _LATER,
        Words(
            "The old host takes any password, so its yes proves nothing: the domain is blocked and nothing is set "
            "at the target. Let the provider check passwords again, then run domain test with an account.",
            "原邮箱服务器接受任意密码，无法据此验证用户：该域名已暂停搬家，且不会在新服务器设置密码。"
            "请原服务商恢复密码校验后，用一个账号运行 domain test。",
        ),
    ),
    Cause.WINDOW_OVER: Sentences(
        _LATER,
        Words(
            "The domain's window and the 30 days behind it are over before the copy was done: open it again with "
            "domain extend, or serve the account from the target with account switch.",
            "搬家期限及其后的 30 天已过，但复制尚未完成：请用 domain extend 重新开放，"
            "或用 account switch 改由新服务器提供服务。",
        ),
    ),
    Cause.INTERNAL: Sentences(
        _LATER,
        Words(
            "A fault in this program; the log has the details. It is tried again by itself.",
            "程序内部错误，详情见日志，稍后会自动重试。",
        ),
    ),
}

_SAME_AS_BAD_CREDENTIALS = frozenset({Cause.UNKNOWN_USER, Cause.BAD_CREDENTIALS})
"""Told to clients in the same bytes, so that nobody learns which accounts exist."""


def advice(cause: Cause) -> dict[str, str]:
    """Return what the administrator is told, by language (`en`, `zh`)."""
    words = SENTENCES[cause].admin
    return {"en": words.en, "zh": words.zh}


def user_advice(cause: Cause) -> dict[str, str]:
    """Return what the signed-in user is told, by language (`en`, `zh`)."""
    words = SENTENCES[cause].user
    return {"en": words.en, "zh": words.zh}


_CODE_WANTED = Words(
    "Wrong user name or password. Until your mailbox has moved, log in with the client authorization code of "
    "the old mailbox, not with its web password.",
    "用户名或密码错误。邮箱搬家完成前，请使用原邮箱的客户端授权码（而非网页登录密码）登录。",
)


def client_sentence(cause: Cause, language: str = "both", *, codes: bool = False) -> str:
    """Return what a mail program shows: `en` (ASCII), `zh` or `both`, as the domain says.

    An unknown user reads the same as a wrong password, and both read the same in every phase of an
    account; with `codes` they say which of its two passwords the user is to type.
    """
    wrong = cause in _SAME_AS_BAD_CREDENTIALS
    words = _CODE_WANTED if wrong and codes else SENTENCES[Cause.BAD_CREDENTIALS if wrong else cause].user
    if language == "en":
        return words.en
    if language == "zh":
        return words.zh
    return f"{words.en} {words.zh}"
