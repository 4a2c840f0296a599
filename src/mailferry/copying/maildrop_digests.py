"""Digests of messages in a maildrop, read in parts while there is time.

Through TOP: RETR sets `\\Seen` on Dovecot and makes messages vanish from Gmail's next list. Only a
server without TOP is asked by RETR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mailferry.copying.digests import HeaderSink, TrimmedSink
from mailferry.remote.message_sink import MessageSink
from mailferry.remote.pop3_client import Pop3Client

WHOLE = 999_999_999
"""Lines that TOP is asked for when the whole body is meant."""
AT_ONCE = 100
"""Messages asked for between two looks at the clock."""


class MaildropDigests:
    """Reads from one session as long as `in_time` says so."""

    def __init__(self, pop: Pop3Client, in_time: Callable[[], bool]) -> None:
        self._pop = pop
        self._in_time = in_time
        self._has_top = True
        self.unread = False
        """The time was over before all was read."""

    async def headers(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return header digests by message number, as far as the time reaches."""
        digests: dict[int, bytes] = {}
        for part in self._parts(numbers):
            sink = HeaderSink()
            await self._fetch(part, sink, 0)
            digests.update(sink.digests)
        return digests

    async def bodies(self, numbers: Sequence[int]) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """Return digests of whole messages by number: without their last line ends, and as they are."""
        trimmed: dict[int, bytes] = {}
        whole: dict[int, bytes] = {}
        for part in self._parts(numbers):
            sink = TrimmedSink()
            await self._fetch(part, sink, WHOLE)
            trimmed.update(sink.trimmed)
            whole.update(sink.whole)
        return trimmed, whole

    async def _fetch(self, numbers: Sequence[int], sink: MessageSink, lines: int) -> None:
        if self._has_top:
            outcome = await self._pop.fetch(numbers, sink, top_lines=lines)
            self._has_top = len(outcome.refused) < len(numbers)
        if not self._has_top:
            await self._pop.fetch(numbers, sink)

    def _parts(self, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
        for at in range(0, len(numbers), AT_ONCE):
            if not self._in_time():
                self.unread = True
                return
            yield numbers[at : at + AT_ONCE]
