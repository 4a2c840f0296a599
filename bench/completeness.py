"""Whether a copy is whole: counts from the files on disk after each run, octets and marks by the oracle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.kit import oracle
from tests.kit.peer_dovecot import Dovecot


class NotComplete(RuntimeError):
    """A copier left something out or made something twice; a figure of such a run says nothing."""


def counts(home: Path) -> Counter[str]:
    """Return how many messages each mailbox of a Maildir holds; empty mailboxes are left out."""
    root = home / "Maildir"
    found: Counter[str] = Counter()
    for part in (*root.glob("cur"), *root.glob("new"), *root.glob(".*/cur"), *root.glob(".*/new")):
        name = part.parent.name.removeprefix(".") if part.parent != root else "INBOX"
        found[name] += sum(1 for _ in part.iterdir())
    return +found


def check_counts(who: str, source: Path, target: Path) -> None:
    """Raise NotComplete unless both homes hold the same number of messages in each mailbox."""
    expected, actual = counts(source), counts(target)
    if expected != actual:
        wrong = {name: (n, actual[name]) for name, n in expected.items() if actual[name] != n}
        raise NotComplete(f"{who}: mailbox -> (source, target): {wrong or actual - expected}")


def check_octets(who: str, here: oracle.Mail, target: tuple[Dovecot, str], *, marks: bool) -> None:
    """Raise NotComplete unless the target holds the octets of the source's mail `here` and its `marks`.

    These are flags, keywords, dates. By Dovecot's own word.
    """
    there = oracle.read(*target)
    lines = oracle.differences(here, there) if marks else []
    if not marks and _digests(here) != _digests(there):
        lines = ["the octets differ"]
    if lines:
        raise NotComplete(f"{who}: {len(lines)} differences: {'; '.join(lines[:5])}")


def _digests(mail: oracle.Mail) -> Counter[str]:
    found: Counter[str] = Counter()
    for message, times in mail.messages.items():
        found[message.digest] += times
    return found
