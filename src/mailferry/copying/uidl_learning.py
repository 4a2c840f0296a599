"""Which POP3 message of one host is which message of its INBOX, learnt once and kept in the store.

By the formula of the server where one explains every UIDL; else by header digests, and by digests of
whole bodies where headers are alike. Bodies come through TOP: RETR sets `\\Seen` on Dovecot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from mailferry.copying.digests import HeaderSink, TrimmedSink
from mailferry.plan.uidl_pairing import (
    ImapMessage,
    PopMessage,
    pair_by_bodies,
    pair_by_formula,
    pair_by_headers,
)
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.message_sink import MessageSink
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store.uidls import UidlFact

WHOLE = 999_999_999
"""Lines that TOP is asked for when the whole body is meant."""
AT_ONCE = 100
"""Messages asked for between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one look at a host brought."""

    listed: Mapping[int, bytes]
    """Message number to UIDL, the whole list."""
    facts: tuple[UidlFact, ...]
    """New or better facts, to be stored."""
    gone: tuple[bytes, ...]
    """UIDLs that are not shown any more."""
    uids: Mapping[bytes, int]
    """UIDL to INBOX UID, for all that are paired."""
    unpaired: Mapping[int, bytes]
    """Number to digest of the whole message, for messages that INBOX does not show."""
    unread: bool
    """The slice was over before everything was looked at."""


class UidlLearner:
    """Pairs the maildrop of `pop` with the INBOX that is selected at `imap`."""

    def __init__(self, reactor: IReactorTime, pop: Pop3Client, imap: ImapClient, *, seconds: float) -> None:
        self._reactor = reactor
        self._pop = pop
        self._imap = imap
        self._until = reactor.seconds() + seconds
        self._unread = False
        self._has_top = True

    async def learn(self, known: Sequence[UidlFact], uidvalidity: int) -> Learnt:
        """Look at what is not known yet. Raises Refused or Unavailable."""
        listed = await self._pop.uidl()
        shown = set(listed.values())
        paired = {fact.uidl: fact.uid for fact in known if fact.uid is not None and fact.uidl in shown}
        gone = tuple(fact.uidl for fact in known if fact.uidl not in shown)
        open_numbers = [number for number, uidl in listed.items() if uidl not in paired]
        if not open_numbers:
            return Learnt(listed, (), gone, paired, {}, unread=False)
        uids: list[int] = []
        await self._imap.fetch_flags(b"1:*", lambda uid, _flags: uids.append(uid))
        by_formula = pair_by_formula(shown, uids, uidvalidity)
        if by_formula is not None:
            facts = tuple(UidlFact(uidl, b"", uid) for uidl, uid in by_formula.items() if uidl not in paired)
            return Learnt(listed, facts, gone, by_formula, {}, unread=False)
        digests = {fact.uidl: fact.digest for fact in known if fact.digest}
        headers = await self._headers(
            open_numbers, {n: digests[u] for n, u in listed.items() if u in digests}
        )
        free = sorted(set(uids) - set(paired.values()))
        pairs, lonely = await self._pair(listed, headers, free)
        facts = tuple(
            UidlFact(listed[number], digest, pairs.get(listed[number])) for number, digest in headers.items()
        )
        unpaired = await self._bodies([message.number for message in lonely])
        return Learnt(listed, facts, gone, paired | pairs, unpaired[1], unread=self._unread)

    async def _headers(self, numbers: Sequence[int], known: Mapping[int, bytes]) -> dict[int, bytes]:
        """Return header digests by message number, as far as the slice reaches."""
        digests = {number: known[number] for number in numbers if number in known}
        for part in self._parts([number for number in numbers if number not in known]):
            sink = HeaderSink()
            await self._fetch(part, sink, 0)
            digests.update(sink.digests)
        return digests

    async def _pair(
        self, listed: Mapping[int, bytes], headers: Mapping[int, bytes], free: Sequence[int]
    ) -> tuple[dict[bytes, int], list[PopMessage]]:
        there = HeaderSink()
        if free:
            await self._imap.fetch_headers(free, there)
        pops = [PopMessage(number, listed[number], digest) for number, digest in headers.items()]
        first = pair_by_headers(pops, [ImapMessage(uid, digest) for uid, digest in there.digests.items()])
        pairs = dict(first.pairs)
        lonely = list(first.unpaired)
        if self._unread:
            # A twin that was not looked at yet would make a pair of two that are none.
            return self._alone_only(first.pairs, there), []
        for mine, others in first.ambiguous:
            pop_bodies = (await self._bodies([message.number for message in mine]))[0]
            sink = TrimmedSink()
            await self._imap.fetch_bodies([message.uid for message in others], sink)
            second = pair_by_bodies(
                [PopMessage(m.number, m.uidl, pop_bodies[m.number]) for m in mine if m.number in pop_bodies],
                [ImapMessage(uid, digest) for uid, digest in sink.trimmed.items()],
            )
            pairs.update(second.pairs)
            lonely.extend(second.unpaired)
        return pairs, lonely

    @staticmethod
    def _alone_only(pairs: Mapping[bytes, int], there: HeaderSink) -> dict[bytes, int]:
        """Keep pairs whose header stands at one message of INBOX only."""
        counts: dict[bytes, int] = {}
        for digest in there.digests.values():
            counts[digest] = counts.get(digest, 0) + 1
        return {uidl: uid for uidl, uid in pairs.items() if counts[there.digests[uid]] == 1}

    async def _bodies(self, numbers: Sequence[int]) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """Return digests of whole messages by number: without their last line ends, and as they are."""
        trimmed: dict[int, bytes] = {}
        whole: dict[int, bytes] = {}
        for part in self._parts(list(numbers)):
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
            if self._reactor.seconds() >= self._until:
                self._unread = True
                return
            yield numbers[at : at + AT_ONCE]
