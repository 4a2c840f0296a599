"""Numbers of our own for the messages of a maildrop: they stand in the ledger where IMAP has UIDs.

A name that is new gets the next number, for ever. A message that comes under another name than before
(a server that changes its UIDLs) is found again by its octets and keeps its number.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from mailferry.copying.book import MailboxBook
from mailferry.copying.desk import Run
from mailferry.copying.digests import body_digests
from mailferry.copying.learning import match_digests
from mailferry.copying.maildrop_names import Listed, is_uidl
from mailferry.copying.sources import BodySource
from mailferry.store import maildrops, uidls
from mailferry.store.uidls import FactsOf, UidlFact

STRIKES = 2
"""After all UIDLs have changed so often they are asked for no more."""
_TOO_FEW = 3
"""So few UIDLs may all be new by chance."""


class Numbers:
    """The numbers of one maildrop, durable in the store."""

    def __init__(self, run: Run, of: FactsOf, known: Sequence[UidlFact]) -> None:
        self._run = run
        self._of = of
        self._by_name = {fact.uidl: fact for fact in known}
        self.by_number: dict[int, int] = {}
        """Message number in this session to the number of ours."""

    async def give(self, listed: Listed, *, above: int = 0) -> None:
        """Number all messages that are named; new names get the next numbers, `above` what is used otherwise."""
        following = max((fact.uid or 0 for fact in self._by_name.values()), default=0)
        following = max(following, above) + 1
        fresh: list[UidlFact] = []
        for number in sorted(listed.names):
            name = listed.names[number]
            fact = self._by_name.get(name)
            if fact is None or fact.uid is None:
                fact = UidlFact(name, listed.headers.get(number, b""), following, listed.sizes.get(number))
                following += 1
                self._by_name[name] = fact
                fresh.append(fact)
            assert fact.uid is not None
            self.by_number[number] = fact.uid
        await self._store(fresh, [])

    async def recognise(self, source: BodySource, book: MailboxBook, listed: Listed) -> int:
        """Find ledgered messages again whose names changed; return how many.

        Only messages of the size that a lost one had are read. `source` knows messages by their new
        numbers, before and after.
        """
        shown = set(self.by_number.values())
        lost = {uid: book.entry(uid).digest for uid in book.source_uids() - shown}
        fresh = [number for number, uid in sorted(self.by_number.items()) if not book.has(uid)]
        if not lost or not fresh:
            return 0
        sizes = {fact.uid: fact.size for fact in self._by_name.values()}
        wanted = {sizes.get(uid) for uid in lost}
        read = [number for number in fresh if number in listed.bodies]
        found = await self._adopt({n: listed.bodies[n] for n in read}, lost, listed)
        likely = [n for n in fresh if n not in listed.bodies and ({listed.sizes.get(n), None} & wanted)]
        at_once = self._run.desk.limits.batch_messages
        for at in range(0, len(likely), at_once):
            if not lost:
                break
            self._run.check()
            by_uid = {self.by_number[number]: number for number in likely[at : at + at_once]}
            digests = (await body_digests(source, by_uid)).by_uid
            found += await self._adopt({by_uid[uid]: digest for uid, digest in digests.items()}, lost, listed)
        return found

    async def _adopt(self, digests: dict[int, bytes], lost: dict[int, bytes], listed: Listed) -> int:
        """Give the numbers of lost messages to those with their digests; takes them out of `lost`."""
        pairs = match_digests(digests, lost)
        names = {fact.uid: fact.uidl for fact in self._by_name.values()}
        learnt: list[UidlFact] = []
        for number, uid in pairs.items():
            name = listed.names[number]
            digest = listed.headers.get(number, b"")
            self._by_name[name] = UidlFact(name, digest, uid, listed.sizes.get(number))
            learnt.append(self._by_name[name])
            self.by_number[number] = uid
            self._by_name.pop(names.get(uid, b""), None)
            del lost[uid]
        await self._store(learnt, [names[uid] for uid in pairs.values() if uid in names])
        return len(pairs)

    async def forget_gone(
        self, book: MailboxBook, listed: Listed, incomplete: Collection[int] = frozenset()
    ) -> None:
        """Drop names that are neither shown nor in the ledger nor have an `incomplete` copy.

        The highest number is never given again.
        """
        shown = set(listed.names.values())
        highest = max((fact.uid or 0 for fact in self._by_name.values()), default=0)
        gone = [
            fact.uidl
            for fact in self._by_name.values()
            if fact.uidl not in shown
            and fact.uid not in {None, highest, *incomplete}
            and not book.has(fact.uid or 0)
        ]
        await self._store([], gone)

    async def note_renumbering(self, before: Sequence[UidlFact], listed: Listed, found: int) -> None:
        """Count it when no UIDL was the same as before although the messages were."""
        known = {fact.uidl for fact in before if is_uidl(fact.uidl)}
        shown = set(listed.uidls().values())
        if len(known) < _TOO_FEW or not shown or known & shown or found < _TOO_FEW:
            return
        account_id = self._run.request.account_id

        def work(conn: Connection) -> None:
            times = maildrops.get(conn, account_id).renumbered
            maildrops.note(conn, account_id, renumbered=times + 1)

        await self._run.register.write("renumbered", work)

    async def _store(self, learnt: Sequence[UidlFact], gone: Sequence[bytes]) -> None:
        if not learnt and not gone:
            return
        account_id, of = self._run.request.account_id, self._of

        def work(conn: Connection) -> None:
            uidls.forget(conn, account_id, of, gone)
            uidls.learn(conn, account_id, of, learnt)

        await self._run.register.write("number uidls", work)
