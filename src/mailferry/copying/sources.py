"""Where messages come from: the selected mailbox of an IMAP session, or a POP3 maildrop."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from mailferry.remote.imap_client import ImapClient
from mailferry.remote.message_sink import FetchOutcome, MessageSink


class BodySource(Protocol):
    """What can hand whole messages to a sink; keys are the ledger's source UIDs."""

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand each message to `sink`, in ascending order. Raises Refused or Unavailable."""
        ...

    async def listed(self, uids: Collection[int]) -> frozenset[int]:
        """Return which of these the source still lists."""
        ...

    def arrived(self, uid: int) -> bytes | None:
        """Return the INTERNALDATE of a message that is handed on just now, where no listing told it."""
        ...

    @property
    def promises_sizes(self) -> bool:
        """Whether a message that is much smaller than its listed size may lack its body (263)."""
        ...

    @property
    def guesses_sizes(self) -> bool:
        """Whether the sizes of messages that came whole may prove the listed ones wrong altogether."""
        ...

    def pause(self) -> None:
        """Stop reading from the server."""
        ...

    def resume(self) -> None:
        """Go on reading."""
        ...


@runtime_checkable
class PipelinedSource(BodySource, Protocol):
    """A source that can be asked for more before it has given what it was asked for."""

    @property
    def one_batch_at_a_time(self) -> bool:
        """Whether it turned out that this one cannot."""
        ...

    async def fetch_bodies_once(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand messages to `sink` behind those of the calls before; what does not come is `missing`."""
        ...


class ImapBodies:
    """The mailbox that is selected at `client`."""

    def __init__(self, client: ImapClient) -> None:
        self._client = client

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand each message to `sink`."""
        return await self._client.fetch_bodies(sorted(uids), sink)

    @property
    def one_batch_at_a_time(self) -> bool:
        """Where UIDs come behind the bodies, messages are asked for one by one."""
        return self._client.names_uids_late

    async def fetch_bodies_once(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand each message to `sink`, without asking twice."""
        return await self._client.fetch_bodies_once(sorted(uids), sink)

    async def listed(self, uids: Collection[int]) -> frozenset[int]:
        """Ask for the flags of these UIDs only."""
        asked = frozenset(uids)
        seen: set[int] = set()
        if asked:
            await self._client.fetch_flags(sorted(asked), lambda uid, _flags: seen.add(uid))
        return frozenset(seen & asked)

    def arrived(self, uid: int) -> bytes | None:  # noqa: ARG002 - POP3 alone needs it
        """The listing told it."""
        return None

    @property
    def promises_sizes(self) -> bool:
        """RFC822.SIZE is the size of the message, whatever FETCH then gives."""
        return True

    @property
    def guesses_sizes(self) -> bool:
        """An estimate (Exchange) is near enough to tell that a body is missing."""
        return False

    def pause(self) -> None:
        """Stop reading from the server."""
        self._client.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._client.resume()
