"""The Chinese of what other rooms tell in English: refusals, faults of files and forms, failures of connections.

Such a sentence is made far below the pages, logged and partly kept in the store; its English is the record,
and the key here, as in any message catalogue (`web/telling.py` finds it; tests refuse one that is missing).
In `{state}` and `{phase}` stands a word with a name of its own, in `{why}` another sentence of this kind, in
`{reason}` one or anybody's words, in `{name}` nothing with a blank.
"""

from __future__ import annotations

from collections.abc import Mapping

ROSTER: Mapping[str, str] = {
    "there is no account {address} yet; it appears with its first login, or by account import": (
        "没有账号 {address}：用户首次登录或导入名单后才会出现"
    ),
    "there is no domain {name}; add it with domain add": "没有域名 {name}，请先添加",
    "{address} is no account's address: {why}": "{address} 不是账号地址：{why}",
    "{name} may not do this; ask an owner": "{name} 没有此权限，请联系所有者",
    "{address} has not logged in yet, and no password was imported for it": "{address} 尚未登录，也没有为其导入密码",
    "{address} is {state}: there is nothing to try again": "{address} 当前为“{state}”，没有可重试的内容",
    "nothing of {address} waits for approval": "{address} 没有待批准的内容",
    "{address} is {state}: a reset is for accounts that are not migrating "
    "or whose password was changed at the target": (
        "{address} 当前为“{state}”：只有非搬家账号，或已在新服务器修改密码的账号，才能重置"
    ),
    "{address} is {state} already: only an account that has not begun to move "
    "can be excluded; a pause stops its copy": (
        "{address} 当前为“{state}”：只有尚未开始搬家的账号才能设为无需搬家；如需停止复制，请暂停"
    ),
    "{address} is {state} (phase {phase}): the old mailbox's password is not needed": (
        "{address} 当前为“{state}”（{phase}）：不需要原邮箱密码"
    ),
    "the window of {domain} is over and its key destroyed; re-open it with domain extend": (
        "{domain} 的搬家期限已过，密钥已销毁，请先延长期限"
    ),
    "{path} does not open: is it a key file, and the service key that of before?": (
        "{path} 无法打开：它是密钥文件吗？服务密钥是否更换过？"
    ),
    "{address} is in phase {phase}; only accounts that are served by the source "
    "and have begun to move (PRECOPY, BLOCKED) can be switched": (
        "{address} 当前阶段为“{phase}”：只有已开始搬家、仍由原服务器服务的账号才能切换"
    ),
    "{address}: its password was never set at the target, so the user could not log in there; "
    "let the user log in once, or force it": (
        "{address}：新服务器上尚未设置其密码，切换后用户无法登录；请让用户登录一次，或强制切换"
    ),
    "{address} has just changed by itself; look at it again": "{address} 的状态刚刚发生变化，请重新查看",
    "{address}: {sessions} sessions are still open after {seconds} seconds; try again in a quiet moment": (
        "{address}：{seconds} 秒后仍有 {sessions} 个会话未断开，请在空闲时重试"
    ),
    "no switch of a domain ended there": "没有在此处中断的域名切换",
    "domain {name} is there already; change it with domain set": "域名 {name} 已存在，请修改其规则",
    "{key} cannot be set; the window is changed by domain extend": "{key} 不能修改；期限请通过延长来更改",
    "a window is extended by 1 to {days} days": "期限可延长 1 到 {days} 天",
    "{count} accounts of {domain} have begun to move; what was copied would no longer be known. "
    "Force it only when the move is over or was never meant": (
        "{domain} 有 {count} 个账号已开始搬家，移除后将不再知道已复制的内容。仅在搬家已结束或无需搬家时强制移除"
    ),
    "process {number} is alive; end it, and declare it dead when it has been silent for {seconds} seconds": (
        "进程 {number} 仍在运行：请先结束它，待其 {seconds} 秒无响应后再宣告失效"
    ),
    "this message of {address} is not on the list of skipped ones any more": (
        "{address} 的这封邮件已不在未复制清单中"
    ),
    "there is no {what} {word}; known are {known}": "没有 {what} {word}，可用的有：{known}",
    "there is no sign-in {name}": "没有登录账户 {name}",
    "nobody removes the sign-in that is used just now": "不能移除正在使用的登录账户",
    "type a password of 1 to 255 octets": "请输入 1 到 255 字节的密码",
    "a console password has at least {shortest} characters": "管理台密码至少 {shortest} 个字符",
    "an owner has all domains; name domains (--domain) for domain-admin, and for reader if you like": (
        "所有者拥有全部域名；域名管理员须填写域名，只读角色可选填"
    ),
    "a {kind}'s name has letters, digits and . _ @ - and at most 64 of them": (
        "名称只能包含字母、数字和 . _ @ -，最多 64 个字符"
    ),
    "there is no token {name}": "没有令牌 {name}",
    "there is a token {name} already; remove it first": "令牌 {name} 已存在，请先移除",
    "a token needs a scope: read, write or login": "令牌至少需要一种权限：read、write 或 login",
    "a token is good for 1 to {days} days": "令牌有效期为 1 到 {days} 天",
    "{event} does not apply to an account in phase {phase}": "账号当前阶段为“{phase}”，不适用 {event}",
    "the account is now in phase {phase}, epoch {epoch}": "账号状态已变化，当前阶段为“{phase}”，请重新查看",
    "the account is held for its cutover": "账号正在切换，请稍后再试",
    "{sessions} sessions are still open": "仍有 {sessions} 个会话未断开",
    "{address}: epoch {stored} in the store, {seen} seen": "{address} 的状态刚刚发生变化，请重新查看",
    "{address}: the deadline of its freeze has passed": "{address} 的冻结已超时",
}

FILES: Mapping[str, str] = {
    "the quotes do not match up ({reason})": "引号不匹配（{reason}）",
    "the file is empty": "文件为空",
    "there is no account below the header": "表头下面没有账号",
    "unknown column; known are target, source and password": "未知的列，可用：target、source、password",
    "this column stands there twice": "该列重复出现",
    "the first line must name a column target (搬家帐号)": "第一行必须有 target（搬家帐号）列",
    "{address} stands in line {line} already": "{address} 已在第 {line} 行出现",
    "there are more cells than the header has columns": "单元格数多于表头的列数",
    "longer than {octets} octets": "超过 {octets} 字节",
    "holds a line break, tab or other control character": "含有换行、制表符或其他控制字符",
    "holds a control character": "含有控制字符",
    "cannot be read; save the file as UTF-8": "无法识别，请将文件另存为 UTF-8",
    "the window of {name} is over; re-open it with domain extend": "{name} 的搬家期限已过，请先延长期限",
    "an empty login name": "登录名为空",
    "a control, invisible or blank character in the login name": "登录名含有控制字符、不可见字符或空格",
    "a master-user separator in the login name": "登录名含有主用户分隔符（* 或 %）",
    "a login name without a domain": "登录名缺少域名",
    "a login name is local-part@domain": "登录名的格式为 用户名@域名",
    "a domain name that cannot be": "域名无效",
    "a login name longer than an address can be": "登录名超过邮箱地址的最大长度",
}

FORMS: Mapping[str, str] = {
    "{name} is too long": "{name} 过长",
    "{name} is not UTF-8": "{name} 不是 UTF-8 编码",
    "{name} is not a number": "{name} 不是数字",
    "{name} holds a control character": "{name} 含有控制字符",
    "a form is expected": "需要提交表单",
    "the form is too long": "表单过长",
    "the form has too many fields": "表单字段过多",
    "a file is expected": "需要上传文件",
    "the file is over {size} MiB; split it": "文件超过 {size} MiB，请拆分",
    "the upload broke off or is no form": "上传中断或格式不正确",
    "choose a file first": "请先选择文件",
    "there is no such action": "没有这个操作",
    "there is no such button": "没有这个按钮",
    "there is no such order": "没有这种排序方式",
    "there is no such role": "没有这个角色",
    "there is no such span": "没有这个时间范围",
    "before is the number of a row": "before 应为行号",
    "is missing": "必须填写",
    "write a whole number": "请填写整数",
    "write true or false": "请填写 true 或 false",
    "write a domain such as example.com": "请填写域名，例如 example.com",
    "write an address such as imaps://mail.example.com": "请填写地址，例如 imaps://mail.example.com",
    "write an imaps:// or imap:// address": "请填写 imaps:// 或 imap:// 地址",
    "write a pop3s:// or pop3:// address": "请填写 pop3s:// 或 pop3:// 地址",
    "a provider is the id of a profile, such as netease_qiye or generic": (
        "服务商应为配置名，例如 netease_qiye 或 generic"
    ),
    "no profile {name}; known are {known}": "没有服务商配置 {name}，可用的有：{known}",
    "write full, local, or a template with {{local}}, {{domain}} or {{address}}": (
        "请填写 full、local，或带 {{local}}、{{domain}}、{{address}} 的模板"
    ),
    "a template holds {{local}} or {{address}} and no control characters": (
        "模板须含有 {{local}} 或 {{address}}，且不含控制字符"
    ),
    "source is a POP3 address already; source_pop3 goes with an IMAP one": (
        "原服务器已是 POP3 地址；原 POP3 服务器仅在原服务器为 IMAP 时填写"
    ),
    "push_from_plaintext = true needs accept_plaintext = true": (
        "设置经不加密连接验证的密码，须先允许不加密的连接"
    ),
    "push_codes = true needs uses_codes = true": "将授权码设置为新服务器密码，须先选择用户使用客户端授权码登录",
    "{server} would send passwords in clear to another machine; use {protocol}s:// "
    "or {protocol_again}:// with STARTTLS, or set accept_plaintext = true": (
        "{server} 会以明文向另一台机器发送密码：请使用 {protocol}s:// 或带 STARTTLS 的 {protocol_again}://，"
        "或允许不加密的连接"
    ),
    "{url}: {why}": "{url}：{why}",
    "{url}: an address begins with imaps://, imap://, pop3s:// or pop3://": (
        "{url}：地址应以 imaps://、imap://、pop3s:// 或 pop3:// 开头"
    ),
    "{url}: the host name is missing or has blanks in it": "{url}：缺少主机名，或主机名含有空格",
    "{url}: only host, port and options belong into an address": "{url}：地址只能包含主机、端口和选项",
    "{url}: unknown option {option}; known are {known}": "{url}：未知选项 {option}，可用的有：{known}",
    "{url}: the only value of tls is none, and only with imap:// or pop3://": (
        "{url}：tls 只能为 none，且仅用于 imap:// 或 pop3://"
    ),
    "{url}: a pin is written sha256: and 64 hex digits": "{url}：pin 的格式为 sha256: 加 64 位十六进制数字",
    "{url}: legacy_tls is yes or no": "{url}：legacy_tls 应为 yes 或 no",
}

CONNECTIONS: Mapping[str, str] = {
    "{server}: {why}": "{server}：{why}",
    "{server}: the TLS handshake did not end within {seconds} s": "{server}：TLS 握手未在 {seconds} 秒内完成",
    "{server}: no answer within {seconds} s": "{server}：{seconds} 秒内没有响应",
    "{server}: no login within {seconds} s": "{server}：{seconds} 秒内未完成登录",
    "{server}: {why} during the login": "{server}：登录过程中{why}",
    "{why} during {command}": "执行 {command} 时{why}",
    "the peer closed the connection": "对方关闭了连接",
    "closed by us": "本机关闭了连接",
    "the connection was lost": "连接中断",
    "TLS failed: {reason}": "TLS 失败：{reason}",
    "the host name does not resolve (DNS)": "主机名无法解析（DNS）",
    "{host} is no host name": "{host} 不是主机名",
    "{address} is in a private network that allow_networks does not name": (
        "{address} 属于内部网络，allow_networks 未允许"
    ),
    "connection refused": "连接被拒绝",
    "no answer": "没有响应",
    "cannot dial from our own address: {reason}": "无法使用本机地址发起连接：{reason}",
    "{server}: the server sent octets before TLS was there": "{server}：服务器在 TLS 建立之前发送了数据",
    "{server}: cannot read the authorities in {file}: {reason}": "{server}：无法读取 {file} 中的证书颁发机构：{reason}",
    "it holds no certificate": "其中没有证书",
    "the server sent no certificate": "服务器未提供证书",
    "the server's certificate is another than the pinned one: sha256:{found}": (
        "服务器证书与固定的证书不符：sha256:{found}"
    ),
    "the server's certificate is not for {name} (?name=HOST names another)": (
        "服务器证书不是签发给 {name} 的（可用 ?name=主机名 指定其他名称）"
    ),
    "the server's certificate was not accepted (X.509 error {fault})": "服务器证书未通过验证（X.509 错误 {fault}）",
    "the server's certificate is not valid yet": "服务器证书尚未生效",
    "the server's certificate has expired": "服务器证书已过期",
    "the server's certificate is self-signed (?pin=sha256:... accepts exactly this one)": (
        "服务器证书是自签名的（可用 ?pin=sha256:... 仅接受该证书）"
    ),
    "the server's certificate comes from an unknown authority (?ca=FILE names it)": (
        "服务器证书由未知机构签发（可用 ?ca=文件 指定）"
    ),
    "the server's certificate was revoked": "服务器证书已被吊销",
    "the server's certificate is not meant for servers": "该证书不能用于服务器",
    "the server closed the connection during the TLS handshake": "服务器在 TLS 握手过程中关闭了连接",
    "the server offers no TLS version that we accept (?legacy_tls=yes takes old ones)": (
        "服务器不提供可接受的 TLS 版本（?legacy_tls=yes 可接受旧版本）"
    ),
    "the server failed inside its own TLS": "服务器自身的 TLS 出错",
    "the server offers no cipher that we accept (?legacy_tls=yes takes old ones)": (
        "服务器不提供可接受的加密算法（?legacy_tls=yes 可接受旧算法）"
    ),
    "the server's key exchange is too weak (?legacy_tls=yes takes it)": (
        "服务器的密钥交换强度不足（?legacy_tls=yes 可接受）"
    ),
    "the server's key is too small (?legacy_tls=yes takes it)": "服务器的密钥过短（?legacy_tls=yes 可接受）",
    "the server's TLS is too old (?legacy_tls=yes takes it)": "服务器的 TLS 过旧（?legacy_tls=yes 可接受）",
    "the server does not speak TLS at this place (wrong port, or STARTTLS instead)": (
        "服务器在此端口不使用 TLS（端口有误，或应使用 STARTTLS）"
    ),
    "the session was closed on our side": "会话已由本机关闭",
    "no reply to {command} in {seconds} s": "{seconds} 秒内没有回复 {command}",
    "no answer to {command} in {seconds} s": "{seconds} 秒内没有响应 {command}",
    "the server's reply is no POP3: {reason}": "服务器的回复不符合 POP3 协议：{reason}",
    "the server's answer is no IMAP: {reason}": "服务器的响应不符合 IMAP 协议：{reason}",
    "the server sent a line without end": "服务器发送的行过长",
    "the server sent an answer larger than any honest one": "服务器的响应过大",
    "an answer to a command that was never sent": "服务器响应了从未发送的命令",
    "an answer to a command that was not sent whole": "服务器响应了尚未发送完的命令",
    "the server opened a mailbox without EXISTS or UIDVALIDITY": "服务器打开文件夹时未提供 EXISTS 或 UIDVALIDITY",
    "a FETCH answer is unsound: {reason}": "FETCH 响应有误：{reason}",
    "a FETCH answer with two bodies": "FETCH 响应含有两个正文",
    "a FETCH answer of too many literals": "FETCH 响应含有过多的数据块",
    "the server broke the protocol: {reason}": "服务器不符合协议：{reason}",
}

REFUSALS: Mapping[str, str] = {**ROSTER, **FILES, **FORMS}
