"""Shows a moved maildrop over POP3 as the source showed it: same UIDLs, same order, then new mail.

At the first command the tap asks the server for UIDL and LIST and numbers the visible messages by
the stored map. From then on it answers or translates every command itself, one at a time. What it
does not know or cannot follow ends the session with `-ERR [SYS/TEMP]`: a wrong number or unique id
would delete the wrong message or make every device load all mail again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from mailferry.model.tap import Deletions, Flow, SeesAll
from mailferry.taps.uidl_numbering import Numbering, UidlRow, Unsure, Visible
from mailferry.wire.line_buffer import LineBuffer, LineTooLong
from mailferry.wire.pop3_replies import (
    BadReply,
    BodyEnd,
    Pop3Reply,
    parse_list_line,
    parse_status,
    parse_uidl_line,
)

MAX_COMMAND_LINE = 512
MAX_REPLY_LINE = 2048
MAX_KEPT_COMMANDS = 64 * 1024
"""Octets of commands that a client may send ahead of their answers."""
MAX_MESSAGES = 1_000_000
FAILED = b"-ERR [SYS/TEMP] The mailbox cannot be shown just now, please connect again.\r\n"

_CAPABILITIES = b"+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n."


class _Reads(Enum):
    """What the next octets of the server are."""

    NOTHING = auto()
    STATUS = auto()
    LISTING = auto()
    BODY = auto()


class UidlTap(SeesAll):
    """The tap; see `model.tap.Tap`."""

    def __init__(self, rows: Sequence[UidlRow]) -> None:
        self._rows = rows
        self._client = LineBuffer(MAX_COMMAND_LINE)
        self._server = LineBuffer(MAX_REPLY_LINE)
        self._reads = _Reads.NOTHING
        self._on_status: Callable[[Pop3Reply, bytes], None] = self._unexpected
        self._on_listed: Callable[[], None] = self._ready
        self._listed: list[bytes] = []
        self._uidls: list[tuple[int, bytes]] = []
        self._waiting_line = b""  # the command that caused the listing
        self._body = BodyEnd()
        self._numbering: Numbering | None = None
        self._stopping = False
        self._to_client: list[bytes] = []
        self._to_server: list[bytes] = []
        self._end: str | None = None

    @property
    def in_idle(self) -> bool:
        """POP3 has no IDLE."""
        return False

    @property
    def deletions(self) -> Deletions:
        """None counts: the session is the target's."""
        return Deletions()

    @property
    def resting(self) -> bool:
        """Whether every command is answered."""
        return self._reads is _Reads.NOTHING and self._end is None and not self._stopping

    def from_client(self, data: bytes) -> Flow:
        """Take commands; they are done one after the other."""
        if self._end is not None or self._stopping:
            return Flow()
        self._client.feed(data)
        if len(self._client) > MAX_KEPT_COMMANDS:
            self._fail("commands sent too far ahead")
        self._commands()
        return self._flow()

    def from_server(self, data: bytes) -> Flow:
        """Take what the server says to the command under way."""
        if self._end is not None:
            return Flow()
        try:
            self._take(data)
        except (LineTooLong, BadReply, Unsure) as fault:
            self._fail(str(fault))
        return self._flow()

    def stop(self) -> Flow:
        """Ask for the end after the command under way; deletions not confirmed by QUIT are taken back."""
        if self._end is not None or self._stopping:
            return Flow()
        self._stopping = True
        if self._reads is _Reads.NOTHING:
            self._leave()
        return self._flow()

    def _take(self, data: bytes) -> None:
        if self._reads is _Reads.BODY and not len(self._server):
            if self._pass_body(data) and not len(self._server):
                self._commands()
        else:
            self._server.feed(data)
        while self._end is None and len(self._server):
            if self._reads is _Reads.NOTHING:
                raise Unsure("the server spoke without being asked")
            if self._reads is _Reads.BODY:
                self._pass_body(self._server.take_rest())
            else:
                line = self._server.next_line()
                if line is None:
                    return
                self._take_line(line)
            if not len(self._server):
                # Only now: octets behind an answer are none to a command that comes after it.
                self._commands()

    def _take_line(self, line: bytes) -> None:
        if self._reads is _Reads.STATUS:
            self._reads = _Reads.NOTHING
            self._on_status(parse_status(line), line)
        elif line == b".":
            self._reads = _Reads.NOTHING
            self._on_listed()
        else:
            self._listed.append(line)
            if len(self._listed) > MAX_MESSAGES:
                raise Unsure("too many messages")

    def _pass_body(self, data: bytes) -> bool:
        """Pass the octets of a body on; True when it has ended."""
        end = self._body.feed(data)
        if end is None:
            self._to_client.append(data)
            return False
        self._reads = _Reads.NOTHING
        self._to_client.append(data[:end] if end < len(data) else data)
        self._server.feed(data[end:])
        return True

    def _commands(self) -> None:
        """Do the client's commands for as long as none waits for the server."""
        try:
            while self._reads is _Reads.NOTHING and self._end is None:
                if self._stopping:
                    self._leave()
                    return
                line = self._client.next_line()
                if line is None:
                    return
                if self._numbering is None:
                    self._waiting_line = line
                    self._ask(b"UIDL", self._listing(self._uidls_listed))
                else:
                    self._command(self._numbering, line)
        except LineTooLong as fault:
            self._fail(str(fault))

    def _ask(self, command: bytes, on_status: Callable[[Pop3Reply, bytes], None]) -> None:
        self._to_server.append(command + b"\r\n")
        self._on_status = on_status
        self._reads = _Reads.STATUS

    def _unexpected(self, _reply: Pop3Reply, _line: bytes) -> None:
        raise Unsure("an answer to nothing")

    def _listing(self, then: Callable[[], None]) -> Callable[[Pop3Reply, bytes], None]:
        def on_status(reply: Pop3Reply, _line: bytes) -> None:
            if not reply.ok:
                raise Unsure("the server refused its listing")
            self._listed = []
            self._on_listed = then
            self._reads = _Reads.LISTING

        return on_status

    def _uidls_listed(self) -> None:
        if len(self._server):
            raise Unsure("the server spoke without being asked")
        self._uidls = [parse_uidl_line(line) for line in self._listed]
        self._ask(b"LIST", self._listing(self._ready))

    def _ready(self) -> None:
        sizes = [parse_list_line(line) for line in self._listed]
        if len(dict(sizes)) != len(sizes):
            raise Unsure("the server listed a message twice")
        self._numbering = Numbering.build(self._rows, self._uidls, dict(sizes))
        self._listed = []
        self._uidls = []
        if not self._stopping:
            self._command(self._numbering, self._waiting_line)

    def _command(self, shown: Numbering, line: bytes) -> None:
        words = line.split()
        verb = words[0].upper() if words else b""
        arguments = words[1:]
        if verb in {b"STAT", b"RSET", b"NOOP", b"LAST", b"QUIT", b"CAPA"}:
            if arguments:
                self._reply(b"-ERR No arguments expected.")
                return
            self._plain(shown, verb)
        elif verb in {b"LIST", b"UIDL"}:
            self._list(shown, verb, arguments)
        elif verb in {b"RETR", b"DELE", b"TOP"}:
            self._translate(shown, verb, arguments)
        else:
            self._fail("a command that is not known here")

    def _plain(self, shown: Numbering, verb: bytes) -> None:
        if verb == b"STAT":
            present = shown.present()
            self._reply(b"+OK %d %d" % (len(present), sum(message.octets for _, message in present)))
        elif verb == b"LAST":
            self._reply(b"+OK %d" % shown.last)
        elif verb == b"CAPA":
            self._reply(_CAPABILITIES)
        elif verb == b"NOOP":
            self._ask(b"NOOP", lambda _reply, line: self._reply(line))
        elif verb == b"RSET":
            self._ask(b"RSET", self._reset)
        else:
            self._ask(b"QUIT", self._quit)

    def _reset(self, reply: Pop3Reply, _line: bytes) -> None:
        if not reply.ok:
            raise Unsure("the server refused RSET")
        assert self._numbering is not None
        self._numbering.reset()
        self._reply(b"+OK")

    def _quit(self, _reply: Pop3Reply, line: bytes) -> None:
        self._reply(line)
        self._end = "the client quit"

    def _list(self, shown: Numbering, verb: bytes, arguments: list[bytes]) -> None:
        if arguments:
            found = self._message(shown, arguments, 1)
            if found:
                self._reply(b"+OK " + _row(verb, *found))
            return
        present = shown.present()
        rows = [b"+OK %d messages" % len(present), *(_row(verb, *found) for found in present), b"."]
        self._reply(b"\r\n".join(rows))

    def _translate(self, shown: Numbering, verb: bytes, arguments: list[bytes]) -> None:
        found = self._message(shown, arguments, 2 if verb == b"TOP" else 1)
        if not found:
            return
        number, message = found
        command = b"%s %d" % (verb, message.target_number)
        if verb == b"DELE":
            self._ask(command, lambda reply, line: self._deleted(reply, line, number, message))
            return
        if verb == b"TOP":
            command += b" %d" % int(arguments[1])
        self._ask(command, lambda reply, line: self._retrieved(reply, line, number))

    def _deleted(self, reply: Pop3Reply, line: bytes, number: int, message: Visible) -> None:
        if reply.ok:
            assert self._numbering is not None
            message.deleted = True
            self._numbering.touch(number)
            line = b"+OK Message %d deleted." % number
        self._reply(line)

    def _retrieved(self, reply: Pop3Reply, line: bytes, number: int) -> None:
        self._reply(line)
        if reply.ok:
            assert self._numbering is not None
            self._numbering.touch(number)
            self._body = BodyEnd()
            self._reads = _Reads.BODY

    def _message(self, shown: Numbering, arguments: list[bytes], count: int) -> tuple[int, Visible] | None:
        if len(arguments) != count or not all(a.isdigit() and len(a) <= 10 for a in arguments):
            self._reply(b"-ERR Not a message number.")
            return None
        number = int(arguments[0])
        message = shown.find(number)
        if message is None:
            self._reply(b"-ERR No such message.")
            return None
        return number, message

    def _leave(self) -> None:
        """Log out at the server between two commands."""
        if self._numbering is not None and self._numbering.has_deleted:
            self._numbering.reset()
            self._ask(b"RSET", self._left_over)
        else:
            self._ask(b"QUIT", self._left)

    def _left_over(self, reply: Pop3Reply, _line: bytes) -> None:
        if not reply.ok:
            self._end = "ended at a boundary, without QUIT: the server refused RSET"

    def _left(self, _reply: Pop3Reply, _line: bytes) -> None:
        self._end = "ended at a boundary"

    def _reply(self, line: bytes) -> None:
        self._to_client.append(line + b"\r\n")

    def _fail(self, reason: str) -> None:
        """End the session; without QUIT, so that nothing is deleted."""
        self._to_server.clear()
        self._to_client.append(FAILED)
        self._end = reason

    def _flow(self) -> Flow:
        flow = Flow(b"".join(self._to_server), b"".join(self._to_client), self._end)
        self._to_server.clear()
        self._to_client.clear()
        return flow


def _row(verb: bytes, number: int, message: Visible) -> bytes:
    return b"%d %s" % (number, message.uidl if verb == b"UIDL" else b"%d" % message.octets)
