"""One mailbox in hand: where its messages come from, where they go, and its books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailferry.copying.book import MailboxBook
from mailferry.copying.desk import MailboxWork, Run
from mailferry.copying.sources import BodySource
from mailferry.model.mail import MailboxStatus, MessageFacts
from mailferry.plan.differences import Comparison
from mailferry.remote.imap_client import ImapClient


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """A mailbox that is open on both sides for the length of a pass over it."""

    run: Run
    work: MailboxWork
    source: BodySource
    target: ImapClient
    """The target's mailbox is selected there."""
    book: MailboxBook
    status: MailboxStatus
    """Of the target's mailbox when it was selected."""
    others: frozenset[int] = frozenset()
    """UIDs there that other ledgers explain."""

    def count_octets(self, listing: Comparison, new: Sequence[MessageFacts]) -> None:
        """Bring the work's octets up to date: of what is listed, and of `new` what has no copy yet."""
        remaining, skipped = self.book.octets_left(new)
        self.work.octets = listing.octets
        self.work.remaining_octets = remaining
        self.work.skipped_octets = listing.skipped_octets + skipped
