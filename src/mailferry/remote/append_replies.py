"""What a target says to one APPEND after the other: many short answers of one shape, taken in one look each."""

from __future__ import annotations

import re

from mailferry.remote.imap_answers import Listener
from mailferry.remote.imap_link import ImapLink
from mailferry.wire.imap_responses import Code, Tagged

_STORED = re.compile(
    rb"(?:\* \d{1,10} (?:EXISTS|RECENT)\r\n)*"
    rb"([a-z0-9]{1,64}) OK \[APPENDUID (\d{1,10} \d{1,10})\][^\0\r\n]*\r\n"
)
"""The usual answer, with what the server tells of the open mailbox in front of it."""


class AppendReplies(Listener):
    """The listener of a session's single APPENDs. Any answer but the usual one goes the way of all others."""

    takes_bulk = True

    def __init__(self, link: ImapLink) -> None:
        self._link = link

    def bulk(self, data: bytes, at: int) -> int:
        """End commands whose usual answers came whole, in the order in which they were sent."""
        start, match, settle = at, _STORED.match, self._link.settle_oldest
        while (found := match(data, at)) is not None:
            answer = Tagged(found[1], b"OK", Code("APPENDUID", found[2]), b"")
            if not settle(answer, self):
                break
            at = found.end()
        return at - start
