"""The judge of a copy: what two mail stores hold, read by Dovecot's own tool or from disk, never by us.

A message is its octets as a client sees them: stored line ends may be LF, IMAP and POP3 show CRLF.
"""

from __future__ import annotations

import hashlib
import poplib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.kit.peer_dovecot import Dovecot

SYSTEM_FLAGS = frozenset({r"\Seen", r"\Answered", r"\Flagged", r"\Deleted", r"\Draft"})
MAILDIR_FLAGS = {"S": r"\Seen", "R": r"\Answered", "F": r"\Flagged", "T": r"\Deleted", "D": r"\Draft"}
_LONE_LF = re.compile(rb"(?<!\r)\n")
_FIELDS = "mailbox uid flags date.received.unixtime size.physical text"


@dataclass(frozen=True, order=True)
class Message:
    """What must be equal on both sides of a copy."""

    mailbox: str
    digest: str
    """sha256 of the octets with CRLF line ends."""
    flags: tuple[str, ...]
    keywords: tuple[str, ...]
    received: int
    """INTERNALDATE in seconds since 1970."""


@dataclass(frozen=True)
class Mail:
    """Everything one account holds, as a multiset, and a hint for each digest."""

    messages: Counter[Message]
    subjects: Mapping[str, str]
    """Digest to the first words of the message, to name it in a report."""

    def __len__(self) -> int:
        return self.messages.total()

    def mailboxes(self) -> dict[str, int]:
        """Return how many messages each mailbox holds."""
        counts: Counter[str] = Counter()
        for message, times in self.messages.items():
            counts[message.mailbox] += times
        return dict(counts)

    def renamed(self, rename: Callable[[str], str]) -> Mail:
        """Return the same mail with mailbox names as the other side calls them."""
        moved: Counter[Message] = Counter()
        for message, times in self.messages.items():
            moved[replace(message, mailbox=rename(message.mailbox))] += times
        return Mail(moved, self.subjects)

    def without(self, *mailboxes: str) -> Mail:
        """Return the mail outside the named mailboxes."""
        kept = Counter({m: n for m, n in self.messages.items() if m.mailbox not in mailboxes})
        return Mail(kept, self.subjects)

    def __add__(self, other: Mail) -> Mail:
        return Mail(self.messages + other.messages, {**self.subjects, **other.subjects})


def digest_of(message: bytes) -> str:
    """Return the digest that the oracle knows a message by."""
    return hashlib.sha256(_LONE_LF.sub(b"\r\n", message)).hexdigest()


def read(server: Dovecot, user: str) -> Mail:
    """Read an account through `doveadm fetch`, which sets no flag and works for every storage format."""
    messages: Counter[Message] = Counter()
    subjects: dict[str, str] = {}
    if not any(server.home(user).glob("*")):
        return Mail(messages, subjects)
    for facts, octets in _records(server.doveadm("fetch", "-u", user, _FIELDS, "mailbox", "*", "ALL")):
        words = set(facts["flags"].split()) - {r"\Recent"}
        digest = digest_of(octets)
        subjects[digest] = _hint(octets)
        messages[
            Message(
                facts["mailbox"],
                digest,
                tuple(sorted(words & SYSTEM_FLAGS)),
                tuple(sorted(words - SYSTEM_FLAGS)),
                int(facts["date.received.unixtime"]),
            )
        ] += 1
    return Mail(messages, subjects)


def read_maildir(home: Path) -> Mail:
    """Read a Maildir++ from the files themselves: names, flags in file names, modification times."""
    root = home / "Maildir"
    messages: Counter[Message] = Counter()
    subjects: dict[str, str] = {}
    for path in root.rglob("*"):
        if not path.is_file() or path.parent.name not in {"cur", "new"}:
            continue
        folder = path.parent.parent
        octets = path.read_bytes()
        digest = digest_of(octets)
        subjects[digest] = _hint(octets)
        letters = path.name.partition(":2,")[2]
        keywords = _maildir_keywords(folder)
        messages[
            Message(
                "INBOX" if folder == root else unicode_name(folder.name.removeprefix(".")),
                digest,
                tuple(sorted(MAILDIR_FLAGS[c] for c in letters if c in MAILDIR_FLAGS)),
                tuple(sorted(keywords[c] for c in letters if c in keywords)),
                int(path.stat().st_mtime),
            )
        ] += 1
    return Mail(messages, subjects)


def uidls(port: int, user: str, password: str) -> list[str]:
    """Return the UIDLs that a POP3 server on loopback shows, in its order, asked by Python's poplib."""
    session = poplib.POP3("127.0.0.1", port, timeout=30)
    try:
        session.user(user)
        session.pass_(password)
        return [line.split(b" ", 1)[1].decode("latin-1") for line in session.uidl()[1]]
    finally:
        session.quit()


def subscriptions(server: Dovecot, user: str) -> set[str]:
    """Return the mailboxes the user is subscribed to."""
    return {row["mailbox"] for row in server.doveadm_json("mailbox", "list", "-s", "-u", user)}


def differences(expected: Mail, actual: Mail) -> list[str]:
    """Return one line for each fault of the copy; an empty list when both hold the same.

    A message is *lost*, there *twice*, *altered* (its octets are nowhere on the other side), in the
    wrong mailbox, or has other flags, keywords or another date.
    """
    subjects = {**actual.subjects, **expected.subjects}
    missing = sorted((expected.messages - actual.messages).elements())
    surplus = sorted((actual.messages - expected.messages).elements())
    lines: list[str] = []
    for rule in (_same_but_marks, _same_octets):
        missing, surplus, found = _pair(missing, surplus, rule)
        lines += [_changed(was, now, subjects) for was, now in found]
    known = {message.digest for message in expected.messages}
    for message in surplus:
        kind = "twice" if message.digest in known else "foreign or altered"
        lines.append(f"{kind}: {_name(message, subjects)}")
    lines += [f"lost: {_name(message, subjects)}" for message in missing]
    return lines


def assert_same(expected: Mail, actual: Mail) -> None:
    """Fail with what differs, twenty lines of it."""
    lines = differences(expected, actual)
    if lines:
        counts = f"{len(expected)} messages expected, {len(actual)} found, {len(lines)} faults"
        raise AssertionError("\n".join([counts, *lines[:20]]))


def _records(output: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """Split doveadm's plain output. `text` comes last, its length known from `size.physical`."""
    position = 0
    while position < len(output):
        facts: dict[str, str] = {}
        while True:
            end = output.index(b"\n", position)
            name, _, value = output[position:end].decode().partition(": ")
            position = end + 1
            if name == "text:":
                break
            facts[name.removesuffix(":")] = value
        size = int(facts["size.physical"])
        yield facts, output[position : position + size]
        position += size
        if position < len(output) and output[position : position + 1] == b"\n":
            position += 1  # doveadm ends a message without a line end by one of its own
        if output[position : position + 2] == b"\x0c\n":
            position += 2


def _pair(
    missing: Iterable[Message], surplus: Iterable[Message], rule: Callable[[Message], object]
) -> tuple[list[Message], list[Message], list[tuple[Message, Message]]]:
    waiting: dict[object, list[Message]] = {}
    for message in surplus:
        waiting.setdefault(rule(message), []).append(message)
    left, pairs = [], []
    for message in missing:
        others = waiting.get(rule(message))
        if others:
            pairs.append((message, others.pop(0)))
        else:
            left.append(message)
    return left, [m for others in waiting.values() for m in others], pairs


def _same_but_marks(message: Message) -> object:
    return message.mailbox, message.digest


def _same_octets(message: Message) -> object:
    return message.digest


def _changed(was: Message, now: Message, subjects: Mapping[str, str]) -> str:
    parts = []
    if was.mailbox != now.mailbox:
        parts.append(f"mailbox: {was.mailbox!r} became {now.mailbox!r}")
    if was.flags != now.flags:
        parts.append(f"flags: {' '.join(was.flags) or 'none'} became {' '.join(now.flags) or 'none'}")
    if was.keywords != now.keywords:
        parts.append(
            f"keywords: {' '.join(was.keywords) or 'none'} became {' '.join(now.keywords) or 'none'}"
        )
    if was.received != now.received:
        parts.append(f"date: {_when(was.received)} became {_when(now.received)}")
    return f"{'; '.join(parts)}: {_name(was, subjects)}"


def _name(message: Message, subjects: Mapping[str, str]) -> str:
    return f"{message.mailbox!r} {message.digest[:12]} {subjects.get(message.digest, '')!r}"


def _when(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


def _hint(octets: bytes) -> str:
    found = re.search(rb"^Subject:(.*)$", octets, re.IGNORECASE | re.MULTILINE)
    return (found[1] if found else octets[:40]).decode(errors="replace").strip()[:60]


def _maildir_keywords(folder: Path) -> dict[str, str]:
    """Return Dovecot's letters for keywords: `dovecot-keywords` numbers them, `a` is the first."""
    path = folder / "dovecot-keywords"
    if not path.exists():
        return {}
    pairs = (line.split(" ", 1) for line in path.read_text().splitlines())
    return {chr(ord("a") + int(number)): name for number, name in pairs}


def unicode_name(encoded: str) -> str:
    """Decode modified UTF-7 (RFC 3501 5.1.3) by Python's plain UTF-7."""

    def decoded(match: re.Match[str]) -> str:
        inner = match[1].replace(",", "/")
        return f"+{inner}-".encode().decode("utf-7") if inner else "&"

    return re.sub(r"&([^-]*)-", decoded, encoded)
