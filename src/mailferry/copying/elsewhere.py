"""Which messages that POP3 shows lie in other mailboxes than INBOX: some servers show all mail there.

By the digests of what was copied; what is left by headers, because a few servers add a line to what
they give over POP3, and nobody wants his sent mail once more in INBOX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from mailferry.copying.desk import Run
from mailferry.copying.sides import Pair
from mailferry.copying.uidl_learning import InboxSide
from mailferry.model.causes import Refused
from mailferry.model.mail import DIGEST_OCTETS
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.store import ledger, mailboxes
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.uidls import UidlFact

ELSEWHERE = b"e"
"""Behind a message's digests: it lies in another mailbox."""
AT_ONCE = 2000
"""So many messages outside INBOX are looked through while the maildrop is locked; more, before it is opened."""


def is_open(fact: UidlFact) -> bool:
    """Whether a message without a pair, whose digests are all known, was not found elsewhere yet."""
    return len(fact.digest) == 2 * DIGEST_OCTETS


class Elsewhere:
    """The other mailboxes of one account, as they are at the source and in the ledger."""

    def __init__(self, run: Run, pair: Pair) -> None:
        self._run = run
        self._pair = pair
        self._headers: set[bytes] | None = None

    async def among(
        self, asked: Mapping[int, tuple[bytes, bytes]], in_time: Callable[[], bool]
    ) -> set[int] | None:
        """Return which of these lie elsewhere; `asked` is number to digest of the whole and of the header.

        None when that takes a look through all headers that has not been taken.
        """
        if not asked:
            return set()
        wanted = {whole for whole, _ in asked.values()}
        copied = await self._run.register.read("copied elsewhere", lambda conn: self._copied(conn, wanted))
        found = {number for number, (whole, _) in asked.items() if whole in copied}
        if len(found) == len(asked):
            return found
        if self._headers is None:
            if await self._messages() > AT_ONCE or not in_time():
                return None
            await self.read_headers()
        headers = self._headers or set()
        return found | {number for number, (_, header) in asked.items() if header[:DIGEST_OCTETS] in headers}

    async def read_headers(self) -> None:
        """Read the headers of all messages outside INBOX, at the source."""
        found: set[bytes] = set()
        for row in await self._run.register.read("mailboxes", self._others):
            self._run.check()
            try:
                status = await self._pair.source.select(row.source_name, read_only=True)
            except Refused:
                continue
            if status.exists:
                side = InboxSide(self._pair.source, status.uidvalidity)
                found.update((await side.headers(await side.uids()) or {}).values())
        self._headers = found

    async def _messages(self) -> int:
        def count(conn: Connection) -> int:
            return sum(ledger.size(conn, row.id) for row in self._others(conn))

        return await self._run.register.read("messages elsewhere", count)

    def _others(self, conn: Connection) -> list[CopiedMailbox]:
        rows = mailboxes.of_account(conn, self._run.request.account_id)
        return [row for row in rows if row.source_name.upper() != INBOX and not row.gone]

    def _copied(self, conn: Connection, wanted: set[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for row in self._others(conn):
            found |= wanted & {entry.digest for entry in ledger.load(conn, row.id)}
        return found
