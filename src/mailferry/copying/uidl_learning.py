"""Which POP3 message of one host is which message of its INBOX, learnt once and kept in the store.

By the formula of the server as far as one explains its UIDLs; else by header digests, and by digests of
whole bodies where headers are alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mailferry.copying.digests import HeaderSink, TrimmedSink
from mailferry.copying.maildrop_digests import MaildropDigests
from mailferry.copying.maildrop_names import Listed, is_uidl
from mailferry.model.mail import DIGEST_OCTETS
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.plan.uidl_pairing import (
    ImapMessage,
    PopMessage,
    pair_by_bodies,
    pair_by_formula,
    pair_by_headers,
)
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store.uidls import UidlFact

_WHOLE = slice(DIGEST_OCTETS, 2 * DIGEST_OCTETS)
AT_ONCE = 500
"""Headers that INBOX is asked for between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one look at a host brought."""

    uids: Mapping[bytes, int]
    """Name to INBOX UID, for all messages that are paired."""
    facts: tuple[UidlFact, ...] = ()
    """New or better facts, to be stored."""
    gone: tuple[bytes, ...] = ()
    """Names that are not shown any more."""
    unpaired: Mapping[int, bytes] = field(default_factory=dict)
    """Message number to the digest of the whole message, for those that INBOX does not show."""
    lonely: frozenset[int] | None = None
    """UIDs that POP3 does not show; None when that was not found out."""
    unread: bool = False
    """The time was over before everything was looked at."""


class InboxSide:
    """INBOX as IMAP shows it; it is selected at `imap`. What was read is kept for the length of a look."""

    def __init__(self, imap: ImapClient, uidvalidity: int) -> None:
        self._imap = imap
        self.uidvalidity = uidvalidity
        self._uids: list[int] | None = None
        self._headers: dict[int, bytes] = {}

    async def anew(self) -> None:
        """Open INBOX once more: a session shows nothing that arrived since it looked last."""
        self.uidvalidity = (await self._imap.select(INBOX, read_only=True)).uidvalidity
        self._uids = None

    async def uids(self) -> Sequence[int]:
        """Return all UIDs."""
        if self._uids is None:
            found: list[int] = []
            await self._imap.fetch_flags(b"1:*", lambda uid, _flags: found.append(uid))
            self._uids = found
        return self._uids

    async def headers(
        self, uids: Collection[int], in_time: Callable[[], bool] = lambda: True
    ) -> dict[int, bytes] | None:
        """Return header digests by UID; None when the time was over before all were read."""
        missing = sorted(uid for uid in uids if uid not in self._headers)
        for at in range(0, len(missing), AT_ONCE):
            if not in_time():
                return None
            sink = HeaderSink()
            await self._imap.fetch_headers(missing[at : at + AT_ONCE], sink)
            self._headers.update(sink.digests)
        return {uid: self._headers[uid] for uid in uids if uid in self._headers}

    async def bodies(self, uids: Sequence[int]) -> dict[int, bytes]:
        """Return digests of whole messages without their last line ends."""
        sink = TrimmedSink()
        await self._imap.fetch_bodies(uids, sink)
        return sink.trimmed


class UidlLearner:
    """Pairs the maildrop of `pop` with `inbox`, as long as `in_time` says so.

    `lonely` are UIDs that an earlier look found to have no partner: they are looked at only for
    messages that POP3 did not show before.
    """

    def __init__(
        self,
        pop: Pop3Client,
        inbox: InboxSide,
        in_time: Callable[[], bool],
        *,
        lonely: frozenset[int] = frozenset(),
    ) -> None:
        self._inbox = inbox
        self._in_time = in_time
        self._lonely = lonely
        self._digests = MaildropDigests(pop, in_time)
        self._unread = False

    async def learn(self, listed: Listed, known: Sequence[UidlFact]) -> Learnt:
        """Look at what is not known yet. Raises Refused or Unavailable."""
        names = listed.names
        shown = set(names.values())
        before = {fact.uidl: fact for fact in known if fact.uidl in shown}
        gone = tuple(fact.uidl for fact in known if fact.uidl not in shown)
        paired = {name: fact.uid for name, fact in before.items() if fact.uid is not None}
        if len(paired) == len(shown):
            return Learnt(paired, gone=gone, unpaired={}, lonely=self._lonely)
        uids = await self._inbox.uids()
        taken = set(paired.values())
        formula = pair_by_formula(shown, uids, self._inbox.uidvalidity)
        paired |= {n: uid for n, uid in formula.items() if n not in paired and uid not in taken}
        left = {number: name for number, name in names.items() if name not in paired}
        headers: dict[int, bytes] = {}
        free = frozenset(uids) - set(paired.values())
        if left:
            headers = await self._headers(left, before)
            pairs = await self._pairs(left, headers, free, before)
            paired |= pairs
            free -= set(pairs.values())
        unpaired = {} if self._unread else await self._whole(names, paired, before)
        facts = self._facts(listed, paired, headers, unpaired, before)
        return Learnt(
            paired,
            tuple(fact for fact in facts if before.get(fact.uidl) != fact),
            gone,
            unpaired,
            None if self._unread else free,
            unread=self._unread,
        )

    async def _headers(self, left: Mapping[int, bytes], before: Mapping[bytes, UidlFact]) -> dict[int, bytes]:
        """Return header digests by message number: those of earlier looks, the others read now."""
        known = {n: before[name].digest for n, name in left.items() if name in before}
        digests = {number: digest[:DIGEST_OCTETS] for number, digest in known.items() if digest}
        digests |= await self._digests.headers([number for number in left if number not in digests])
        self._unread = self._digests.unread
        return digests

    async def _pairs(
        self,
        left: Mapping[int, bytes],
        headers: Mapping[int, bytes],
        free: frozenset[int],
        before: Mapping[bytes, UidlFact],
    ) -> dict[bytes, int]:
        """Pair with what INBOX shows newly; what POP3 shows newly also with what was lonely."""
        there = await self._inbox.headers(free - self._lonely, self._in_time)
        if there is None:
            self._unread = True
            return {}
        pops = [PopMessage(number, left[number], digest) for number, digest in headers.items()]
        pairs = await self._pair(pops, there)
        still = [pop for pop in pops if pop.uidl not in pairs and pop.uidl not in before]
        old = free & self._lonely
        if still and old and not self._unread:
            there = await self._inbox.headers(old, self._in_time)
            if there is None:
                self._unread = True
            else:
                pairs |= await self._pair(still, there)
        return pairs

    async def _pair(self, pops: Sequence[PopMessage], there: Mapping[int, bytes]) -> dict[bytes, int]:
        first = pair_by_headers(pops, [ImapMessage(uid, digest) for uid, digest in there.items()])
        if self._unread:
            # A twin that was not looked at yet would make a pair of two that are none.
            often = Counter(there.values())
            return {name: uid for name, uid in first.pairs.items() if often[there[uid]] == 1}
        pairs = dict(first.pairs)
        for mine, others in first.ambiguous:
            trimmed, _ = await self._digests.bodies([message.number for message in mine])
            bodies = await self._inbox.bodies([message.uid for message in others])
            second = pair_by_bodies(
                [PopMessage(m.number, m.uidl, trimmed[m.number]) for m in mine if m.number in trimmed],
                [ImapMessage(uid, digest) for uid, digest in bodies.items()],
            )
            pairs.update(second.pairs)
        self._unread = self._digests.unread
        return pairs

    async def _whole(
        self, names: Mapping[int, bytes], paired: Mapping[bytes, int], before: Mapping[bytes, UidlFact]
    ) -> dict[int, bytes]:
        """Return digests of whole messages that INBOX does not show: those of earlier looks, the others read now."""
        left = {number: name for number, name in names.items() if name not in paired}
        known = {n: before[name].digest[_WHOLE] for n, name in left.items() if name in before}
        digests = {number: digest for number, digest in known.items() if digest}
        digests |= (await self._digests.bodies([n for n in left if n not in digests]))[1]
        self._unread = self._unread or self._digests.unread
        return digests

    @staticmethod
    def _facts(
        listed: Listed,
        paired: Mapping[bytes, int],
        headers: Mapping[int, bytes],
        unpaired: Mapping[int, bytes],
        before: Mapping[bytes, UidlFact],
    ) -> list[UidlFact]:
        """Return what is known now; digests of header and whole are kept while a message has no pair."""
        facts: list[UidlFact] = []
        for number, name in listed.names.items():
            size = None if is_uidl(name) else listed.sizes.get(number)
            if name in paired:
                facts.append(UidlFact(name, b"", paired[name], size))
            elif number in headers:
                digest = headers[number] + unpaired.get(number, b"")
                known = before.get(name)
                if known is None or known.uid is not None or not known.digest.startswith(digest):
                    facts.append(UidlFact(name, digest, None, size))
        return facts
