"""The IMAP command queue over a carrier: commands out, answers in (RFC 3501 2.2, 5.5, 7).

Commands go out in the order they were begun, one behind the other, without waiting for answers. Only
a synchronizing literal makes the queue wait, for its `+`. Untagged answers are told to the listener
of the oldest command that is not answered yet; tagged answers end their command.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from secrets import token_hex

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.profile import Profile
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.remote.failures import command_failure, lost_session
from mailferry.remote.imap_answers import AnswerReader, Listener
from mailferry.remote.imap_command import Command
from mailferry.remote.patience import Patience
from mailferry.remote.throttle import Throttle
from mailferry.wire.imap_commands import Literal
from mailferry.wire.imap_responses import Continuation, Response, Tagged, capabilities

LITERAL_MINUS_LIMIT = 4096
"""RFC 7888 5: with LITERAL- larger literals wait for their `+`."""
_NOBODY = Listener()


def upper(words: Iterable[bytes]) -> frozenset[bytes]:
    """Return capability names in the one form in which they are compared."""
    return frozenset(word.upper() for word in words)


class ImapLink:
    """One session's command queue; the carrier's user from the moment it is made.

    `timeout` is the silence in seconds, while an answer is owed, that ends the session.
    """

    def __init__(
        self,
        carrier: Carrier,
        profile: Profile,
        reactor: IReactorTime,
        *,
        timeout: float,
        offered: frozenset[bytes] = frozenset(),
        residual: bytes = b"",
    ) -> None:
        self.profile = profile
        self.capabilities = offered
        """What the server offers, in upper case."""
        self.uid_comes_late = False
        """Set once the server named a UID only behind the body."""
        self.on_congestion: Callable[[bool], None] | None = None
        """Told whenever `congested` changes."""
        self._carrier = carrier
        self._reactor = reactor
        self._timeout = timeout
        self._answers = AnswerReader(self._listening, self._respond)
        self._open: deque[Command] = deque()
        self._sending: deque[Command] = deque()
        self._number = 0
        self._digits = b""
        self._gathered: list[bytes | memoryview] | None = None
        self._full = False
        self._congested = False
        self._paused = False
        self._ended: ClosedReason | None = None
        self._farewell: bytes | None = None
        self._failure: BaseException | None = None
        self._timer: IDelayedCall | None = None
        self._active_at = reactor.seconds()
        self._throttle = Throttle(reactor, self._pump)
        self._patience = Patience(carrier, reactor)
        carrier.expect_bulk()
        carrier.drop_if_killed()  # an APPEND that ends behind our back would be found by nobody
        if residual:
            self.received(residual)
        carrier.attach(self)

    # ---- commands out

    def begin(self, stage: str, words: bytes, listener: Listener = _NOBODY) -> Command:
        """Begin a command with `words` (no tag, no end of line); `add` and `literal` bring the rest.

        Later commands wait until `finish` is called on it. Raises what ended the session.
        """
        if self._failure is not None:
            raise self._failure
        command = self._numbered(stage, listener)
        command.pieces.append(command.tag + b" " + words)
        self._open.append(command)
        self._sending.append(command)
        self._pump()
        self._watch()
        return command

    def add(self, command: Command, data: bytes | memoryview) -> None:
        """Send more octets of `command`; dropped when it was refused or the session is over."""
        if command.skipped or self._failure is not None:
            return
        if self._sending[0] is command and not command.pieces and not command.gated:
            self._write(data)
        else:
            command.pieces.append(bytes(data))

    def literal(self, command: Command, before: bytes, size: int) -> None:
        """Send `before` and announce a literal of `size` octets, which the caller adds next."""
        if self._goes_at_once(size):
            self.add(command, before + b"{%d+}\r\n" % size)
        elif not command.skipped:
            command.pieces.append(before + b"{%d}\r\n" % size)
            command.pieces.append(None)
            self._pump()

    def finish(self, command: Command) -> None:
        """End the command's last line."""
        self.add(command, b"\r\n")
        command.closed = True
        self._touch()
        self._pump()

    def send(self, stage: str, *pieces: bytes | Literal, listener: Listener = _NOBODY) -> Command:
        """Begin and finish a command made of `pieces`, with a blank between any two."""
        first, *rest = pieces
        assert isinstance(first, bytes)
        command = self.begin(stage, first, listener)
        for piece in rest:
            if isinstance(piece, bytes):
                self.add(command, b" " + piece)
            else:
                self.literal(command, b" ", len(piece.data))
                self.add(command, piece.data)
        self.finish(command)
        return command

    def put(self, command: Command, before: bytes, octets: memoryview) -> bool:
        """Add `before` and a literal in one step; False when that cannot be, because something waits."""
        size = len(octets)
        if (
            self._gathered is None
            or self._failure is not None
            or self._sending[0] is not command
            or command.pieces
            or command.gated
            or not self._goes_at_once(size)
        ):
            return False
        self._gathered += (b"%b{%d+}\r\n" % (before, size), octets)
        return True

    def put_whole(self, stage: str, words: bytes, octets: memoryview, listener: Listener) -> Command | None:
        """Send a command that ends with a literal in one step; None when that cannot be, because something waits."""
        size = len(octets)
        if (
            self._gathered is None
            or self._failure is not None
            or self._sending
            or self._throttle.held
            or not self._goes_at_once(size)
        ):
            return None
        command = self._numbered(stage, listener)
        command.begun = command.closed = True
        self._open.append(command)
        self._gathered += (b"%b %b{%d+}\r\n" % (command.tag, words, size), octets, b"\r\n")
        self._touch()
        self._watch()
        return command

    def gather(self) -> None:
        """Hold back what is sent from now on, so that it goes out in one piece; `flush` must follow."""
        if self._gathered is None:
            self._gathered = []

    def flush(self) -> None:
        """Send what was held back, and hold nothing back any more."""
        gathered, self._gathered = self._gathered, None
        if gathered and self._failure is None:
            self._carrier.write(b"".join(gathered))

    def settle_oldest(self, answer: Tagged, listener: Listener) -> bool:
        """End the oldest command by an OK with nothing to see to; False where it is another's, or not sent whole."""
        command = self._open[0] if self._open else None
        if command is None or command.tag != answer.tag or command.listener is not listener or self._sending:
            return False
        self._open.popleft()
        self._throttle.answered(throttled=False)
        command.answer = answer
        command.settle()
        return True

    async def answer(self, command: Command) -> Tagged:
        """Wait for the tagged answer. Raises what ended the session."""
        if command.open:
            command.waiter = Deferred()
            await command.waiter
        if command.answer is not None:
            return command.answer
        assert command.error is not None
        raise command.error

    async def run(self, stage: str, *pieces: bytes | Literal, listener: Listener = _NOBODY) -> Tagged:
        """Send a command and return its OK. Raises Refused or Unavailable for NO and BAD."""
        answer = await self.answer(self.send(stage, *pieces, listener=listener))
        if answer.status != b"OK":
            raise self.refusal(answer, stage)
        return answer

    def refusal(self, answer: Tagged, stage: str) -> RemoteFailure:
        """Return what a NO or BAD stands for."""
        code = answer.code.name if answer.code is not None else None
        return command_failure(self.profile, code=code, text=answer.text, stage=stage)

    @property
    def set_octets(self) -> int:
        """How long a set of UIDs may be, so that its command is no longer than the server takes."""
        return max(self.profile.max_command_octets - 100, 100)

    def _goes_at_once(self, size: int) -> bool:
        """Whether a literal needs no `+` (RFC 7888)."""
        offered = self.capabilities
        return b"LITERAL+" in offered or (b"LITERAL-" in offered and size <= LITERAL_MINUS_LIMIT)

    # ---- the session as a whole

    @property
    def congested(self) -> bool:
        """Whether what is sent now only waits: for the network, or for a literal's `+`."""
        return self._congested

    @property
    def over(self) -> bool:
        """Whether the session has ended, by whichever side."""
        return self._failure is not None

    @property
    def failure(self) -> BaseException | None:
        """What ended the session; None while it lives."""
        return self._failure

    def pause(self) -> None:
        """Stop reading; the server is slowed down. No time limit runs meanwhile."""
        self._paused = True
        self._answers.hold()
        self._carrier.pause()

    def is_paused(self) -> bool:
        """Whether nothing is read."""
        return self._paused

    def resume(self) -> None:
        """Go on reading."""
        self._paused = False
        self._touch()
        self._hand_on(self._answers.go_on)
        if not self._paused and self._failure is None:
            self._carrier.resume()
        if not self._paused and self._ended is not None:
            self.closed(self._ended)

    def close(self) -> None:
        """End the session at once and without a word; commands that are open raise Unavailable."""
        self._fail(Unavailable(Cause.SERVER_DOWN, "the session was closed on our side"))

    # ---- the carrier's user

    def received(self, data: bytes) -> None:
        """Take octets from the server."""
        self._touch()
        self._hand_on(lambda: self._answers.feed(data))
        if self._failure is None:
            self._patience.after_read(len(data), len(self._open))

    def pressure(self, full: bool) -> None:
        """Learn whether the network takes more."""
        self._full = full
        self._touch()
        self._note_congestion()

    def closed(self, reason: ClosedReason) -> None:
        """Learn that nothing follows, but what was held back while reading was paused."""
        if self._answers.waiting and self._failure is None:
            self._ended = reason
            return
        doing = f" during {self._open[0].stage}" if self._open else ""
        self._fail(lost_session(self.profile, farewell=self._farewell, text=f"{reason}{doing}"))

    # ---- inside

    def _hand_on(self, step: Callable[[], None]) -> None:
        if self._failure is not None:
            return
        try:
            step()
        except Exception as error:  # loop edge: a listener's exception ends this session only
            self._fail(error)

    def _numbered(self, stage: str, listener: Listener) -> Command:
        self._number += 1
        return Command(b"m%d%s" % (self._number, self._unguessed()), stage, listener)

    def _unguessed(self) -> bytes:
        """Return six digits for a tag; drawn for many tags at a time."""
        if not self._digits:
            self._digits = token_hex(96).encode()
        digits, self._digits = self._digits[:6], self._digits[6:]
        return digits

    def _write(self, data: bytes | memoryview) -> None:
        if self._gathered is not None:
            self._gathered.append(data)
        else:
            self._carrier.write(bytes(data))

    def _pump(self) -> None:
        """Send what may be sent: up to the end, a literal's gate, or a command that is not finished."""
        while self._sending and not (self._throttle.held and not self._sending[0].begun):
            command = self._sending[0]
            command.begun = True
            while command.pieces and not command.gated:
                piece = command.pieces.popleft()
                if piece is None:
                    command.gated = True
                    self._touch()
                else:
                    self._write(piece)
            if command.gated or not command.closed:
                break
            self._sending.popleft()
        self._note_congestion()

    def _note_congestion(self) -> None:
        first = self._sending[0] if self._sending else None
        waits = first is not None and (first.gated or (self._throttle.held and not first.begun))
        congested = self._full or waits
        if congested is not self._congested:
            self._congested = congested
            if self.on_congestion is not None:
                self.on_congestion(congested)

    def _listening(self) -> Listener | None:
        return self._open[0].listener if self._open else None

    def _respond(self, response: Response) -> None:
        if isinstance(response, Tagged):
            self._tagged(response)
        elif isinstance(response, Continuation):
            if self._sending and self._sending[0].gated:
                self._sending[0].gated = False
                self._pump()
        elif response.kind == b"BYE":
            self._farewell = response.text
        else:
            if response.kind == b"CAPABILITY":
                self.capabilities = upper(capabilities(response))
            if self._open:
                self._open[0].listener.untagged(response)

    def _tagged(self, response: Tagged) -> None:
        """End the command that the tag names; a refusal instead of `+` also ends what was to follow."""
        command = next((open_ for open_ in self._open if open_.tag == response.tag), None)
        if command is None:
            raise Unavailable(Cause.PROTOCOL_ERROR, "an answer to a command that was never sent")
        unfinished = command.gated or not command.closed
        if (response.status == b"OK" and unfinished) or command in islice(self._sending, 1, None):
            raise Unavailable(Cause.PROTOCOL_ERROR, "an answer to a command that was not sent whole")
        self._open.remove(command)
        command.answer = response
        if response.status == b"OK":
            asks = response.code is not None and response.code.name == "THROTTLED"
            self._throttle.answered(throttled=asks)
        if command.gated:
            command.gated = False
            command.skipped = True
            command.pieces.clear()
            self._pump()
        command.settle()

    def _touch(self) -> None:
        self._active_at = self._reactor.seconds()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self._reactor.callLater(self._timeout, self._look)

    def _look(self) -> None:
        """End a session that owes an answer and was silent too long."""
        self._timer = None
        if not self._open:
            return
        oldest = self._open[0]
        owed = oldest.closed or self._full or any(command.gated for command in self._open)
        if self._paused or not owed:
            self._touch()
        left = self._active_at + self._timeout - self._reactor.seconds()
        if left > 0:
            self._timer = self._reactor.callLater(left, self._look)
        else:
            self._fail(Unavailable(Cause.SERVER_DOWN, f"no answer to {oldest.stage} in {self._timeout:g} s"))

    def _fail(self, error: BaseException) -> None:
        """End the session; every open command raises `error`."""
        if self._failure is not None:
            return
        self._failure = error
        self._answers.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._throttle.cancel()
        self._patience.end()
        self._carrier.abort()
        ended = tuple(self._open)
        self._open.clear()
        self._sending.clear()
        try:
            for listener in dict.fromkeys(command.listener for command in ended):
                listener.broken()
        finally:
            self._full = False
            self._note_congestion()
            for command in ended:
                command.error = error
                command.settle()
