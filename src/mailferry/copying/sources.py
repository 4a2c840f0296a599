"""Where messages come from: the selected mailbox of an IMAP session, or a POP3 maildrop."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

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

    def pause(self) -> None:
        """Stop reading from the server."""
        ...

    def resume(self) -> None:
        """Go on reading."""
        ...


class ImapBodies:
    """The mailbox that is selected at `client`."""

    def __init__(self, client: ImapClient) -> None:
        self._client = client

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand each message to `sink`."""
        return await self._client.fetch_bodies(sorted(uids), sink)

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

    def pause(self) -> None:
        """Stop reading from the server."""
        self._client.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._client.resume()
