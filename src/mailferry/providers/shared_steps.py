"""Steps of a checklist that are the same at many providers; a profile names them by id alone."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.providers.sentences import Words

SHARED_STEPS: Mapping[str, Words] = {
    "imap_on": Words(
        "Switch IMAP and POP3 on for all users at the old provider.",
        "在原邮箱后台为全员开启 IMAP 和 POP3 服务。",
    ),
    "dns_waits": Words(
        "Leave the DNS as it is until the first copy has been made: some providers limit logins after the change.",
        "首次复制完成之前不要修改域名解析：部分服务商在解析切换后会限制登录。",
    ),
    "outlook": Words(
        "Test one account with Outlook over IMAP: old mail must be there, and messages must have bodies.",
        "用 Outlook 以 IMAP 方式测试一个账号：能看到历史邮件，且邮件正文不为空。",
    ),
}
