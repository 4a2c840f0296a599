"""Messages that copiers lose, double or alter, as a source may hold them: for lab hosts, which keep every octet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from mailferry.lab.mailstore import INBOX, Mailstore

ZONES = (-12 * 60, -9 * 60 - 30, -3 * 60 - 30, 0, 60, 5 * 60 + 45, 8 * 60, 12 * 60 + 45, 14 * 60)
MOMENTS = tuple(
    datetime.fromisoformat(moment).replace(tzinfo=UTC)
    for moment in (
        "1970-01-01T00:00:01",
        "1980-01-01T00:00:00",
        "1996-02-29T23:59:59",
        "2000-02-29T12:00:00",
        "2019-03-31T02:30:00",  # an hour that many clocks leave out
        "2019-10-27T02:30:00",  # one that they have twice
        "2016-12-31T23:59:59",
        "2038-01-19T03:14:07",
        "2038-01-19T03:14:08",
        "2099-12-31T23:59:59",
    )
)
FLAGS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"\\Seen",),
    (b"\\Answered", b"\\Flagged"),
    (b"\\Draft", b"$Forwarded", b"NonJunk"),
    (b"\\Deleted", b"\\Seen"),
    (b"TEST:FLAG", b"$MDNSent"),
)


@dataclass(frozen=True)
class Kind:
    """One kind of message. `odd` names what a server may refuse in it or alter of it."""

    name: str
    octets: bytes
    odd: str = ""


KINDS = (
    Kind("plain", b"Subject: plain\r\nFrom: a@b\r\n\r\ntext\r\n"),
    Kind("header alone", b"Subject: no body\r\n\r\n"),
    Kind("no octets at all", b"", "empty"),
    Kind("only line ends", b"\r\n\r\n\r\n"),
    Kind("no header", b"no header at all\r\n", "header"),
    Kind("no last line end", b"Subject: no last line end\r\n\r\nend", "end"),
    Kind("bare line feeds", b"Subject: bare\nFrom: a@b\n\nline\nline\n", "line feeds"),
    Kind("mixed line ends", b"Subject: mixed\r\n\r\none\ntwo\r\nthree\rfour\r\n", "line feeds"),
    Kind("lone carriage returns", b"Subject: cr\r\n\r\na\rb\r\r\n", "carriage returns"),
    Kind("NUL", b"Subject: nul\r\n\r\nbefore\0after\r\n", "NUL"),
    Kind("NUL in the header", b"Subject: n\0ul\r\n\r\ntext\r\n", "NUL"),
    Kind(
        "8-bit header",
        b"Subject: \xc4\xfa\xba\xc3 gbk\r\nFrom: \xe4\xbd\xa0 <a@b>\r\n\r\ntext\r\n",
        "8-bit header",
    ),
    Kind("8-bit body", b"Subject: body\r\n\r\n\xc4\xfa\xba\xc3 \xff\xfe \xe4\xbd\xa0\r\n"),
    Kind("controls", b"Subject: c\r\n\r\n\x01\x02\x7f\x1b[31m\r\n"),
    Kind("long line", b"Subject: long\r\n\r\n" + b"x" * 1_000_000 + b"\r\n"),
    Kind("long header line", b"X-Long: " + b"y" * 100_000 + b"\r\n\r\ntext\r\n"),
    Kind("folded header", b"Subject: a\r\n b\r\n\tc\r\nTo: x\r\n\r\ntext\r\n"),
    Kind("dots", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n...\r\n"),
    Kind("looks like IMAP", b"Subject: imap\r\n\r\n)\r\na1 OK FETCH done\r\n* BYE {5}\r\nx {3+}\r\n"),
    Kind("From line", b"From a@b Mon Jan  1 00:00:00 2001\r\nSubject: mbox\r\n\r\nFrom here on\r\n"),
    Kind("empty lines behind", b"Subject: trailing\r\n\r\ntext\r\n\r\n\r\n\r\n"),
)
TWIN = b"Subject: twin\r\nMessage-ID: <twin@test>\r\n\r\nsame\r\n"


def when(number: int) -> datetime:
    """Return a moment of arrival, in one of all zones; each number has its own second."""
    moment = MOMENTS[number % len(MOMENTS)] + timedelta(seconds=number)
    return moment.astimezone(timezone(timedelta(minutes=ZONES[number % len(ZONES)])))


def messages() -> Iterator[tuple[bytes, tuple[bytes, ...], datetime]]:
    """Yield octets, flags and arrival: every kind, identical twins thrice, and twins that differ in flags."""
    for number, kind in enumerate(KINDS, 1):
        yield kind.octets, FLAGS[number % len(FLAGS)], when(number)
    for _ in range(3):
        yield TWIN, (b"\\Seen",), when(100)
    for flags in ((), (b"\\Flagged",), (b"$Label1",)):
        yield TWIN, flags, when(101)


def fill(store: Mailstore, *mailboxes: bytes) -> int:
    """Lay all of them into INBOX and into each of `mailboxes`; return how many there are."""
    count = 0
    for name in (INBOX, *mailboxes):
        if store.find(name) is None:
            store.create(name, subscribed=True)
        for octets, flags, date in messages():
            store.deliver(octets, mailbox=name, flags=flags, internal_date=date)
            count += 1
    return count


def same_headers(store: Mailstore, count: int, mailbox: bytes = INBOX, *, twins: int = 2) -> None:
    """Lay messages that have one header without a Message-ID, and bodies of one length; each comes `twins` times."""
    for number in range(count):
        body = b"Subject: the same\r\nFrom: a@b\r\nDate: Mon, 1 Jan 2001 00:00:00 +0000\r\n\r\n%06d\r\n"
        store.deliver(body % (number // twins), mailbox=mailbox, internal_date=when(7))
