"""Messages streamed into a target mailbox by APPEND (RFC 3501 6.3.11), with a result for each.

One `AppendStream` is one batch. Where the target offers MULTIAPPEND (RFC 3502) the batch is one
command and the target keeps all of it or nothing; elsewhere each message is an APPEND of its own,
pipelined. Literals go without waiting where LITERAL+ or LITERAL- (RFC 7888) allow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache

from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.remote.imap_answers import Listener
from mailferry.remote.imap_command import Command
from mailferry.remote.imap_link import ImapLink
from mailferry.remote.sendable import sendable_date
from mailferry.wire.imap_commands import Literal, astring, flag_list
from mailferry.wire.imap_responses import Tagged
from mailferry.wire.imap_values import BadResponse

HIGHEST_UID = 0xFFFFFFFF
"""RFC 3501 9: a UID is a non-zero number of 32 bits."""
_ONE_UID = re.compile(rb"(\d{1,10}) (\d{1,10})")


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of one message of a batch, in the order of `begin_message`.

    A `refusal` that is Unavailable means that the target would not take it now; one that is Refused,
    that it does not want it. `code` is the response code of a refusal, such as `TOOBIG`.
    """

    uid: int | None = None
    """The UID at the target (UIDPLUS, RFC 4315); None when it did not tell, or kept nothing."""
    uidvalidity: int | None = None
    refusal: RemoteFailure | None = None
    """Why the target did not keep the message; None when it keeps it."""
    code: str | None = None
    whole_batch: bool = False
    """The refusal was said of several messages at once: this one may be innocent. Send it again alone."""

    @property
    def stored(self) -> bool:
        """Whether the target has the message."""
        return self.refusal is None


@lru_cache(maxsize=1024)
def _flag_words(flags: frozenset[bytes]) -> bytes:
    return b" " + flag_list(flags) + b" " if flags else b" "


def append_words(flags: Collection[bytes], internal_date: bytes | None) -> bytes:
    """Return what stands before a message's literal. Raises ValueError for what is no flag.

    A date that is none (`remote.sendable`), empty or None lets the target take today's.
    """
    words = _flag_words(frozenset(flags))
    date = sendable_date(internal_date) if internal_date else None
    return words if date is None else b'%b"%b" ' % (words, date)


class AppendStream:
    """One batch on its way into one mailbox.

    Call `begin_message`, `chunk`..., `end_message` for each message and then `finish`. Stop feeding
    while `wants_pause` is true; `on_pressure(full)` is called whenever that changes, and with False
    when the session ends. What is fed nevertheless is kept until it can be sent. Once the session is
    over, everything fed is dropped and `finish` tells why.
    """

    def __init__(
        self,
        link: ImapLink,
        mailbox: bytes,
        *,
        batches: bool,
        replies: Listener,
        on_pressure: Callable[[bool], None] | None = None,
    ) -> None:
        """`replies` hears what is said to single APPENDs."""
        self._link = link
        self._mailbox = astring(mailbox)
        self._batches = batches
        self._replies = replies
        self._on_pressure = on_pressure
        self._commands: list[Command] = []
        """The command of each message; the same one for all of a MULTIAPPEND."""
        self._left: int | None = None
        self._dropping = False
        self._unsent = False
        """A message was begun when the session was over already."""
        if on_pressure is not None:
            link.on_congestion = on_pressure

    @property
    def wants_pause(self) -> bool:
        """Whether the target takes no more octets just now."""
        return self._link.congested

    @property
    def begun(self) -> int:
        """How many messages were begun."""
        return len(self._commands)

    def begin_message(self, flags: Collection[bytes], internal_date: bytes | None, size: int) -> None:
        """Begin a message of exactly `size` octets; an empty or None date lets the target take today's.

        Raises ValueError inside another message, and for flags or a date that have no place in a
        command (`remote.sendable` sorts them out).
        """
        if internal_date and sendable_date(internal_date) is None:
            raise ValueError("an INTERNALDATE that is no date-time")
        self.begin(append_words(flags, internal_date), size)

    def begin(self, words: bytes, size: int) -> None:
        """Begin a message with the words of `append_words`."""
        if self._left is not None or size < 0:
            raise ValueError("the message before was not ended, or a size below nothing")
        self._left = size
        if self._link.failure is None:
            self._begin(words, size)
        else:
            self._unsent = True

    def chunk(self, data: bytes | memoryview) -> None:
        """Send the next octets. Raises ValueError beyond the announced size."""
        if self._left is None or len(data) > self._left:
            raise ValueError("more octets than were announced")
        self._left -= len(data)
        if self._link.failure is None and not self._dropping:
            self._link.add(self._commands[-1], data)

    def end_message(self) -> None:
        """Close the message. Raises ValueError when octets are missing; then only `abort` is left."""
        if self._left != 0:
            raise ValueError("octets are missing")
        self._left = None
        if self._link.failure is None and not self._batches:
            self._link.finish(self._commands[-1])

    def whole(self, words: bytes, octets: memoryview) -> None:
        """Take a message in one step; it goes out with others at the next `flush`, which must follow."""
        self._link.gather()
        if self._left is None and self._put(words, octets):
            return
        self.begin(words, len(octets))
        self.chunk(octets)
        self.end_message()

    def _put(self, words: bytes, octets: memoryview) -> bool:
        """Take a message without the steps in between; False where they are needed."""
        link = self._link
        if not self._batches:
            if isinstance(self._mailbox, Literal):
                return False
            single = link.put_whole("append", b"APPEND " + self._mailbox + words, octets, self._replies)
            if single is not None:
                self._commands.append(single)
            return single is not None
        if not self._commands:
            return False
        command = self._commands[-1]
        if command.answer is not None or not link.put(command, words, octets):
            return False
        self._commands.append(command)
        return True

    def flush(self) -> None:
        """Send what `whole` held back."""
        self._link.flush()

    async def finish(self) -> list[AppendResult]:
        """Close the batch and return a result for each message begun; sends nothing when none was.

        Raises Unavailable when the session ended before all was answered: then nobody knows what the
        target kept of this batch.
        """
        alive = self._link.failure is None
        if alive and self._left is not None:
            raise ValueError("the last message was not ended")
        if alive and self._batches and self._commands:
            self._link.finish(self._commands[-1])
        try:
            if self._link.failure is not None and (self._unsent or self._left is not None):
                raise self._link.failure
            if self._commands:
                # by the time of the last answer the others are here: one wait for all of them
                await self._link.answer(self._commands[-1])
            answers = {command: await self._link.answer(command) for command in dict.fromkeys(self._commands)}
        finally:
            if self._on_pressure is not None and self._link.on_congestion is self._on_pressure:
                self._link.on_congestion = None
        if self._batches:
            return [result for answer in answers.values() for result in self._results(answer, self.begun)]
        return [result for command in self._commands for result in self._results(answers[command], 1)]

    def abort(self) -> None:
        """End the session, so that the target throws the unfinished message away."""
        self._link.close()

    def _begin(self, words: bytes, size: int) -> None:
        if self._batches and self._commands:
            command = self._commands[-1]
            self._commands.append(command)
            self._dropping = command.answer is not None  # the batch was refused: its rest is not sent
            if not self._dropping:
                self._link.literal(command, words, size)
            return
        if isinstance(self._mailbox, Literal):
            command = self._link.begin("append", b"APPEND", self._replies)
            self._link.literal(command, b" ", len(self._mailbox.data))
            self._link.add(command, self._mailbox.data)
        else:
            command = self._link.begin("append", b"APPEND " + self._mailbox, self._replies)
        self._commands.append(command)
        self._link.literal(command, words, size)

    def _results(self, answer: Tagged, count: int) -> list[AppendResult]:
        """Return the results of the `count` messages that `answer` is about."""
        code = answer.code
        if answer.status != b"OK":
            name = None if code is None else code.name
            refused = AppendResult(
                refusal=_append_refusal(self._link, answer), code=name, whole_batch=count > 1
            )
            return [refused] * count
        if code is not None and code.name == "APPENDUID":
            usual = _ONE_UID.fullmatch(code.arguments) if count == 1 else None
            if usual is not None and 0 < (uid := int(usual[2])) <= HIGHEST_UID:
                return [AppendResult(uid=uid, uidvalidity=int(usual[1]))]
            try:
                uidvalidity, uids = code.append_uid()
            except BadResponse:
                uidvalidity, uids = 0, ()
            fit = len(uids) == count and len(set(uids)) == count
            if fit and min(uids) > 0 and max(uids) <= HIGHEST_UID:
                return [AppendResult(uid=uid, uidvalidity=uidvalidity) for uid in uids]
        return [AppendResult()] * count


def _append_refusal(link: ImapLink, answer: Tagged) -> RemoteFailure:
    """Sort a NO to APPEND: the same words mean something else at a target than at a source's login."""
    failure = link.refusal(answer, "append")
    if answer.code is not None and answer.code.name == "OVERQUOTA":
        return Refused(Cause.TARGET_OVER_QUOTA, failure.text)
    if isinstance(failure, Unavailable):
        return Unavailable(failure.cause, failure.text, retry_after=failure.retry_after)
    return Refused(Cause.TARGET_REFUSED, failure.text)
