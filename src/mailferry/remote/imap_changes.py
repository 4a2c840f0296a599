"""What changed in a mailbox since a moment that the server numbers (CONDSTORE and QRESYNC, RFC 7162)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mailferry.model.mail import MessageFacts
from mailferry.remote.imap_link import ImapLink
from mailferry.remote.imap_listing import FACTS, FactReader
from mailferry.wire.imap_responses import Untagged

QRESYNC = b"QRESYNC"


@dataclass(slots=True)
class Vanished:
    """UIDs that a server calls gone, as ranges: it may name millions that were gone before."""

    ranges: list[tuple[int, int]] = field(default_factory=list)

    def among(self, uids: Sequence[int]) -> set[int]:
        """Return which of these ascending UIDs are gone."""
        gone: set[int] = set()
        for first, last in self.ranges:
            gone.update(uids[bisect_left(uids, first) : bisect_right(uids, last)])
        return gone


class _ChangesReader(FactReader):
    def __init__(self, on_fact: Callable[[MessageFacts], None]) -> None:
        super().__init__(on_fact)
        self.vanished = Vanished()

    def untagged(self, response: Untagged) -> None:
        """Take VANISHED besides the facts."""
        if response.kind == b"VANISHED" and response.values:
            self.vanished.ranges += uid_ranges(response.values[-1])
        else:
            super().untagged(response)


def uid_ranges(word: object) -> list[tuple[int, int]]:
    """Return the ranges of a set of UIDs; what is none of it is left out: it vanishes from a later listing."""
    if not isinstance(word, bytes):
        return []
    ranges = []
    for part in word.split(b","):
        first, _, last = part.partition(b":")
        if first.isdigit() and (not last or last.isdigit()) and len(part) <= 21:
            ends = sorted((int(first), int(last or first)))
            ranges.append((ends[0], ends[1]))
    return ranges


async def tells_vanished(link: ImapLink) -> bool:
    """Have the server tell what vanished, once in a session; False where it cannot."""
    if not {QRESYNC, b"ENABLE"} <= link.capabilities:
        return False
    return (await link.answer(link.send("enable", b"ENABLE QRESYNC"))).status == b"OK"


async def fetch_changes(
    link: ImapLink, since: int, on_fact: Callable[[MessageFacts], None], *, vanished: bool
) -> Vanished:
    """List the open mailbox's messages that changed after the mod-sequence `since`; return what vanished.

    `vanished` asks for that too, where `tells_vanished` said so. Raises Refused or Unavailable.
    """
    reader = _ChangesReader(on_fact)
    more = b" VANISHED" if vanished else b""
    words = b"UID FETCH 1:* " + FACTS + b" (CHANGEDSINCE %d%s)" % (since, more)
    await link.run("fetch", words, listener=reader)
    reader.finish()
    return reader.vanished
