"""A source mailbox listed in the cheapest way that leaves nothing to belief.

What changed since the last whole pass, where the server numbers its changes (CONDSTORE, QRESYNC); else
UIDs and flags of what the ledger knows and all facts of the rest; else all facts. A listing of changes
must add up to the number of messages that the server announces, or it is not believed.
"""

from __future__ import annotations

from mailferry.copying.book import MailboxBook
from mailferry.model.mail import MailboxStatus
from mailferry.plan.differences import Comparison
from mailferry.remote.imap_client import ImapClient

WHOLE_BELOW = 1000
"""A mailbox of fewer messages is listed with all facts: sizes are then exact."""


class SourceListing:
    """Lists the mailbox that is open at `client`, read-only."""

    def __init__(self, client: ImapClient, book: MailboxBook, status: MailboxStatus) -> None:
        self._client = client
        self._book = book
        self.status = status
        """What the server told of it last."""

    async def compare(self) -> Comparison:
        """Return the whole listing against the ledger. Raises Refused or Unavailable."""
        comparison = await self._changes()
        if comparison is None:
            comparison = await self._flags()
        if comparison is None:
            comparison = self._comparison()
            await self.read(comparison)
        return comparison

    async def read(self, comparison: Comparison) -> None:
        """List everything; twice when less came than SELECT announced (omission is not absence)."""
        for _ in range(2):
            if self.status.exists:
                await self._client.fetch_facts(b"1:*", comparison.feed)
            comparison.announced = self.status.exists
            if len(comparison.listed) >= self.status.exists:
                return
            self.status = await self._client.select(self._book.source_name, read_only=True)
        comparison.announced = self.status.exists

    def _comparison(self) -> Comparison:
        return Comparison(self._book.flags_keys(), self._book.settled_skips())

    @property
    def _seen_whole(self) -> bool:
        """Whether an earlier pass saw this mailbox whole, under the same UIDs."""
        row = self._book.row
        return (
            row.source_uidnext is not None
            and row.source_exists is not None
            and row.source_uidvalidity == self.status.uidvalidity
            and (self.status.uidnext is None or self.status.uidnext >= row.source_uidnext)
        )

    async def _changes(self) -> Comparison | None:
        """List what changed; None where the server cannot tell, or what it tells does not add up."""
        since, now = self._book.row.source_highestmodseq, self.status.highestmodseq
        if not self._seen_whole or since is None or now is None or now < since:
            return None
        comparison = self._comparison()
        vanished = await self._client.fetch_changes(since, comparison.feed)
        comparison.feed_unchanged(vanished.among)
        await self._due(comparison)
        if len(comparison.listed) != self.status.exists:
            return None
        self._estimate(comparison)
        return comparison

    async def _due(self, comparison: Comparison) -> None:
        """Ask for the messages whose time to be tried again has come: nothing about them changed."""
        due = self._book.due_skips()
        if due:
            await self._client.fetch_facts(sorted(due), comparison.feed)

    async def _flags(self) -> Comparison | None:
        """List flags of what is known and facts of the rest; None where that saves nothing."""
        row = self._book.row
        if (
            not self._seen_whole
            or self.status.exists < WHOLE_BELOW
            or 2 * len(self._book) < self.status.exists
        ):
            return None
        assert row.source_uidnext is not None
        comparison = self._comparison()
        unknown: set[int] = set()

        def note(uid: int, flags: frozenset[bytes]) -> None:
            if not comparison.feed_flags(uid, flags):
                unknown.add(uid)

        await self._client.fetch_flags(b"1:*", note)
        if unknown:
            await self._client.fetch_facts(sorted(unknown), comparison.feed)
        if len(comparison.listed) < self.status.exists:
            return None
        self._estimate(comparison)
        return comparison

    def _estimate(self, comparison: Comparison) -> None:
        """What was there is as large as it was, as far as it is there still."""
        book = self._book
        before = max((book.row.source_octets or 0) - book.skipped_octets(also_due=True), 0)
        comparison.estimate_octets(before, book.skipped_octets())
