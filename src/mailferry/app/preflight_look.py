"""What `domain test` looks at once it is logged in: mailboxes, ages, and a few messages that are really read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from twisted.internet.interfaces import IReactorTime

from mailferry.model.mail import Mailbox, MailboxStatus, MessageFacts
from mailferry.plan.arrival_date import instant
from mailferry.plan.completeness import seems_header_only
from mailferry.plan.copy_estimate import Sample
from mailferry.plan.header_identity import HeaderIdentity, promises_parts
from mailferry.plan.mailbox_mapping import Namespace, guessed_namespace
from mailferry.providers.placeholders import PlaceholderTest
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.message_sink import FetchOutcome
from mailferry.remote.pop3_client import Pop3Client

INBOX = b"INBOX"
NO_PREFIX = Namespace()
READ_MESSAGES = 20
READ_OCTETS = 2 * 1024 * 1024
"""So much is read at most to measure the speed; one message always."""
_HEADS = 64 * 1024
_WHOLE = 999_999_999
"""Lines of a message that TOP shall give: unlike RETR it leaves messages unread on most servers."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one protocol showed."""

    sample: Sample
    inbox: int
    mailboxes: int = 1
    oldest: int | None = None
    """Second of arrival of the oldest message that was listed."""
    bodyless: int = 0
    placeholders: int = 0
    sizes_exact: bool | None = None
    unreadable: int = 0
    """Messages that were listed and did not come."""
    counts: Mapping[bytes, int] = field(default_factory=dict)
    """Messages by the raw name of the mailbox; none over POP3."""
    listed: tuple[Mailbox, ...] = ()
    """All mailboxes, as they were listed; none over POP3."""
    space: Namespace = NO_PREFIX


class Reading:
    """A sink that counts what comes and looks at its beginning."""

    def __init__(self, sizes: dict[int, int | None], placeholder: PlaceholderTest | None) -> None:
        self._sizes = sizes
        self._placeholder = placeholder
        self._key = 0
        self._head = bytearray()
        self._octets = 0
        self.read = 0
        self.octets = 0
        self.bodyless = 0
        self.placeholders = 0
        self.exact = True

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the octets that come are counted
        """Begin a message."""
        self._key, self._octets = key, 0
        self._head.clear()

    def chunk(self, data: bytes) -> None:
        """Take octets."""
        self._octets += len(data)
        if len(self._head) < _HEADS:
            self._head += data

    def end(self) -> None:
        """Look at what came."""
        head, announced = bytes(self._head), self._sizes.get(self._key)
        header = len(head) - len(HeaderIdentity().feed(head))
        self.read += 1
        self.octets += self._octets
        self.exact = self.exact and announced in {None, self._octets}
        parts = promises_parts(head)
        self.bodyless += seems_header_only(self._octets, announced, header, multipart=parts)
        self.placeholders += self._placeholder is not None and self._placeholder(head)

    def broken(self) -> None:
        """Count nothing."""


async def look_over_imap(
    client: ImapClient, reactor: IReactorTime, placeholder: PlaceholderTest | None
) -> Look:
    """List everything, open INBOX, read its newest messages (or another mailbox's when it is empty).

    Raises Refused or Unavailable.
    """
    listed = await client.list_mailboxes()
    told = await client.namespace()
    mailboxes = [mailbox for mailbox in listed if mailbox.selectable]
    inbox = await client.select(INBOX, read_only=True)
    counted = await client.status_all([mailbox.name for mailbox in mailboxes])
    opened = await _fullest(client, inbox, counted.values())
    sizes: dict[int, int | None] = {}
    oldest: list[int] = []

    def note(facts: MessageFacts) -> None:
        sizes[facts.uid] = facts.size
        moment = instant(facts.internal_date)
        if moment is not None and (not oldest or moment < oldest[0]):
            oldest[:] = [moment]

    if opened.exists:
        await client.fetch_facts(b"1:*", note)
    reading = Reading(sizes, placeholder)
    seconds, missing = await _read(reactor, sizes, lambda uids: client.fetch_bodies(uids, reading))
    total = max(sum(status.exists for status in counted.values()), opened.exists)
    found = _look(reading, sizes, seconds, missing, total, inbox.exists, len(mailboxes), oldest)
    space = guessed_namespace(listed) if told is None else Namespace(*told)
    counts = {name: status.exists for name, status in counted.items()}
    return replace(found, listed=tuple(listed), space=space, counts=counts)


async def _fullest(
    client: ImapClient, inbox: MailboxStatus, counted: Collection[MailboxStatus]
) -> MailboxStatus:
    if inbox.exists or not counted:
        return inbox
    fullest = max(counted, key=lambda status: status.exists)
    return await client.select(fullest.name, read_only=True) if fullest.exists else inbox


async def look_over_pop3(
    client: Pop3Client, reactor: IReactorTime, placeholder: PlaceholderTest | None
) -> Look:
    """Count the maildrop and read its newest messages. Raises Refused or Unavailable."""
    count, _ = await client.stat()
    sizes: dict[int, int | None] = dict(await client.list())
    reading = Reading(sizes, placeholder)

    async def fetch(numbers: Collection[int]) -> FetchOutcome:
        outcome = await client.fetch(numbers, reading, top_lines=_WHOLE)
        return outcome if len(outcome.refused) < len(numbers) else await client.fetch(numbers, reading)

    seconds, missing = await _read(reactor, sizes, fetch)
    return _look(reading, sizes, seconds, missing, count, count, 1, [])


async def _read(
    reactor: IReactorTime,
    sizes: dict[int, int | None],
    fetch: Callable[[Collection[int]], Awaitable[FetchOutcome]],
) -> tuple[float, int]:
    """Read the newest; return how long it took and how many did not come."""
    wanted: list[int] = []
    octets = 0
    for uid in sorted(sizes, reverse=True)[:READ_MESSAGES]:
        octets += sizes[uid] or 0
        if wanted and octets > READ_OCTETS:
            break
        wanted.append(uid)
    if not wanted:
        return 0.0, 0
    began = reactor.seconds()
    outcome = await fetch(sorted(wanted))
    return reactor.seconds() - began, len(outcome.missing) + len(outcome.refused)


def _look(
    reading: Reading,
    sizes: dict[int, int | None],
    seconds: float,
    missing: int,
    total: int,
    inbox: int,
    mailboxes: int,
    oldest: list[int],
) -> Look:
    told = [size for size in sizes.values() if size is not None]
    sample = Sample(total, len(told), sum(told), reading.read, reading.octets, seconds)
    return Look(
        sample,
        inbox,
        mailboxes,
        oldest[0] if oldest else None,
        reading.bodyless,
        reading.placeholders,
        reading.exact if reading.read and told else None,
        missing,
    )
