"""Which messages a moved maildrop shows over POP3, in which order and under which unique ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_UIDL_OCTETS = 70


class Unsure(Exception):
    """The maildrop cannot be shown so that each number means one message for certain."""


@dataclass(frozen=True, slots=True)
class UidlRow:
    """One message of the map: what the target calls it and what the source called it.

    `source_uidl` None hides the message from POP3. `position` orders the shown ones.
    """

    target_uidl: bytes
    source_uidl: bytes | None
    position: int


@dataclass(slots=True)
class Visible:
    """A message as the client sees it; its number is its place in the numbering."""

    uidl: bytes
    target_number: int
    octets: int
    deleted: bool = False


class Numbering:
    """The visible messages of one session and what was deleted in it."""

    def __init__(self, messages: Sequence[Visible]) -> None:
        self._messages = list(messages)
        self.last = 0
        """The highest number that was read or deleted (LAST of RFC 1460)."""

    @classmethod
    def build(
        cls, rows: Sequence[UidlRow], uidls: Sequence[tuple[int, bytes]], sizes: Mapping[int, int]
    ) -> Numbering:
        """Number what the target holds: mapped messages by position, then the others in its order.

        `uidls` and `sizes` are the target's UIDL and LIST. Raises `Unsure` when they do not agree or
        are not one-to-one.
        """
        numbers = {uidl: number for number, uidl in uidls}
        if len(numbers) != len(uidls) or len({number for number, _ in uidls}) != len(uidls):
            raise Unsure("the target's unique ids are not unique")
        if len(sizes) != len(uidls) or any(number not in sizes for number in numbers.values()):
            raise Unsure("the target's UIDL and LIST tell of different messages")
        mapped = {row.target_uidl for row in rows}
        shown = sorted(
            (row for row in rows if row.source_uidl is not None and row.target_uidl in numbers),
            key=lambda row: row.position,
        )
        messages: list[Visible] = []
        used: set[bytes] = set()
        for row in shown:
            assert row.source_uidl is not None
            if row.source_uidl in used:
                raise Unsure("two messages with one unique id in the map")
            used.add(row.source_uidl)
            number = numbers[row.target_uidl]
            messages.append(Visible(row.source_uidl, number, sizes[number]))
        for number, uidl in uidls:
            if uidl not in mapped:
                own = _unused(uidl, used)
                used.add(own)
                messages.append(Visible(own, number, sizes[number]))
        return cls(messages)

    def find(self, number: int) -> Visible | None:
        """Return message `number` unless there is none or it is deleted."""
        if not 1 <= number <= len(self._messages):
            return None
        message = self._messages[number - 1]
        return None if message.deleted else message

    def present(self) -> list[tuple[int, Visible]]:
        """Return the messages that are not deleted, with their numbers."""
        return [(number, m) for number, m in enumerate(self._messages, 1) if not m.deleted]

    @property
    def has_deleted(self) -> bool:
        """Whether a deletion waits for QUIT."""
        return any(message.deleted for message in self._messages)

    def touch(self, number: int) -> None:
        """Note that message `number` was read or deleted."""
        self.last = max(self.last, number)

    def reset(self) -> None:
        """Take all deletions back."""
        self.last = 0
        for message in self._messages:
            message.deleted = False


def _unused(uidl: bytes, used: set[bytes]) -> bytes:
    """Return a unique id for a new message whose own one belongs to an old message of the source."""
    own = uidl
    while own in used:
        own += b"~"
        if len(own) > MAX_UIDL_OCTETS:
            raise Unsure("no unique id is left for a new message")
    return own
