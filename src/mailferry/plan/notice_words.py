"""What users read in a notice, in English and simplified Chinese; plain text and the same as simple HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mailferry.model.causes import Cause
from mailferry.plan.notices import UserNotice
from mailferry.providers.sentences import user_advice

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class MoveFacts:
    """What a notice tells of an account. Dates are days such as `2026-12-01`, None where there is none."""

    address: str
    copied: int = 0
    skipped: int = 0
    window_ends: str | None = None
    same_password: bool = True
    """Whether the password that the user logs in with is known to open the new mailbox."""
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a user, before it has headers."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One language's words: a heading, sentences, points of a list, a last line."""

    language: str
    subject: str
    sentences: Sequence[str]
    points: Sequence[str]
    last: str


def letter(kind: UserNotice, facts: MoveFacts, language: str) -> Letter:
    """Return the words of one notice; `language` is the domain's: `en`, `zh` or `both`."""
    chosen = LANGUAGES if language == "both" else (language,)
    parts = [_WORDS[kind, one](facts) for one in chosen]
    return Letter(
        " / ".join(part.subject for part in parts),
        "\r\n".join("\r\n".join(_lines(part)) for part in parts),
        _html(parts),
    )


def _lines(part: _Part) -> list[str]:
    points = [f"- {point}" for point in part.points]
    body = [line for sentence in part.sentences for line in (sentence, "")]
    return [part.subject, "", *body, *points, *([""] if points else []), part.last, ""]


def _html(parts: Sequence[_Part]) -> str:
    pieces = []
    for part in parts:
        lang = "zh-CN" if part.language == "zh" else part.language
        points = "".join(f"<li>{escape(point)}</li>" for point in part.points)
        pieces.append(
            f'<div lang="{lang}"><h2>{escape(part.subject)}</h2>'
            + "".join(f"<p>{escape(sentence)}</p>" for sentence in part.sentences)
            + (f"<ul>{points}</ul>" if points else "")
            + f"<p>{escape(part.last)}</p></div>"
        )
    return f"<!DOCTYPE html><html><body>{'<hr>'.join(pieces)}</body></html>"


_LAST = {
    "en": "This message was made by the program that moves the mailboxes; nobody reads answers to it.",
    "zh": "本邮件由邮箱搬家程序自动发送，请勿回复。",
}
_NOTHING_TO_CHANGE = {
    "en": "Your password is the same as before. Nothing has to be changed in Foxmail, Outlook, on your phone or "
    "anywhere else.",
    "zh": "密码与原来相同。Foxmail、Outlook、手机等客户端的设置都不需要修改。",
}
_NEW_PASSWORD = {
    "en": "If a mail program asks for a password, type the one of your new mailbox. Nothing else has to be changed.",
    "zh": "如果客户端提示输入密码，请输入新邮箱的密码。其他设置都不需要修改。",
}


def _password(facts: MoveFacts, language: str) -> str:
    return (_NOTHING_TO_CHANGE if facts.same_password else _NEW_PASSWORD)[language]


def _done_en(facts: MoveFacts) -> _Part:
    points = [
        _password(facts, "en"),
        "Programs that use IMAP (most phones, Outlook) load their list of messages once again.",
        "Programs that use POP3 download nothing again.",
    ]
    if facts.window_ends is not None:
        points.append(
            f"Mail that still reaches the old server is brought here by itself until {facts.window_ends}."
        )
    if facts.skipped:
        points.append(f"{facts.skipped} messages could not be brought over; your administrator has the list.")
    sentence = f"The mailbox {facts.address} is now on the new server, with {facts.copied} messages."
    return _Part("en", "Your mailbox has moved", [sentence], points, _LAST["en"])


def _done_zh(facts: MoveFacts) -> _Part:
    points = [
        _password(facts, "zh"),
        "使用 IMAP 的客户端（多数手机、Outlook）会重新加载一次邮件列表。",
        "使用 POP3 的客户端不会重复下载邮件。",
    ]
    if facts.window_ends is not None:
        points.append(f"在 {facts.window_ends} 之前，仍然发到原服务器的邮件会自动转到这里。")
    if facts.skipped:
        points.append(f"有 {facts.skipped} 封邮件无法搬过来，管理员那里有清单。")
    sentence = f"邮箱 {facts.address} 已经搬到新服务器，共 {facts.copied} 封邮件。"
    return _Part("zh", "邮箱搬家已完成", [sentence], points, _LAST["zh"])


def _started_en(facts: MoveFacts) -> _Part:
    points = [
        _password(facts, "en"),
        "Your older mail is being copied, the newest first; messages and folders appear here by themselves.",
        "Nothing is deleted at the old server.",
    ]
    sentence = f"The mailbox {facts.address} is served by the new server from now on."
    return _Part("en", "Your mailbox is moving", [sentence], points, _LAST["en"])


def _started_zh(facts: MoveFacts) -> _Part:
    points = [
        _password(facts, "zh"),
        "历史邮件正在复制，从最新的开始，邮件和文件夹会自动陆续出现。",
        "原服务器上的邮件不会被删除。",
    ]
    sentence = f"邮箱 {facts.address} 从现在起由新服务器提供服务。"
    return _Part("zh", "邮箱正在搬家", [sentence], points, _LAST["zh"])


def _failed_en(facts: MoveFacts) -> _Part:
    points = [
        "New mail arrives here as usual, and you can go on working.",
        "Nothing is lost: what is not here yet is still at the old server.",
        "Your administrator can see the reason.",
    ]
    sentences = [f"The older mail of {facts.address} has stopped arriving here."]
    if facts.cause is not None:
        sentences.append(user_advice(facts.cause)["en"])
    return _Part("en", "Your older mail is not complete yet", sentences, points, _LAST["en"])


def _failed_zh(facts: MoveFacts) -> _Part:
    points = [
        "新邮件照常接收，可以继续使用。",
        "邮件没有丢失：尚未搬来的邮件仍在原服务器上。",
        "管理员可以在后台看到原因。",
    ]
    sentences = [f"{facts.address} 的历史邮件暂时停止搬运。"]
    if facts.cause is not None:
        sentences.append(user_advice(facts.cause)["zh"])
    return _Part("zh", "历史邮件尚未搬完", sentences, points, _LAST["zh"])


_WORDS = {
    (UserNotice.DONE, "en"): _done_en,
    (UserNotice.DONE, "zh"): _done_zh,
    (UserNotice.STARTED, "en"): _started_en,
    (UserNotice.STARTED, "zh"): _started_zh,
    (UserNotice.FAILED, "en"): _failed_en,
    (UserNotice.FAILED, "zh"): _failed_zh,
}
