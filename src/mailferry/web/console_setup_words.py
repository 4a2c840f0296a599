"""The words of the console's pages about domains: setting one up, its rules, its tests."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.providers.sentences import Words

SETUP: Mapping[str, Words] = {
    "domain.add": Words("Add a domain", "添加域名"),
    "domain.none": Words("No domain yet.", "尚无域名。"),
    "domain.rules": Words("Rules", "规则"),
    "domain.rules-of": Words("Rules of {name}", "{name} 的规则"),
    "domain.open": Words("open until {until}", "开放至 {until}"),
    "domain.over": Words("over since {until}", "已于 {until} 结束"),
    "domain.window-opened": Words("Window opened", "期限开始"),
    "domain.paused": Words("paused", "已暂停"),
    "domain.is-blocked": Words("blocked", "已停止"),
    "domain.blocked": Words(
        "blocked since {since}: the old host takes any password",
        "自 {since} 起已停止：原邮箱服务器接受任意密码",
    ),
    "domain.refused": Words(
        "The old host refuses the whole domain: {count} accounts with passwords that it took before. "
        'Mail programs are told "later", not "wrong password".',
        "原邮箱服务器拒绝整个域名：{count} 个账号此前有效的密码被拒绝。邮件程序收到的是“稍后再试”，而不是“密码错误”。",
    ),
    "domain.refused.switch": Words(
        "{count} accounts can be served from the new host now: their password is there.",
        "{count} 个账号的密码已设置到新服务器，可立即改由新服务器服务。",
    ),
    "domain.refused.never": Words(
        "{count} accounts have never logged in, so that nothing of them is here yet.",
        "{count} 个账号从未登录，尚未开始搬家。",
    ),
    "domain.refused.list": Words("Which ones", "查看名单"),
    "domain.refuses": Words("refuses a made-up password", "拒绝随意编造的密码"),
    "domain.takes-any": Words("takes any password", "接受任意密码"),
    "domain.variants": Words("; the source accepts variants: {which}", "；原服务器接受变体密码：{which}"),
    "domain.never-verified": Words("Never logged in", "从未登录"),
    "domain.configured-target": Words("as configured", "按配置"),
    "domain.see-accounts": Words("Its accounts", "查看账号"),
    "domain.confirm": Words("Type the domain's name to confirm.", "请输入域名以确认。"),
    "domain.type-name": Words("Type the domain's name to confirm", "输入域名以确认"),
    "domain.switch.why": Words(
        "All accounts whose password is at the new host are served from there from now on; what is not copied "
        "yet follows. Open sessions end. With many accounts this takes a while.",
        "密码已设置到新服务器的账号将即刻改由新服务器服务，未复制的邮件随后补齐；打开的会话会断开。账号较多时需要一些时间。",
    ),
    "domain.switched": Words(
        "{count} accounts live on the new host now.", "{count} 个账号已由新服务器服务。"
    ),
    "domain.switch-more": Words(
        "More accounts are waiting: they are taken in turns, so that no page keeps you waiting for long.",
        "还有账号等待切换：为避免页面等待过久，系统分批处理。",
    ),
    "domain.switch-on": Words("Go on with the next ones", "继续处理下一批"),
    "domain.stay": Words("{count} stay for now", "{count} 个暂不切换"),
    "domain.remove.why": Words(
        "Forgets the domain with its accounts and passwords. No mail is touched at either host.",
        "移除域名及其账号和密码记录，两边服务器上的邮件不受影响。",
    ),
    "domain.remove.force": Words("Also when accounts have begun to move", "即使已有账号开始搬家"),
    "rule.name.hint": Words(
        "The part behind the @, such as example.com.", "@ 之后的部分，例如 example.com。"
    ),
    "rule.source": Words("Old host", "原服务器"),
    "rule.source.hint": Words(
        "imaps://imap.example.com, or pop3s:// where there is POP3 only. Empty: detection fills it in.",
        "imaps://imap.example.com；仅有 POP3 时填 pop3s://。留空可由检测填写。",
    ),
    "rule.source_pop3": Words("Old host for POP3", "原 POP3 服务器"),
    "rule.source_pop3.hint": Words(
        "pop3s://pop.example.com, if users have POP3.", "如有 POP3 用户，填写 pop3s://pop.example.com。"
    ),
    "rule.window_days": Words("Window in days", "搬家期限（天）"),
    "rule.window_days.hint": Words(
        "A move begins with a login inside of it.", "期限内登录的账号会开始搬家。"
    ),
    "rule.more": Words("More rules", "更多规则"),
    "rule.target": Words("New host, if not the configured one", "新服务器（与配置不同时填写）"),
    "rule.target.hint": Words("Our master password is sent there.", "主密码会发送到该服务器。"),
    "rule.target_pop3": Words("New host for POP3", "新 POP3 服务器"),
    "rule.login_form": Words("Login name at the old host", "原服务器登录名形式"),
    "rule.login_form.hint": Words(
        "full (the address), local (the part before the @), or a template with {local}, {domain} or {address}.",
        "full（完整地址）、local（@ 之前的部分），或带 {local}、{domain}、{address} 的模板。",
    ),
    "rule.switch": Words("Switch", "切换方式"),
    "rule.switch.when-copied": Words("when all mail is copied", "全部复制完后切换"),
    "rule.switch.at-once": Words("at the first login, history follows", "首次登录立即切换，历史邮件随后补齐"),
    "rule.language": Words("Language for users", "用户语言"),
    "rule.language.both": Words("Both languages", "中英双语"),
    "rule.language.zh": Words("Chinese", "中文"),
    "rule.language.en": Words("English", "英文"),
    "rule.only_listed": Words("Move listed accounts only", "只搬列出的账号"),
    "rule.accept_plaintext": Words("Accept a link without TLS", "允许不加密的连接"),
    "rule.push_from_plaintext": Words(
        "Set passwords that came over such a link", "允许设置经不加密连接验证的密码"
    ),
    "rule.uses_codes": Words("Users log in with authorization codes", "用户使用客户端授权码登录"),
    "rule.push_codes": Words("Set such a code at the new host", "将授权码设置为新服务器密码"),
    "setup.detect": Words("Find out what the old host is", "检测原服务器类型"),
    "setup.test": Words("Test the connection with a real login", "用真实账号测试连接"),
    "setup.add": Words("Add the domain", "添加域名并开放期限"),
    "setup.is": Words("The old host is {name}.", "原服务器：{name}"),
    "setup.one-of": Words(
        "The old host is one of {names}: choose below.", "原服务器可能是 {names}，请在下方选择。"
    ),
    "setup.unknown": Words(
        "Nothing known fits; any standard server works as generic.",
        "未识别出具体服务商，标准服务器可按 generic 使用。",
    ),
    "setup.contradicted": Words(
        "Something speaks for another system: has the DNS been changed already?",
        "有些迹象指向其他系统：解析是否已经修改？",
    ),
    "setup.no-passwords": Words(
        "This provider lets no mail program in with a password.", "该服务商不允许邮件程序用密码登录。"
    ),
    "setup.against": Words("against it", "不一致"),
    "setup.silent": Words("not found out", "未能获知"),
    "setup.checklist": Words("At the old provider, before the move", "搬家前请在原服务商处确认"),
    "setup.mx": Words("Mail exchanger from before the DNS change", "修改解析之前的 MX 记录"),
    "setup.mx.hint": Words(
        "Only if the DNS points to the new host already.", "仅当解析已指向新服务器时填写。"
    ),
    "setup.test.why": Words(
        "Logs in at the old host as this user, looks around, reads a few messages and changes nothing.",
        "以该用户身份登录原服务器，查看并试读少量邮件，不做任何更改。",
    ),
    "setup.account": Words("An account to log in with", "测试账号"),
    "setup.password.hint": Words("Used for this test and not kept.", "仅用于本次测试，不会保存。"),
    "setup.add.why": Words(
        "From then on a login of its users through mailferry starts their move.",
        "添加后，用户经 mailferry 登录即开始搬家。",
    ),
    "test.well": Words("Nothing speaks against the move", "可以搬家"),
    "test.faults": Words("It cannot be moved from as things stand", "目前无法搬家"),
    "test.mapping": Words("What becomes of the mailboxes", "文件夹对应关系"),
    "test.at-source": Words("At the old host", "原文件夹"),
    "test.at-target": Words("At the new host", "新文件夹"),
    "test.left-out": Words("left out", "不复制"),
}
