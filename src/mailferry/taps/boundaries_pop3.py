"""Passes a POP3 session on as it is and knows between which commands it may be ended.

The end is a QUIT of ours. Deletions that the client has asked for and not confirmed with its own
QUIT are taken back first: to the client the session breaks off, and a session that breaks off
deletes nothing (RFC 1939 section 6).
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from mailferry.model.tap import Deletions, Flow, SeesAll
from mailferry.wire.pop3_replies import BodyEnd

MAX_IN_FLIGHT = 10_000
MAX_LINE_KEPT = 512

_MULTI = frozenset({b"RETR", b"TOP", b"CAPA"})
_MULTI_WHEN_BARE = frozenset({b"LIST", b"UIDL"})


class _Reply(Enum):
    SINGLE = auto()
    MULTI = auto()
    DELE = auto()
    RSET = auto()
    QUIT = auto()


_REPLIES = {b"DELE": _Reply.DELE, b"RSET": _Reply.RSET, b"QUIT": _Reply.QUIT}


def _reply_of(line: bytes) -> _Reply:
    words = line.split(None, 2)
    verb = words[0].upper() if words else b""
    if verb in _MULTI or (verb in _MULTI_WHEN_BARE and len(words) == 1):
        return _Reply.MULTI
    return _REPLIES.get(verb, _Reply.SINGLE)


class Pop3Boundaries(SeesAll):
    """The tap; see `model.tap.Tap`."""

    def __init__(self) -> None:
        self._held = b""  # a command whose line has not ended
        self._pending: deque[_Reply] = deque()
        self._status = b""  # the begin of a status line
        self._in_status = False
        self._body: BodyEnd | None = None
        self._deleted = 0  # messages that go with the client's QUIT
        self._gone = 0
        self._sure = True
        self._stopping = False
        self._quitting = False
        self._said_quit = False

    @property
    def in_idle(self) -> bool:
        """POP3 has no IDLE."""
        return False

    @property
    def deletions(self) -> Deletions:
        """What the server deleted for this session: acknowledged, and made final by an acknowledged QUIT."""
        return Deletions(self._gone, mailboxes={b"INBOX": self._gone} if self._gone else {})

    @property
    def resting(self) -> bool:
        """Whether every command is answered."""
        return (
            self._sure
            and not self._quitting
            and not self._pending
            and self._body is None
            and not self._in_status
        )

    def from_client(self, data: bytes) -> Flow:
        """Pass whole commands on; after `stop()` nothing."""
        if self._stopping and self._sure:
            return Flow()
        if not self._sure:
            held, self._held = self._held, b""
            return Flow(to_server=held + data)
        data = self._held + data
        end = data.rfind(b"\n") + 1
        whole, self._held = data[:end], data[end:]
        for line in whole.split(b"\n")[:-1]:
            self._pending.append(_reply_of(line))
        if len(self._pending) > MAX_IN_FLIGHT or len(self._held) > MAX_LINE_KEPT:
            self._sure = False
            whole, self._held = whole + self._held, b""
        return Flow(to_server=whole)

    def from_server(self, data: bytes) -> Flow:
        """Pass replies on; after our QUIT they are swallowed, and its answer ends the session."""
        if not self._sure:
            return Flow(to_client=data)
        self._follow(data)
        if self._quitting:
            return self._go_on_quitting()
        if self._stopping and self.resting:
            return self._quit(data)
        return Flow(to_client=data)

    def stop(self) -> Flow:
        """Ask for the end at the next boundary."""
        self._stopping = True
        if self._sure:
            self._held = b""
        return self._quit(b"") if self.resting else Flow()

    def _quit(self, to_client: bytes) -> Flow:
        self._quitting = True
        if self._deleted:
            self._pending.append(_Reply.RSET)
            return Flow(b"RSET\r\n", to_client)
        return self._say_quit(to_client)

    def _say_quit(self, to_client: bytes) -> Flow:
        self._said_quit = True
        self._pending.append(_Reply.SINGLE)
        return Flow(b"QUIT\r\n", to_client)

    def _go_on_quitting(self) -> Flow:
        if self._pending and self._sure:
            return Flow()
        if self._said_quit or self._deleted or not self._sure:
            return Flow(end="ended at a boundary")
        return self._say_quit(b"")

    def _follow(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._body is not None:
                end = self._body.feed(data[position:] if position else data)
                if end is None:
                    return
                self._body = None
                position += end
                continue
            end = data.find(b"\n", position)
            piece = data[position:] if end < 0 else data[position:end]
            self._status += piece[: MAX_LINE_KEPT - len(self._status)]
            self._in_status = end < 0
            if end < 0:
                return
            position = end + 1
            line, self._status = self._status, b""
            self._reply_line(line)

    def _reply_line(self, line: bytes) -> None:
        word = line[:4].upper()
        if not self._pending or not (word.startswith(b"+OK") or word == b"-ERR"):
            # Unasked for (a server that closes an idle session says so), or no POP3.
            self._sure = False
            return
        reply = self._pending.popleft()
        if word == b"-ERR":
            return
        if reply is _Reply.MULTI:
            self._body = BodyEnd()
        elif reply is _Reply.DELE:
            self._deleted += 1
        elif reply is _Reply.RSET:
            self._deleted = 0
        elif reply is _Reply.QUIT:
            self._gone, self._deleted = self._deleted, 0
