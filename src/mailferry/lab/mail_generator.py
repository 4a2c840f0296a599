"""Realistic mail, the same for the same seed: what twenty years of mail programs left in a company's mailboxes.

Nested MIME, GB18030 and UTF-8 headers, raw 8-bit headers and bodies, attachments, identical twins,
pairs with one header and two bodies, odd INTERNALDATEs, empty bodies, long lines, nested mailboxes
with Chinese names, flags and keywords.
"""

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from mailferry.lab.mailstore import INBOX, Mailstore
from mailferry.lab.names import encode_name

_CRLF = b"\r\n"
_PEOPLE = ("王小明", "李雷", "韩梅梅", "Zoë Müller", "John O'Neil", "陈经理", "财务部", "Иван Петров")
_SUBJECTS = (
    "Re: 关于第三季度报表的说明",
    "会议纪要（请查收）",
    "Fwd: Invoice 2023-118",
    "您的订单已发货",
    "Ünïcödé – Angebot",
    "weekly build report",
    "【通知】系统维护",
    "",
)
_LORE = (
    "请 见 附件 报表 合同 会议 时间 确认 谢谢 客户 项目 进度 付款 the meeting report please find attached "
    "regards invoice number schedule tomorrow draft version contract project"
)
_WORDS = _LORE.split()
_ZONES = (8 * 60, 0, -7 * 60, 5 * 60 + 30, -3 * 60 - 30, 12 * 60 + 45)
_FLAGS = (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Draft")
_KEYWORDS = (b"$Forwarded", b"$Label1", b"NonJunk", b"Projekt-X", b"$MDNSent")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to be laid into a mailbox."""

    octets: bytes
    flags: frozenset[bytes]
    internal_date: datetime


@dataclass(frozen=True, slots=True)
class Shelf:
    """A mailbox that a generated account has: readable path, role, and its share of the mail."""

    path: tuple[str, ...]
    role: bytes | None = None
    share: int = 1
    subscribed: bool = True


SHELVES = (
    Shelf(("INBOX",), share=8),
    Shelf(("Sent Messages",), b"\\Sent", 4),
    Shelf(("Drafts",), b"\\Drafts"),
    Shelf(("Deleted Messages",), b"\\Trash"),
    Shelf(("Junk",), b"\\Junk", subscribed=False),
    Shelf(("项目",), share=2),
    Shelf(("项目", "客户 A&B"), share=2),
    Shelf(("项目", "客户 A&B", "2019 归档")),
    Shelf(("合同与发票",), share=2),
    Shelf(("Übersicht", 'ein "Zitat"')),
    Shelf(("leer",), share=0),
    Shelf(("日本語 メール",)),
)
"""Twelve mailboxes, one of them empty."""


class MailGenerator:
    """Makes messages from a seed; two generators with one seed make the same octets."""

    def __init__(self, seed: int = 1, *, domain: str = "example.test") -> None:
        self._random = random.Random(seed)
        self._domain = domain
        self._count = 0
        self._last: Mail | None = None
        self._kinds: tuple[Callable[[], bytes], ...] = (
            self._plain_utf8, self._plain_utf8, self._gb18030, self._raw_eight_bit, self._quoted_printable,
            self._alternative, self._attachment, self._attachment, self._nested, self._forwarded,
            self._empty_body, self._long_line, self._dots, self._no_last_newline,
        )  # fmt: skip

    def mails(self, count: int) -> Iterator[Mail]:
        """Yield `count` messages, among them twins and pairs that differ in the body only."""
        for _ in range(count):
            yield self.mail()

    def mail(self) -> Mail:
        """Return one more message."""
        self._count += 1
        last = self._last
        chance = self._random.random()
        if last is not None and chance < 0.03:
            return Mail(last.octets, last.flags, last.internal_date)
        if last is not None and chance < 0.06 and b"\r\n\r\n" in last.octets:
            head = last.octets.partition(b"\r\n\r\n")[0]
            body = self._text(2).encode() + _CRLF
            return Mail(head + b"\r\n\r\n" + body, self._marks(), self._date())
        mail = Mail(self._random.choice(self._kinds)(), self._marks(), self._date())
        self._last = mail
        return mail

    def fill(self, store: Mailstore, count: int, *, shelves: tuple[Shelf, ...] = SHELVES) -> None:
        """Make the shelves in `store` and lay `count` messages on them."""
        names = []
        for shelf in shelves:
            name = store.delimiter.join(encode_name(part) for part in shelf.path)
            if name != INBOX and store.find(name) is None:
                store.create(name, role=shelf.role)
            if shelf.subscribed:
                store.subscriptions.add(name)
            names.append(name)
        weights = [shelf.share for shelf in shelves]
        for mail, name in zip(
            self.mails(count), self._random.choices(names, weights=weights, k=count), strict=True
        ):
            store.deliver(mail.octets, mailbox=name, flags=mail.flags, internal_date=mail.internal_date)

    # pieces

    def _marks(self) -> frozenset[bytes]:
        flags = {flag for flag in _FLAGS if self._random.random() < 0.3}
        if self._random.random() < 0.2:
            flags.add(self._random.choice(_KEYWORDS))
        return frozenset(flags)

    def _date(self) -> datetime:
        zone = timezone(timedelta(minutes=self._random.choice(_ZONES)))
        odd = self._random.random()
        if odd < 0.02:
            return datetime(1970, 1, 2, 0, 0, 1, tzinfo=UTC)
        if odd < 0.04:
            return datetime(2038, 1, 19, 3, 14, 8, tzinfo=zone)
        if odd < 0.06:
            return datetime(2000, 2, 29, 23, 59, 59, tzinfo=zone)
        start = datetime(2005, 1, 1, tzinfo=zone)
        return start + timedelta(seconds=self._random.randrange(19 * 365 * 86400))

    def _text(self, lines: int) -> str:
        rows = (" ".join(self._random.choices(_WORDS, k=self._random.randint(3, 9))) for _ in range(lines))
        return "\r\n".join(rows)

    def _word(self, text: str, charset: str = "utf-8") -> bytes:
        """Return an encoded word (RFC 2047) of at most 75 octets each, folded."""
        if text.isascii():
            return text.encode()
        pieces = [text[i : i + 10] for i in range(0, len(text), 10)]
        words = [f"=?{charset}?B?{base64.b64encode(p.encode(charset)).decode()}?=" for p in pieces]
        return "\r\n ".join(words).encode()

    def _header(self, *extra: bytes, charset: str = "utf-8") -> bytes:
        """Return the usual fields and those of `extra`, each line ended."""
        pick = self._random.choice
        sent = self._date()
        month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[
            sent.month - 1
        ]
        lines = [
            b"Received: from mx%d.%s ([192.0.2.%d]) by store.%s"
            % (self._count, self._domain.encode(), self._count % 250, self._domain.encode()),
            b"\tfor <user@%s>; id %08x" % (self._domain.encode(), self._random.getrandbits(32)),
            b"From: " + self._word(pick(_PEOPLE), charset)
            + b" <p%d@%s>" % (self._random.randrange(50), self._domain.encode()),
            b"To: user@" + self._domain.encode(),
            f"Date: {sent.day} {month} {sent.year:04d} {sent:%H:%M:%S %z}".encode(),
            b"Message-ID: <%d.%08x@%s>" % (self._count, self._random.getrandbits(32), self._domain.encode()),
            b"Subject: " + self._word(pick(_SUBJECTS), charset),
            *extra,
        ]  # fmt: skip
        return b"".join(line + _CRLF for line in lines)

    def _mime(self, kind: bytes, encoding: bytes = b"8bit") -> tuple[bytes, ...]:
        return (b"MIME-Version: 1.0", b"Content-Type: " + kind, b"Content-Transfer-Encoding: " + encoding)

    def _octets(self, size: int) -> bytes:
        return self._random.randbytes(size)

    # kinds

    def _plain_utf8(self) -> bytes:
        header = self._header(*self._mime(b"text/plain; charset=utf-8"))
        return header + _CRLF + self._text(self._random.randint(1, 30)).encode() + _CRLF

    def _gb18030(self) -> bytes:
        header = self._header(*self._mime(b'text/plain; charset="GB18030"'), charset="gb18030")
        return header + _CRLF + self._text(6).encode("gb18030") + _CRLF

    def _raw_eight_bit(self) -> bytes:
        raw = b"X-Raw: " + "原始八位标题".encode("gb18030") + b" / " + "ümläut".encode("latin-1")
        header = self._header(raw, *self._mime(b"text/plain", b"8bit"))
        return header + _CRLF + "未声明字符集的正文".encode("gb18030") + _CRLF + b"\x80\xff\xfe" + _CRLF

    def _quoted_printable(self) -> bytes:
        header = self._header(*self._mime(b"text/html; charset=utf-8", b"quoted-printable"))
        html = f"<p>{self._text(5)}</p>".replace("\r\n", "<br>")
        return header + _CRLF + quopri.encodestring(html.encode()).replace(b"\n", _CRLF) + _CRLF

    def _alternative(self) -> bytes:
        return self._header(b"MIME-Version: 1.0") + self._multipart(
            b"alternative",
            self._leaf(b"text/plain; charset=utf-8"),
            self._leaf(b"text/html; charset=gb18030"),
        )

    def _attachment(self) -> bytes:
        return self._header(b"MIME-Version: 1.0") + self._multipart(
            b"mixed", self._leaf(b"text/plain; charset=utf-8"), self._file()
        )

    def _nested(self) -> bytes:
        inner = self._multipart(b"related", self._leaf(b"text/html; charset=utf-8"), self._file(inline=True))
        alternative = self._multipart(b"alternative", self._leaf(b"text/plain; charset=utf-8"), inner)
        return self._header(b"MIME-Version: 1.0") + self._multipart(
            b"mixed", alternative, self._file(), b"Content-Type: message/rfc822\r\n\r\n" + self._plain_utf8()
        )

    def _forwarded(self) -> bytes:
        return self._header(*self._mime(b"message/rfc822", b"8bit")) + _CRLF + self._attachment()

    def _empty_body(self) -> bytes:
        return self._header() + _CRLF

    def _long_line(self) -> bytes:
        header = self._header(*self._mime(b"text/plain; charset=us-ascii"))
        return header + _CRLF + b"x" * self._random.randint(1200, 9000) + _CRLF

    def _dots(self) -> bytes:
        header = self._header(*self._mime(b"text/plain; charset=us-ascii"))
        return header + _CRLF + b".\r\n..\r\n.leading dot\r\nFrom the start of a line\r\n\r\n\r\n"

    def _no_last_newline(self) -> bytes:
        return self._header() + _CRLF + b"the last line has no end"

    def _leaf(self, kind: bytes) -> bytes:
        charset = "gb18030" if b"gb18030" in kind else "utf-8"
        head = b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        return head + _base64(self._text(4).encode(charset))

    def _file(self, *, inline: bool = False) -> bytes:
        name = self._word(self._random.choice(("报价单.xlsx", "scan.pdf", "Übersicht.docx"))).replace(
            _CRLF, b""
        )
        manner = b"inline" if inline else b"attachment"
        identity = b"Content-ID: <img%d@%s>\r\n" % (self._count, self._domain.encode()) if inline else b""
        size = self._random.choice((0, 10, 900, 7000, 40000))
        return (
            b'Content-Type: application/octet-stream; name="' + name + b'"\r\n'
            b"Content-Transfer-Encoding: base64\r\n" + identity
            + b"Content-Disposition: " + manner + b'; filename="' + name + b'"\r\n\r\n' + _base64(self._octets(size))
        )  # fmt: skip

    def _multipart(self, kind: bytes, *parts: bytes) -> bytes:
        """Return the Content-Type field and the body of a multipart, to be put behind other fields."""
        boundary = b"=_%s_%08x" % (kind, self._random.getrandbits(32))
        head = b"Content-Type: multipart/" + kind + b';\r\n\tboundary="' + boundary + b'"\r\n\r\n'
        body = b"".join(b"--" + boundary + _CRLF + part + _CRLF for part in parts)
        return head + b"This is a message in several parts.\r\n" + body + b"--" + boundary + b"--\r\n"


def _base64(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", _CRLF) or _CRLF
