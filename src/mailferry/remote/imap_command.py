"""One IMAP command between its first octet and its tagged answer (RFC 3501 2.2)."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred

from mailferry.remote.imap_answers import Listener
from mailferry.wire.imap_responses import Tagged


class Command:
    """One command on its way. `answer` is set by its tagged answer, `error` when the session broke."""

    __slots__ = (
        "answer",
        "begun",
        "closed",
        "error",
        "gated",
        "listener",
        "pieces",
        "skipped",
        "stage",
        "tag",
        "waiter",
    )

    def __init__(self, tag: bytes, stage: str, listener: Listener) -> None:
        self.tag = tag
        self.stage = stage
        self.listener = listener
        self.pieces: deque[bytes | None] = deque()
        """What is not sent yet; None is the place to wait for `+`."""
        self.begun = False
        """Its first octets are sent."""
        self.gated = False
        """Waiting for `+`."""
        self.closed = False
        """Its last octet is among the pieces or sent."""
        self.skipped = False
        """Answered instead of `+`: the rest of it must not be sent."""
        self.answer: Tagged | None = None
        self.error: BaseException | None = None
        self.waiter: Deferred[None] | None = None

    @property
    def open(self) -> bool:
        """Whether neither answer nor error has come."""
        return self.answer is None and self.error is None

    def settle(self) -> None:
        """Wake up who waits for the answer."""
        if self.waiter is not None and not self.waiter.called:
            self.waiter.callback(None)
