"""The words of the user page and of what all pages share, in both languages (tests refuse a missing one)."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.model.account import State
from mailferry.providers.sentences import Words

SHARED: Mapping[str, Words] = {
    "language": Words("Language", "语言"),
    "look": Words("Dark or light", "外观"),
    "look.auto": Words("As the system", "跟随系统"),
    "look.light": Words("Light", "浅色"),
    "look.dark": Words("Dark", "深色"),
    "skip": Words("To the content", "跳到正文"),
    "sign-in": Words("Sign in", "登录"),
    "sign-out": Words("Sign out", "退出登录"),
    "password": Words("Password", "密码"),
    "said.ended": Words("Your sign-in has ended: sign in again.", "登录已失效，请重新登录。"),
    "try-later": Words(
        "This could not be checked just now, which says nothing about the password. Try again in a few minutes.",
        "暂时无法验证，这不代表密码有误，请过几分钟再试。",
    ),
    "too-many": Words(
        "Too many attempts. Try again in {minutes} minutes.", "尝试次数过多，请在 {minutes} 分钟后再试。"
    ),
    "state.not_started": Words("Not started", "未开始"),
    "state.in_progress": Words("In progress", "搬家中"),
    "state.done": Words("Done", "完成"),
    "state.failed": Words("Failed", "失败"),
    "state.not_migrating": Words("Not migrating", "非搬家账号"),
    "fault.title": Words("This does not work", "无法完成"),
    "fault.400": Words("The request cannot be used.", "无法处理该请求。"),
    "fault.403": Words("You may not do that.", "您没有此操作的权限。"),
    "fault.404": Words("There is no such page.", "没有这个页面。"),
    "fault.405": Words("This page cannot be asked that way.", "该页面不支持这种请求方式。"),
    "fault.413": Words("That is too long.", "内容过长。"),
    "fault.503": Words(
        "The service cannot look this up just now. Try again in a minute.", "服务暂时无法查询，请稍后再试。"
    ),
    "back": Words("Back", "返回"),
}

USER_PAGE: Mapping[str, Words] = {
    "user.title": Words("Moving your mailbox", "邮箱搬家"),
    "user.intro": Words(
        "Your company's mail is moving to a new host. Sign in with your mail address and the password that "
        "your mail program uses, to see how far your mailbox is or to start its move.",
        "贵公司的邮箱正在迁移到新的服务器。请用邮箱地址和邮件客户端使用的密码登录，查看搬家进度或开始搬家。",
    ),
    "user.address": Words("Mail address", "邮箱地址"),
    "user.refused": Words(
        "This address and password were not accepted. Type the password that your mail program uses.",
        "邮箱地址或密码未通过验证，请输入邮件客户端使用的密码。",
    ),
    "user.messages": Words(
        "{copied} of {total} messages are at the new host.", "共 {total} 封邮件，已搬 {copied} 封。"
    ),
    "user.skipped": Words(
        "Messages that could not be copied: {skipped}. Your administrator has the list.",
        "有 {skipped} 封邮件未能搬家，管理员可查看清单。",
    ),
    "user.progress": Words("How much is copied", "搬家进度"),
    "user.copied": Words("{percent} copied.", "已完成 {percent}。"),
    "user.left": Words("about {span} left", "约剩 {span}"),
    "user.started": Words("Begun: {moment}", "开始时间：{moment}"),
    "user.finished": Words("Done since {day}", "完成日期：{day}"),
    "user.until": Words("Mailboxes are moved until {day}.", "搬家截止日期：{day}。"),
    "user.signed-in": Words("Signed in as {address}", "当前登录：{address}"),
    "user.headline.not_started": Words("Your mailbox has not been moved yet", "您的邮箱尚未搬家"),
    "user.headline.in_progress": Words("Your mailbox is being moved", "您的邮箱正在搬家"),
    "user.headline.done": Words("Your mailbox has moved", "您的邮箱已完成搬家"),
    "user.headline.failed": Words("The move has stopped", "搬家已中断"),
    "user.headline.not_migrating": Words("No mail is moved for you", "您的账号没有搬家"),
    "user.paused": Words(
        "Your administrator has paused the copying; it goes on later. Your mail program works as always.",
        "管理员已暂停搬家，稍后会继续。邮件客户端可照常使用。",
    ),
    "user.paused.mark": Words("paused", "已暂停"),
    "user.at-provider": Words("At the old provider ({provider}):", "在原服务商（{provider}）："),
    "user.not_started": Words(
        "The move has not started. It starts by itself when you sign in with the old mailbox's password, "
        "here or in your mail program.",
        "搬家尚未开始。用原邮箱密码在此处或邮件客户端登录后会自动开始。",
    ),
    "user.in_progress": Words(
        "Go on using your mail program as always; there is nothing to change. This page keeps itself up to date.",
        "请照常使用邮件客户端，无需更改任何设置。本页会自动更新。",
    ),
    "user.done": Words(
        "Your mailbox is at the new host. Your password is the same and no setting needs to change.",
        "您的邮箱已迁移到新服务器，密码不变，也无需更改设置。",
    ),
    "user.failed": Words(
        "The move is not going on at the moment. Your mail stays readable meanwhile.",
        "搬家暂时中断，期间邮件仍可正常收取。",
    ),
    "user.not_migrating": Words(
        "You use a password of the new host, so nothing is moved. If you had a mailbox at the old host, "
        "start its move below.",
        "您使用的是新服务器的密码，因此没有搬家。如果您在原服务器有邮箱，可在下方开始搬家。",
    ),
    "user.what-to-do": Words("What to do", "处理办法"),
    "user.nobody-acts": Words(
        "You need not do anything; it goes on by itself.", "您无需操作，稍后会自动继续。"
    ),
    "user.administrator-acts": Words(
        "Your administrator sees this too and has to act.", "管理员也能看到该情况，需由管理员处理。"
    ),
    "user.window-over": Words(
        "The time for moving mailboxes is over. Your mail program works as before; "
        "for anything else ask your administrator.",
        "搬家期限已过。邮件客户端可照常使用，其他问题请联系管理员。",
    ),
    "user.start.title": Words("Start the move", "开始搬家"),
    "user.start.old-address": Words("Old mail address", "原邮箱地址"),
    "user.start.old-hint": Words("Leave it empty if it is the same.", "与现在的地址相同时请留空。"),
    "user.start.old-password": Words("Password of the old mailbox", "原邮箱密码"),
    "user.start.button": Words("Start", "开始"),
    "user.start.refused": Words(
        "The old host did not accept this password. Use the password or the client authorization code of the "
        "old mailbox.",
        "原服务器未接受该密码，请使用原邮箱的密码或客户端授权码。",
    ),
    "user.again.title": Words("Try again", "重试"),
    "user.again.button": Words("Try again", "重试"),
    "user.said.started": Words("The move has started.", "搬家已开始。"),
    "user.said.again": Words("It is tried again now.", "正在重试。"),
    "user.help": Words(
        "You will not be asked for this password by mail or telephone.",
        "我们不会通过邮件或电话索取您的密码。",
    ),
}


def state_key(state: State | str) -> str:
    """Return the key of the words for a state."""
    return f"state.{State(state).value}"
