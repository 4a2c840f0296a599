"""Whether a target keeps what it is given (design A5): laid into a mailbox of our own, read back, removed again.

What it alters as `copying.likeness` knows it is recognised by the copier after a crash all the same. The
mailbox has a name that nobody had before, is never subscribed to, and no other mailbox is written to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from mailferry.copying.likeness import Likeness, LooseDigest, likenesses
from mailferry.copying.sources import ImapBodies
from mailferry.model.causes import Cause, Refused, RemoteFailure
from mailferry.model.mail import MessageFacts, body_digest
from mailferry.plan.arrival_date import instant
from mailferry.plan.mailbox_mapping import INBOX, Namespace, guessed_namespace
from mailferry.remote.imap_append import AppendResult
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.sendable import sendable_flags

NAME = b"mailferry-probe-"
KEYWORD = b"$MailferryProbe"
FLAGS = frozenset({b"\\Seen", b"\\Flagged"})
DATE = b"28-Feb-1996 23:59:58 +0545"
EXTENSIONS = ("UIDPLUS", "MULTIAPPEND", "LITERAL+", "LITERAL-", "MOVE")


class Kept(StrEnum):
    """What became of one kind of message."""

    WHOLE = "whole"
    ALIKE = "alike"
    """Altered in a way in which the copier recognises it again."""
    OTHER = "other"
    """Altered in more than that."""
    REFUSED = "refused"
    LOST = "lost"
    """Acknowledged, and not there."""


class Sample(NamedTuple):
    """One kind of message that targets were seen to alter or to refuse."""

    kind: str
    octets: bytes


PLAIN = "plain text"
SAMPLES = (
    Sample(PLAIN, b"Subject: mailferry probe\r\nFrom: probe@mailferry.invalid\r\n\r\nplain text\r\n"),
    Sample("8-bit body", b"Subject: mailferry probe\r\n\r\n\xc4\xfa\xba\xc3 \xff\xfe \xe4\xbd\xa0\r\n"),
    Sample("8-bit header", b"Subject: mailferry probe \xc4\xfa\xba\xc3\r\n\r\n8-bit header\r\n"),
    Sample("bare line feeds", b"Subject: mailferry probe\n\nbare\nline feeds\n"),
    Sample("lone carriage returns", b"Subject: mailferry probe\r\n\r\nlone\rcarriage returns\r\r\n"),
    Sample("NUL", b"Subject: mailferry probe\r\n\r\nbefore\0behind\r\n"),
    Sample("no last line end", b"Subject: mailferry probe\r\n\r\nno last line end"),
    Sample("empty lines at the end", b"Subject: mailferry probe\r\n\r\nempty lines\r\n\r\n\r\n"),
    Sample("long line", b"Subject: mailferry probe\r\n\r\n" + b"x" * 100_000 + b"\r\n"),
    Sample("no header", b"a probe of mailferry without a header\r\n"),
    Sample("no octets", b""),
)
_TWIN = b"Subject: mailferry probe\r\nMessage-ID: <twin@mailferry.invalid>\r\n\r\ntwin\r\n"


@dataclass(frozen=True, slots=True)
class TargetTraits:
    """What a target was seen to do."""

    extensions: tuple[str, ...]
    """Those it offers of the ones that make copies quicker or surer."""
    append_limit: int | None
    """The largest message in octets that it takes, where it tells."""
    kept: Mapping[str, Kept]
    """Kind of message to what became of it."""
    refusals: Mapping[str, str]
    """Kind of message to the target's words."""
    tells_uids: bool
    """Whether it said of each message truly where it keeps it; False where it does not say (no UIDPLUS)."""
    keeps_twins: bool
    """Whether two identical messages stay two."""
    keeps_flags: bool
    keeps_keywords: bool
    keeps_dates: bool
    left: bytes | None = None
    """Our mailbox, when it could not be removed."""

    @property
    def exactly_once(self) -> bool:
        """Whether a copy is recognised again after a crash, whatever it holds."""
        return self.keeps_twins and not self.kinds(Kept.OTHER, Kept.LOST)

    def kinds(self, *what: Kept) -> list[str]:
        """Return the kinds of messages that this became of."""
        return [kind for kind, became in self.kept.items() if became in what]


async def probe_target(opening: Callable[[], Awaitable[ImapClient]], token: bytes) -> TargetTraits:
    """Find out what the target does with the account that `opening` opens.

    `token` makes the name of our mailbox one that nobody has. A session that ends in the middle is
    replaced once, to remove the mailbox. Raises Refused or Unavailable; when the mailbox is still
    there, the text names it.
    """
    client = await opening()
    try:
        name = await _make_mailbox(client, token)
    except RemoteFailure:
        await client.logout()
        raise
    try:
        traits = await _look(client, name)
    except RemoteFailure as failure:
        if await _removed(client, opening, name):
            raise
        text = f"{failure.text}; our mailbox {name.decode()} could not be removed"
        raise type(failure)(failure.cause, text) from failure
    removed = await _removed(client, opening, name)
    return traits if removed else replace(traits, left=name)


async def _make_mailbox(client: ImapClient, token: bytes) -> bytes:
    listed = await client.list_mailboxes()
    told = await client.namespace()
    space = guessed_namespace(listed) if told is None else Namespace(*told)
    name = space.prefix + NAME + token
    if not await client.create(name):
        raise Refused(Cause.TARGET_REFUSED, f"there is a mailbox {name.decode()} already")
    return name


async def _removed(client: ImapClient, opening: Callable[[], Awaitable[ImapClient]], name: bytes) -> bool:
    """Remove our mailbox and end the session; say whether that worked."""
    try:
        if client.closed:
            client = await opening()
        await client.select(INBOX, read_only=True)  # a mailbox that is open is not removed everywhere
        await client.delete_mailbox(name)
    except RemoteFailure:
        return False
    finally:
        await client.logout()
    return True


async def _look(client: ImapClient, name: bytes) -> TargetTraits:
    """Lay the samples in, read them back, and say what became of them."""
    status = await client.select(name)
    flags, unfit = sendable_flags({*FLAGS, KEYWORD}, status.permanent_flags)
    results = await _append(client, name, [sample.octets for sample in SAMPLES], flags, together=False)
    twins = await _append(client, name, [_TWIN, _TWIN], frozenset(), together=True)
    await client.select(name)  # Courier shows what is new only then
    listed: dict[int, MessageFacts] = {}
    await client.fetch_facts(b"1:*", lambda facts: listed.update({facts.uid: facts}))
    found = await likenesses(ImapBodies(client), listed)
    everything = [*results, *twins]
    placed = _places(everything, sorted(listed))
    kept = {
        sample.kind: _kept(sample.octets, result, found.get(uid))
        for sample, result, uid in zip(SAMPLES, results, placed, strict=False)
    }
    stored = [uid for uid, result in zip(placed, everything, strict=True) if result.stored]
    there = [listed[uid] for uid in placed[: len(SAMPLES)] if uid in listed]
    return TargetTraits(
        extensions=tuple(name for name in EXTENSIONS if client.offers(name.encode())),
        append_limit=client.append_limit,
        kept=kept,
        refusals={
            sample.kind: result.refusal.text
            for sample, result in zip(SAMPLES, results, strict=True)
            if result.refusal is not None
        },
        tells_uids=client.tells_uids and [result.uid for result in everything if result.stored] == stored,
        keeps_twins=len(set(placed[len(SAMPLES) :]) & set(found)) == 2,
        keeps_flags=all(flags & FLAGS <= facts.flags for facts in there),
        keeps_keywords=not unfit and all(KEYWORD in facts.flags for facts in there),
        keeps_dates=all(instant(facts.internal_date) == instant(DATE) for facts in there),
    )


async def _append(
    client: ImapClient, name: bytes, messages: Sequence[bytes], flags: frozenset[bytes], *, together: bool
) -> list[AppendResult]:
    stream = client.append_batch(name, batches=together)
    for octets in messages:
        stream.begin_message(flags, DATE, len(octets))
        if octets:
            stream.chunk(octets)
        stream.end_message()
    return await stream.finish()


def _places(results: Sequence[AppendResult], listed: Sequence[int]) -> list[int]:
    """Return the UID of each message, 0 for one that is not there: as told, else in the order of sending."""
    stored = [result for result in results if result.stored]
    if len(stored) == len(listed):
        free = iter(listed)
        return [next(free) if result.stored else 0 for result in results]
    return [result.uid if result.uid in listed and result.uid is not None else 0 for result in results]


def _kept(octets: bytes, result: AppendResult, found: Likeness | None) -> Kept:
    if not result.stored:
        return Kept.REFUSED
    if found is None:
        return Kept.LOST
    if found.exact == body_digest(octets):
        return Kept.WHOLE
    loose = LooseDigest()
    loose.feed(octets)
    return Kept.ALIKE if found.loose == loose.value() else Kept.OTHER
