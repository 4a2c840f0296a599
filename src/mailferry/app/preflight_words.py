"""The sentences of `domain test`, each in both languages (tests refuse a missing one).

A line of it is made of these by `finding`, and in no other way: the command line shows the English ones,
the console those of its reader, the API both.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.app.checking import Line, Sign
from mailferry.model.causes import Cause
from mailferry.plan.checklist import Seen
from mailferry.plan.copy_estimate import Slowed
from mailferry.providers.sentences import Words
from mailferry.web.console_terms import TERMS

NOTHING = Words("", "")

_LOOKED_AT: Mapping[str, Words] = {
    "at.source": Words("source", "原服务器"),
    "at.server": Words("source {protocol}", "原服务器 {protocol}"),
    "at.server.login": Words("source {protocol} login", "原服务器 {protocol} 登录"),
    "at.server.id": Words("source {protocol} ID", "原服务器 {protocol} 客户端标识"),
    "at.server.messages": Words("source {protocol} messages", "原服务器 {protocol} 邮件"),
    "at.server.passwords": Words("source {protocol} password check", "原服务器 {protocol} 密码校验"),
    "at.login": Words("login", "登录"),
    "at.completeness": Words("completeness", "完整性"),
    "at.estimate": Words("estimate", "预计用时"),
    "at.all-mail": Words("all mail", "“所有邮件”文件夹"),
    "at.dns": Words("after the DNS change", "修改解析之后"),
    "at.step": Words("checklist {step}", "检查清单 {step}"),
}

_FOUND: Mapping[str, Words] = {
    "no-passwords": Words(
        "{name} lets no mail program in with a password", "{name} 不允许邮件程序用密码登录"
    ),
    "not-tried": Words("not tried", "未测试"),
    "answers": Words("{server} answers", "{server} 有响应"),
    "failed": Words("{cause}: {text}", "未成功，{cause}：{text}"),
    "accepted": Words("{server} accepts the password", "{server} 接受该密码"),
    "told-who": Words("the server was told who we are", "已向服务器说明客户端身份"),
    "in-clear": Words("the link is not confidential", "连接未加密"),
    "holds": Words(
        "{mailboxes} mailboxes, {messages} messages, {inbox} of them in INBOX",
        "{mailboxes} 个文件夹，共 {messages} 封邮件，其中收件箱 {inbox} 封",
    ),
    "maildrop-holds": Words("{inbox} messages, {octets:,} bytes", "{inbox} 封邮件，{octets:,} 字节"),
    "made-up.unclear": Words("a made-up password: {cause} {text}", "用编造的密码登录，{cause}：{text}"),
    "made-up.refused": Words("a made-up password is refused", "编造的密码被拒绝"),
    "made-up.accepted": Words("a made-up password is accepted", "接受编造的密码"),
    "made-up.blocked": Words(
        "a made-up password is accepted; the domain is blocked", "接受编造的密码，该域名已停止"
    ),
    "variants": Words("the source accepts variants of a password: {which}", "原服务器接受变体密码：{which}"),
    "variant.longer": Words("with more behind it (it cuts passwords)", "在末尾添加字符（密码被截断）"),
    "variant.case": Words("with capital and small letters exchanged", "大小写互换"),
    "variant.blank": Words("with a blank behind it", "末尾添加空格"),
    "bodyless": Words(
        "{bodyless} of {read} messages that were read came without their bodies",
        "试读的 {read} 封邮件中，有 {bodyless} 封没有正文",
    ),
    "placeholders": Words(
        "in place of {placeholders} of {read} messages came texts of the server's own",
        "试读的 {read} 封邮件中，有 {placeholders} 封被服务器以提示文本代替",
    ),
    "none-readable": Words("messages are listed, and none could be read", "列出了邮件，但一封也无法读取"),
    "none-to-read": Words("there is none to read", "没有可供试读的邮件"),
    "read-whole": Words(
        "{read} read whole, {octets:,} bytes in {seconds:.2f} s",
        "完整读取 {read} 封，{octets:,} 字节，用时 {seconds:.2f} 秒",
    ),
    "read-partly": Words("{whole}; {unreadable} could not be read", "{whole}；另有 {unreadable} 封无法读取"),
    "same-count": Words(
        "IMAP and POP3 both show {count} messages in INBOX", "IMAP 和 POP3 都显示收件箱有 {count} 封邮件"
    ),
    "other-count": Words(
        "IMAP shows {imap} messages in INBOX, POP3 {pop3}",
        "收件箱邮件数不一致：IMAP 显示 {imap} 封，POP3 显示 {pop3} 封",
    ),
    "amount": Words("{messages:,} messages", "{messages:,} 封邮件"),
    "about": Words("about {amount}, {size}", "约 {amount}，{size}"),
    "speed-unknown": Words("{about}; the speed is not known", "{about}；速度未知"),
    "takes": Words("{about}: {span} for this account{why}", "{about}：该账号约需 {span}{why}"),
    "as-measured": Words(" at the speed that was measured", "（按实测速度）"),
    "slowed": Words(", because of {limit}", "（受限于{limit}）"),
    "span.moment": Words("less than a minute", "不到一分钟"),
    "span.minutes": Words("{minutes:.0f} minutes", "{minutes:.0f} 分钟"),
    "span.hours": Words("{hours:.1f} hours", "{hours:.1f} 小时"),
    "all-mail": Words(
        "{mailbox}: {amount}, about {size}, copied as one mailbox more beside the others",
        "{mailbox}：{amount}，约 {size}，将作为单独的文件夹与其他文件夹一并复制",
    ),
    "dns.open": Words(
        "the old host is known to let users in as before", "已知该服务商在修改解析后仍允许用户登录"
    ),
    "dns.restricted": Words(
        "pulling may stop after the DNS change: this provider limits logins then",
        "修改解析后可能无法继续收取：该服务商届时会限制登录",
    ),
    "dns.unknown": Words(
        "pulling may stop after the DNS change: nobody knows what this provider does then",
        "修改解析后可能无法继续收取：尚不清楚该服务商届时如何处理",
    ),
    **{
        f"seen.{seen.name.lower()}": Words(seen.value, chinese)
        for seen, chinese in (
            (Seen.WELL, "测试结果：正常"),
            (Seen.WRONG, "测试结果：有问题"),
            (Seen.YOURS, "只能由您自行确认"),
        )
    },
    **{
        f"slowed.{limit.name.lower()}": Words(limit.value, chinese)
        for limit, chinese in ((Slowed.BY_DAY, "其每日流量上限"), (Slowed.BY_HOURS, "允许复制的时段"))
    },
}

_FIXES: Mapping[str, Words] = {
    "fix.give-account": Words(
        "only a real login shows whether the old host lets mail programs in: --account ADDRESS",
        "只有用真实账号登录，才能确认原服务器允许邮件程序登录：请填写测试账号（命令行：--account 地址）",
    ),
    "fix.in-clear": Words(
        "passwords of this domain are not set at the target unless push_from_plaintext says so",
        "除非设置 push_from_plaintext，否则该域名的密码不会设置到新服务器",
    ),
    "fix.made-up": Words(
        "whoever connects could set any user's new password: let the provider check passwords, "
        "then run domain test again, which lifts the block",
        "任何人连接后都可能设置任意用户的新密码：请让服务商校验密码，然后重新测试，通过后即恢复",
    ),
    "fix.variants": Words(
        "what users type is set at the target as it is: whoever types another form there is refused",
        "用户输入的密码会原样设置到新服务器，在新服务器用其他形式将被拒绝",
    ),
    "fix.withheld": Words(
        "the provider withholds it: call its support; the copy brings the rest and goes on by itself",
        "邮件由服务商扣留：请联系其客服；其余邮件照常复制，之后会自动继续",
    ),
    "fix.older-account": Words("test with an account that holds old mail", "请用存有较早邮件的账号测试"),
    "fix.hidden": Words(
        "the provider may hide older mail from one of them: look for 'collect all mail' in its settings",
        "服务商可能对其中一种协议隐藏较早的邮件：请在其设置中选择“收取全部的邮件”。",
    ),
    "fix.nothing-read": Words("no message could be read", "没有读取到任何邮件"),
    "fix.all-mail": Words(
        "archived mail lies nowhere else, so it is not left out: have room for it at the new host; where nobody "
        "archives, skip_mailboxes of a profile of your own leaves it out (docs/providers.md)",
        "归档的邮件只在其中，因此不会略过：请在新服务器预留空间；如确定无人归档，可用自定义配置的 skip_mailboxes 略过。",
    ),
    "fix.dns": Words(
        "import passwords and let the first copy be made before the DNS changes: "
        "nothing is set or switched by that, and nothing is copied twice afterwards",
        "请在修改解析之前导入密码并完成首次复制：此时不会设置密码也不会切换，之后也不会重复复制。",
    ),
}

SENTENCES: Mapping[str, Words] = {**_LOOKED_AT, **_FOUND, **_FIXES}


def said(key: str, /, **values: object) -> Words:
    """Return the sentence of `key` with `values` put in; one that is itself `Words` comes in each language."""
    words = SENTENCES[key]
    english = {name: value.en if isinstance(value, Words) else value for name, value in values.items()}
    chinese = {name: value.zh if isinstance(value, Words) else value for name, value in values.items()}
    return Words(words.en.format(**english), words.zh.format(**chinese))


def finding(sign: Sign, what: Words, found: Words, fix: Words = NOTHING) -> Line:
    """Return one line: what was looked at, what was seen, and what to do about it."""
    return Line(sign, what.en, found.en, fix.en, fix.zh, what_zh=what.zh, found_zh=found.zh)


def named(cause: Cause) -> Words:
    """Return a cause's code, with its name in front where the reader reads Chinese."""
    return Words(cause.value, f"{TERMS[f'cause.{cause.value}'].zh}（{cause.value}）")
