"""The console's names for what the store names by a word: causes, phases, events, triggers, reasons, evidence."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.providers.sentences import Words

_CAUSES = {
    "bad_credentials": Words("Wrong password", "密码错误"),
    "app_password_required": Words("Authorization code needed", "需要客户端授权码"),
    "mfa_required": Words("Second factor needed", "需要二次验证"),
    "oauth_required": Words("No passwords for mail programs", "不接受密码登录"),
    "protocol_disabled": Words("IMAP/POP3 switched off", "未开启 IMAP/POP3"),
    "client_id_required": Words("Refused as an unknown client", "客户端未被识别"),
    "account_locked": Words("Account locked", "账号被锁定"),
    "expired": Words("Account or service expired", "账号或服务已过期"),
    "unknown_user": Words("No such mailbox", "邮箱不存在"),
    "domain_removed": Words("Domain removed at the old host", "原服务商已移除域名"),
    "rate_limited": Words("Too many requests", "请求过于频繁"),
    "too_many_connections": Words("Too many connections", "连接数过多"),
    "ip_blocked": Words("Our address is blocked", "本机 IP 被拦截"),
    "server_down": Words("Old host not reachable", "原服务器无法连接"),
    "tls_error": Words("TLS does not work", "TLS 连接失败"),
    "permission": Words("No permission", "没有权限"),
    "protocol_error": Words("Old host does not follow the protocol", "原服务器协议异常"),
    "unknown": Words("Unknown refusal", "未知原因"),
    "ambiguous_refusal": Words("Refused for one of several reasons", "拒绝原因不明确"),
    "target_down": Words("New host not reachable", "新服务器无法连接"),
    "target_refused": Words("New host refuses us", "新服务器拒绝访问"),
    "target_password_policy": Words("New host refuses the password", "新服务器不接受该密码"),
    "target_over_quota": Words("New mailbox is full", "新邮箱空间不足"),
    "target_refuses_mail": Words("New host refuses many messages", "新服务器拒收大量邮件"),
    "bodies_refused": Words("Old host withholds many messages", "原服务器拒绝提供大量邮件"),
    "uidvalidity_equal": Words("Mailboxes look the same to mail programs", "新旧文件夹标识相同"),
    "uidl_unpaired": Words("POP3 messages without a pair", "POP3 邮件无法对应"),
    "freeze_too_long": Words("Last pass took too long", "切换时冻结超时"),
    "deletions_held": Words("Many deletions await approval", "大量删除待批准"),
    "incomplete": Words("Old host shows only part of the mail", "原服务器只显示部分邮件"),
    "source_refuses_domain": Words("Old host refuses the whole domain", "原服务器拒绝整个域名"),
    "source_takes_any_password": Words("Old host takes any password", "原服务器接受任意密码"),
    "window_over": Words("Window over", "搬家期限已过"),
    "internal": Words("Fault of our own", "程序内部错误"),
}
_PHASES = {
    "IDLE": Words("waits for the first login", "等待首次登录"),
    "PRECOPY": Words("copying, still served by the old host", "复制中，仍由原服务器服务"),
    "FREEZE": Words("last pass before the switch", "切换前最后一轮"),
    "BACKFILL": Words("served by the new host, history arriving", "已由新服务器服务，历史邮件补充中"),
    "BLOCKED": Words("stopped, served by the old host", "已停止，仍由原服务器服务"),
    "STALLED": Words("stopped, served by the new host", "已停止，已由新服务器服务"),
    "SWITCHED": Words("moved", "已搬完"),
    "CLOSED": Words("moved, window over", "已搬完，期限已过"),
    "LOCAL": Words("nothing to move", "无需搬家"),
}
_EVENTS = {
    "source_accepted": Words("first login with the old password", "用原密码首次登录"),
    "source_accepted_at_once": Words("first login, switched at once", "首次登录并立即切换"),
    "target_only": Words("logged in with a new password", "用新密码登录"),
    "marked_local": Words("marked as not migrating", "标记为不搬家"),
    "freeze_set": Words("frozen for the last pass", "冻结以做最后一轮"),
    "early_switch": Words("switched early", "提前切换"),
    "target_accepted_foreign": Words("logged in with a password of the new host", "用新服务器的密码登录"),
    "gave_up": Words("stopped", "停止"),
    "flipped": Words("switched to the new host", "切换到新服务器"),
    "backed_out": Words("the freeze was ended without a switch", "未切换，解除冻结"),
    "history_complete": Words("history complete", "历史邮件已补齐"),
    "retried": Words("tried again", "重试"),
    "old_password_entered": Words("old password entered", "输入了原密码"),
    "reset": Words("reset", "重置"),
    "window_over": Words("window over", "期限结束"),
    "window_reopened": Words("window opened again", "期限重新开放"),
    "reconciled": Words("set right from the log of switches", "按切换日志修正"),
}
_TRIGGERS = {
    "imap": Words("an IMAP login", "IMAP 登录"),
    "pop3": Words("a POP3 login", "POP3 登录"),
    "webmail": Words("a webmail login", "网页登录"),
    "smtp": Words("sending mail", "发送邮件"),
    "import": Words("an imported password", "导入密码"),
}
_SKIPPED = {
    "too_big": Words("too big for the new host", "超过新服务器大小限制"),
    "nul_refused": Words("holds NUL octets", "含有 NUL 字节"),
    "header_refused": Words("its header is refused", "邮件头被拒收"),
    "empty_refused": Words("empty, and refused", "空邮件被拒收"),
    "refused": Words("refused by the new host", "被新服务器拒收"),
    "unreadable_at_source": Words("not readable at the old host", "原服务器无法读取"),
    "header_only_at_source": Words("the old host withholds its body", "原服务器未提供正文"),
    "cut_short_at_source": Words("the old host cuts it short", "原服务器提供的内容不完整"),
    "placeholder_at_source": Words("the old host gave a text of its own instead", "原服务器以提示文本代替"),
}
_EVIDENCE = {
    "said": Words("named by an administrator", "管理员指定"),
    "recorded_mx": Words("earlier MX", "原 MX 记录"),
    "host": Words("server name", "服务器名称"),
    "mx": Words("MX", "MX 记录"),
    "cname": Words("CNAME", "CNAME 记录"),
    "spf": Words("SPF", "SPF 记录"),
    "certificate": Words("certificate", "证书"),
    "greeting": Words("greeting", "欢迎语"),
    "capability": Words("capabilities", "服务器能力"),
    "id": Words("what it calls itself", "服务器标识"),
}
_MAPPED = {
    "inbox": Words("the inbox", "收件箱"),
    "kept": Words("as before", "沿用之前的对应"),
    "role": Words("by its role", "按用途"),
    "profile": Words("by the provider's name for it", "按服务商的名称"),
    "name": Words("by its name", "按名称"),
    "path": Words("under the same name", "同名"),
    "not_selectable": Words("holds no messages", "不含邮件"),
    "no_mail": Words("calendars or contacts", "日历或通讯录"),
    "view": Words("shows messages of other mailboxes", "显示其他文件夹的邮件"),
    "same_as_inbox": Words("the inbox once more", "与收件箱相同"),
    "listed_twice": Words("listed twice", "重复列出"),
}
_FOLDERS = {
    "sent": Words("sent", "已发送"),
    "drafts": Words("drafts", "草稿"),
    "trash": Words("trash", "已删除"),
    "junk": Words("junk", "垃圾邮件"),
    "archive": Words("archive", "归档"),
}
_REMARKS = {
    "keyword_not_permitted": Words("the new host does not keep a label", "新服务器不保存的标签"),
    "arrival_date_lost": Words("arrival dates are not kept", "未保留收件时间"),
    "altered_by_target": Words("the new host altered messages", "新服务器改动了邮件"),
    "doubled": Words("messages that may stand twice", "可能重复的邮件"),
    "mailbox_renamed": Words("a mailbox has another name", "文件夹已改名"),
    "role_not_marked": Words("a mailbox does not bear its role", "文件夹未标记用途"),
    "mailbox_refused": Words("the old host refuses to open a mailbox", "原服务器拒绝打开的文件夹"),
    "mailbox_unreadable": Words("the old host lists something unreadable", "原服务器列出的内容无法识别"),
    "messages_withheld": Words("messages announced and not listed", "已通告但未列出的邮件"),
    "ends_at_window": Words(
        "all mail ends on one day: older mail may be hidden", "邮件止于同一天，更早的可能被隐藏"
    ),
    "slipped_out_of_view": Words("messages that became too old to be shown", "因时间过久不再显示的邮件"),
    "shared_rights": Words("shared with others at the old host", "在原服务器上与他人共享"),
    "password_not_utf8": Words(
        "the password was typed in another encoding than UTF-8: devices that use UTF-8 must type it again",
        "密码以非 UTF-8 编码输入：使用其他编码的设备需重新输入密码",
    ),
}
_SIGNS = {
    "ok": Words("works", "正常"),
    "note": Words("note", "注意"),
    "fault": Words("fault", "问题"),
    "you": Words("look yourself", "请自行确认"),
}


def _under(prefix: str, words: Mapping[str, Words]) -> dict[str, Words]:
    return {f"{prefix}.{name}": one for name, one in words.items()}


TERMS: Mapping[str, Words] = {
    **_under("cause", _CAUSES),
    **_under("phase", _PHASES),
    **_under("event", _EVENTS),
    **_under("trigger", _TRIGGERS),
    **_under("skip", _SKIPPED),
    **_under("evidence", _EVIDENCE),
    **_under("mapped", _MAPPED),
    **_under("folder", _FOLDERS),
    **_under("sign", _SIGNS),
    **_under("remark", _REMARKS),
}
