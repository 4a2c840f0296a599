"""What one side lists of a mailbox, in 16 octets a message: UID, flags and second of arrival."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from itertools import islice
from operator import gt

from mailferry.model.mail import MessageFacts
from mailferry.remote.imap_client import ImapClient

UNDATED = -(2**63)


class ListedFacts:
    """The messages of one mailbox by place, ascending; each set of flags is held once."""

    __slots__ = ("_flags", "_numbers", "_places", "arrived", "uids")

    def __init__(self) -> None:
        self.uids: array[int] = array("I")
        self.arrived: array[int] = array("q")
        """Seconds since 1970; UNDATED where there is no date to compare."""
        self._flags: array[int] = array("I")
        self._places: list[frozenset[bytes]] = []
        self._numbers: dict[frozenset[bytes], int] = {}

    def __len__(self) -> int:
        return len(self.uids)

    def add(self, uid: int, flags: frozenset[bytes], arrived: int | None) -> None:
        """Take one message."""
        number = self._numbers.get(flags)
        if number is None:
            number = self._numbers[flags] = len(self._places)
            self._places.append(flags)
        self.uids.append(uid)
        self._flags.append(number)
        self.arrived.append(UNDATED if arrived is None else arrived)

    def sort(self) -> None:
        """Bring what came in another order into that of UIDs."""
        if any(map(gt, self.uids, islice(self.uids, 1, None))):
            order = sorted(range(len(self.uids)), key=self.uids.__getitem__)
            self.uids = array("I", map(self.uids.__getitem__, order))
            self._flags = array("I", map(self._flags.__getitem__, order))
            self.arrived = array("q", map(self.arrived.__getitem__, order))

    def place(self, uid: int) -> int | None:
        """Return where a UID stands, None when it is not listed."""
        found = bisect_left(self.uids, uid)
        return found if found < len(self.uids) and self.uids[found] == uid else None

    def flags(self, place: int) -> frozenset[bytes]:
        """Return the flags of the message at a place."""
        return self._places[self._flags[place]]


async def listed_facts(
    client: ImapClient, exists: int, arrived: Callable[[bytes], int | None]
) -> ListedFacts:
    """Return the listing of the selected mailbox; `arrived` reads a date of it. Raises Refused or Unavailable."""
    listing = ListedFacts()

    def note(facts: MessageFacts) -> None:
        listing.add(facts.uid, facts.flags, arrived(facts.internal_date))

    if exists:
        await client.fetch_facts(b"1:*", note)
        listing.sort()
    return listing
