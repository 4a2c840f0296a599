"""Message bodies out of FETCH answers, streamed literal by literal (RFC 3501 7.4.2; hazards D3, D4).

Items come in any order, bodies as literals, quoted strings or NIL, other FETCH answers in between.
A body *ends* only after the answer around it proved sound, so that a literal announced longer or
shorter than it was never passes for a whole message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.remote.imap_answers import Listener
from mailferry.remote.imap_command import Command
from mailferry.remote.imap_link import ImapLink
from mailferry.remote.message_sink import FetchOutcome, MessageSink, WholeSink
from mailferry.wire.imap_commands import uid_sets
from mailferry.wire.imap_fetch import fetch_items, fetch_start
from mailferry.wire.imap_framing import LineText, LiteralChunk
from mailferry.wire.imap_responses import Untagged, parse_response
from mailferry.wire.imap_values import BadResponse, Part, Streamed, Value, as_int

BODY = b"BODY[]"
HEADER = b"BODY[HEADER]"
WINDOW = 16
"""Commands for single messages on their way at a time."""
AWAITED = 64 * 1024
"""Octets of a small message: when a read ends inside of one, its beginning waits for the rest, so that all
of them are handed on whole and those of one read go out in one piece."""
MAX_PARTS = 200
"""Lines and literals of one FETCH answer."""

_FETCH = re.compile(rb"\* +\d+ +FETCH ", re.IGNORECASE)
_USUAL = re.compile(rb"\* \d+ FETCH \(UID (\d{1,10}) (BODY\[(?:HEADER)?\]) \{(\d+)\}")
_WHOLE = {
    BODY: re.compile(rb"\* \d{1,10} FETCH \(UID (\d{1,10}) BODY\[\] \{(\d{1,19})\}\r\n"),
    HEADER: re.compile(rb"\* \d{1,10} FETCH \(UID (\d{1,10}) BODY\[HEADER\] \{(\d{1,19})\}\r\n"),
}
_USUAL_ITEMS = frozenset({b"UID", b"FLAGS", b"MODSEQ", b"INTERNALDATE", b"RFC822.SIZE"})
"""What a server may tell beside a body: more is rather the rest of a body that was longer than announced."""


class BodyReader(Listener):
    """The listener of UID FETCH commands for one section; hands each message asked for to `sink` once.

    `wanted` shrinks as messages end. `unplaced` tells that the server names the UID only behind the
    body, while several were asked for: such bodies are let go, to be asked for one at a time.
    """

    def __init__(
        self,
        wanted: Collection[int],
        section: bytes,
        sink: MessageSink,
        *,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self.wanted = set(wanted)
        self.unplaced = False
        self._section = section
        self._sink = sink
        self._whole_sink = sink if isinstance(sink, WholeSink) else None
        self.takes_bulk = self._whole_sink is not None
        self._over = False
        self._paused = paused
        self._parts: list[Part] = []
        self._begun: int | None = None
        self._to_sink = False
        self._usual = False
        """The answer began in the usual form: behind the body only its bracket is to come."""

    def bulk(self, data: bytes, at: int) -> int:
        """Hand on messages of the usual form that came whole."""
        sink, wanted, match = self._whole_sink, self.wanted, _WHOLE[self._section].match
        assert sink is not None
        start, octets = at, memoryview(data)
        try:
            while not self._over and not self._paused() and (found := match(data, at)) is not None:
                uid, begins = int(found[1]), found.end()
                ends = begins + int(found[2])
                if data[ends : ends + 3] != b")\r\n" or uid not in wanted:
                    break  # it goes the way of all that is not usual, or not whole yet
                wanted.discard(uid)
                sink.whole(uid, octets[begins:ends])
                at = ends + 3
        finally:
            if at > start:
                sink.so_far()
        return at - start

    def awaits_rest(self, data: bytes, at: int) -> bool:
        """A small message of the usual form, of which the end has not come."""
        found = _WHOLE[self._section].match(data, at)
        if found is None or self._over:
            return False
        size = int(found[2])
        return size <= AWAITED and len(data) < found.end() + size + len(b")\r\n")

    def streams(self, line: bytes) -> bool:
        """Every FETCH answer, also those that bring no body."""
        return _FETCH.match(line) is not None

    def stream_line(self, line: LineText) -> None:
        """Begin a message before its literal, end it behind the answer's last bracket."""
        parts = self._parts
        parts.append(line.text)
        if line.literal is None:
            self._parts = []
            try:
                self._complete(parts)
            except BadResponse as fault:
                raise Unavailable(Cause.PROTOCOL_ERROR, f"a FETCH answer is unsound: {fault}") from fault
            return
        if len(parts) > MAX_PARTS:
            raise Unavailable(Cause.PROTOCOL_ERROR, "a FETCH answer of too many literals")
        usual = _USUAL.fullmatch(line.text) if len(parts) == 1 else None
        self._usual = usual is not None
        if usual is not None:
            self._to_sink = usual[2] == self._section and self._begin(int(usual[1]), line.literal)
        else:
            self._to_sink = self._begins_unusually(parts, line.literal)
        parts.append(Streamed(line.literal))

    def stream_chunk(self, chunk: LiteralChunk) -> None:
        """Hand octets of the message on, or let them go."""
        if self._to_sink and chunk.data:
            self._sink.chunk(chunk.data)

    def broken(self) -> None:
        """Tell the sink about a message that will not be completed."""
        self._over, self._to_sink = True, False
        if self._begun is not None:
            self._begun = None
            self._sink.broken()

    def _begins_unusually(self, parts: list[Part], size: int) -> bool:
        try:
            start = fetch_start(parts)
        except BadResponse as fault:
            raise Unavailable(Cause.PROTOCOL_ERROR, f"a FETCH answer is unsound: {fault}") from fault
        if start is None or start.item != self._section:
            return False
        return self._begin(_uid(start.items), size)

    def _begin(self, uid: int | None, size: int) -> bool:
        """Begin the message, unless nobody asked for it or it came before."""
        if self._begun is not None:
            raise Unavailable(Cause.PROTOCOL_ERROR, "a FETCH answer with two bodies")
        if uid is None:
            if len(self.wanted) != 1:
                self.unplaced = True
                return False
            (uid,) = self.wanted
        if uid not in self.wanted:
            return False
        self._begun = uid
        self._sink.begin(uid, size)
        return True

    def _complete(self, parts: list[Part]) -> None:
        """End the message if the whole answer is sound; hand on a body that came as a quoted string."""
        if self._usual and self._begun is not None and len(parts) == 3 and parts[2] == b")":
            self._end()
            return
        response = parse_response(parts)
        if not isinstance(response, Untagged) or len(response.values) != 1:
            raise BadResponse("something behind the last bracket")
        items = fetch_items(response)
        uid, body = _uid(items), items.get(self._section)
        if self._begun is None and isinstance(body, bytes) and self._begin(uid, len(body)) and body:
            self._sink.chunk(bytes(body))
        if self._begun is None:
            return
        if not items.keys() <= _USUAL_ITEMS | {self._section}:
            raise BadResponse("items that nobody asked for around a body")
        if uid != self._begun:
            raise BadResponse("a body without its UID, or of another message than asked for")
        self._end()

    def _end(self) -> None:
        assert self._begun is not None
        self.wanted.discard(self._begun)
        self._begun = None
        self._sink.end()


def _uid(items: dict[bytes, Value]) -> int | None:
    return as_int(items[b"UID"]) if b"UID" in items else None


async def fetch_once(
    link: ImapLink, section: bytes, uids: Collection[int], sink: MessageSink
) -> FetchOutcome:
    """Stream one section of each message to `sink`, by commands that go out at once.

    What does not come, for whatever reason, is `missing`. Raises as `fetch_messages` does.
    """
    reader = BodyReader(uids, section, sink, paused=link.is_paused)
    await _ask(link, section, reader)
    link.uid_comes_late = link.uid_comes_late or reader.unplaced
    return FetchOutcome(missing=tuple(sorted(reader.wanted)))


async def fetch_messages(
    link: ImapLink, section: bytes, uids: Collection[int], sink: MessageSink
) -> FetchOutcome:
    """Stream one section of each message to `sink`; what does not come is asked for once more.

    Raises Unavailable when the session breaks (behind `sink.broken()` for a message cut off), and
    when the server wants us to come back later.
    """
    if link.uid_comes_late:
        return await _one_by_one(link, section, uids, sink)
    reader = BodyReader(uids, section, sink, paused=link.is_paused)
    refusal = await _ask(link, section, reader)
    if reader.wanted and refusal is None and not reader.unplaced:
        reader = BodyReader(reader.wanted, section, sink, paused=link.is_paused)
        refusal = await _ask(link, section, reader)
    link.uid_comes_late = reader.unplaced
    if not reader.wanted:
        return FetchOutcome()
    if refusal is None and not reader.unplaced:
        return FetchOutcome(missing=tuple(sorted(reader.wanted)))
    return await _one_by_one(link, section, reader.wanted, sink)


async def _one_by_one(
    link: ImapLink, section: bytes, uids: Collection[int], sink: MessageSink
) -> FetchOutcome:
    """Ask for each message by a command of its own, some of them on their way at a time."""
    refused: dict[int, RemoteFailure] = {}
    missing: list[int] = []
    waiting = sorted(uids)
    for start in range(0, len(waiting), WINDOW):
        readers = [BodyReader((uid,), section, sink) for uid in waiting[start : start + WINDOW]]
        commands = [command for reader in readers for command in _send(link, section, reader)]
        later: Unavailable | None = None
        for reader, command in zip(readers, commands, strict=True):
            answer = await link.answer(command)
            refusal = None if answer.status == b"OK" else link.refusal(answer, "fetch")
            if isinstance(refusal, Unavailable):
                later = refusal
            elif refusal is not None:
                refused.update(dict.fromkeys(reader.wanted, refusal))
            else:
                missing.extend(reader.wanted)
        if later is not None:
            raise later
    return FetchOutcome(missing=tuple(missing), refused=refused)


async def _ask(link: ImapLink, section: bytes, reader: BodyReader) -> RemoteFailure | None:
    """Ask for what `reader` wants, in as few commands as can be; return the first refusal."""
    refusal: RemoteFailure | None = None
    for command in _send(link, section, reader):
        answer = await link.answer(command)
        if answer.status != b"OK" and refusal is None:
            refusal = link.refusal(answer, "fetch")
    if isinstance(refusal, Unavailable):
        raise refusal
    return refusal


def _send(link: ImapLink, section: bytes, reader: BodyReader) -> list[Command]:
    items = b" (UID " + section.replace(b"[", b".PEEK[") + b")"
    return [
        link.send("fetch", b"UID FETCH " + uids + items, listener=reader)
        for uids in uid_sets(reader.wanted, link.set_octets)
    ]
