"""What UID FETCH tells of many messages: UID, flags, date, size (RFC 3501 7.4.2).

Listings are the long answers: 50,000 messages are 50,000 lines. The two common orders of items are
read straight from the octets; whatever else comes takes the general way.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable

from mailferry.model.mail import MessageFacts
from mailferry.remote.imap_answers import Listener
from mailferry.wire.imap_fetch import FetchFacts, facts_of, split_flags
from mailferry.wire.imap_responses import Untagged
from mailferry.wire.imap_values import BadResponse

FACTS = b"(UID FLAGS INTERNALDATE RFC822.SIZE)"
FLAGS = b"(UID FLAGS)"

_HEAD = rb"\* \d{1,10} FETCH \((?:UID (\d{1,10}) FLAGS \(([^()\"\r\n]*)\)|FLAGS \(([^()\"\r\n]*)\) UID (\d{1,10}))"
_FACTS = re.compile(_HEAD + rb' INTERNALDATE "([^"\\\r\n]*)" RFC822\.SIZE (\d{1,19})\)\r?\n')
_FLAGS = re.compile(_HEAD + rb"(?: MODSEQ \(\d{1,19}\))?\)\r?\n")


class FactReader(Listener):
    """The listener of a listing: each message of it goes to `on_fact` once, as soon as it is complete.

    A message may be told in several answers; an answer about a message that was told already (its
    flags just changed) is left to the next listing.
    """

    takes_bulk = True

    def __init__(self, on_fact: Callable[[MessageFacts], None]) -> None:
        self._on_fact = on_fact
        self._told = array("L")
        self._out_of_order: set[int] | None = None
        self._partial: dict[int, FetchFacts] = {}

    def bulk(self, data: bytes, at: int) -> int:
        """Take lines of the two common shapes."""
        start = at
        match, on_fact, told = _FACTS.match, self._on_fact, self._told
        while (found := match(data, at)) is not None:
            uid_a, flags_a, flags_b, uid_b, date, size = found.groups()
            uid = int(uid_a or uid_b)
            if (not told or uid > told[-1]) and self._out_of_order is None and not self._partial:
                told.append(uid)
                flags = flags_a if flags_a is not None else flags_b
                on_fact(MessageFacts(uid, split_flags(flags), date, int(size)))
            else:
                flags = flags_a if flags_a is not None else flags_b
                self._tell(MessageFacts(uid, split_flags(flags), date, int(size)))
            at = found.end()
        return at - start

    def untagged(self, response: Untagged) -> None:
        """Take what has another shape."""
        if response.kind != b"FETCH":
            return
        try:
            facts = facts_of(response)
        except BadResponse:
            return  # its UID is then missing from the listing, and asked for again by the next one
        uid = facts.uid
        if uid is None:
            return  # flags that changed, told by sequence number: not part of the listing
        known = self._partial.pop(uid, None)
        if known is not None:
            facts = _joined(known, facts)
        if facts.flags is None or facts.internal_date is None:
            self._partial[uid] = facts
        else:
            self._tell(MessageFacts(uid, facts.flags, facts.internal_date, facts.size))

    def half_told(self) -> list[int]:
        """Return the UIDs of messages of which flags came and nothing else.

        Dovecot tells so of messages that arrived while it answered: ask for them once more.
        """
        told = self._out_of_order if self._out_of_order is not None else set(self._told)
        return sorted(
            uid
            for uid, facts in self._partial.items()
            if facts.internal_date is None and facts.size is None and uid not in told
        )

    def finish(self) -> None:
        """The listing is over: tell also of messages whose date the server left out."""
        partial, self._partial = self._partial, {}
        for uid, facts in partial.items():
            if facts.flags is not None:
                self._tell(MessageFacts(uid, facts.flags, facts.internal_date or b"", facts.size))

    def _tell(self, facts: MessageFacts) -> None:
        self._partial.pop(facts.uid, None)
        if self._out_of_order is None and self._told and facts.uid <= self._told[-1]:
            self._out_of_order = set(self._told)
        if self._out_of_order is not None:
            if facts.uid in self._out_of_order:
                return
            self._out_of_order.add(facts.uid)
        else:
            self._told.append(facts.uid)
        self._on_fact(facts)


class FlagReader(Listener):
    """The listener of a listing of flags; a message whose flags change meanwhile is told again."""

    takes_bulk = True

    def __init__(self, on_flags: Callable[[int, frozenset[bytes]], None]) -> None:
        self._on_flags = on_flags

    def bulk(self, data: bytes, at: int) -> int:
        """Take lines of the two common shapes."""
        start = at
        match, on_flags = _FLAGS.match, self._on_flags
        while (found := match(data, at)) is not None:
            uid_a, flags_a, flags_b, uid_b = found.groups()
            on_flags(int(uid_a or uid_b), split_flags(flags_a if flags_a is not None else flags_b))
            at = found.end()
        return at - start

    def untagged(self, response: Untagged) -> None:
        """Take what has another shape."""
        if response.kind != b"FETCH":
            return
        try:
            facts = facts_of(response)
        except BadResponse:
            return
        if facts.uid is not None and facts.flags is not None:
            self._on_flags(facts.uid, facts.flags)


def _joined(one: FetchFacts, two: FetchFacts) -> FetchFacts:
    return FetchFacts(
        two.number,
        two.uid,
        two.flags if two.flags is not None else one.flags,
        two.internal_date if two.internal_date is not None else one.internal_date,
        two.size if two.size is not None else one.size,
    )
