"""Deletions that our own sessions saw acknowledged, as one pass may excuse vanished messages by them.

They are counted by mailbox; what a session could not name serves any mailbox. They are read before
anything is listed, and again when a mailbox would be held: a session that is still open tells within
a second or two. Whatever a whole pass did not need belonged to messages without a copy, and is
forgotten with it, so that no store of excuses grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mailferry.copying.register import Register
from mailferry.model.tap import ANY_MAILBOX, BELOW
from mailferry.store import deletions

_LEVELS = frozenset(b"/.\\^|:")
"""Hierarchy delimiters in use. A rename moves all mailboxes below (RFC 3501 6.3.5)."""


class Acknowledged:
    """The account's numbers for the length of one pass; `patience` in seconds for what is on its way."""

    def __init__(self, register: Register, reactor: IReactorTime, patience: float) -> None:
        self._register = register
        self._reactor = reactor
        self._patience = patience
        self._at_start: Counter[bytes] = Counter()
        self._free: Counter[bytes] = Counter()
        self._known: Counter[bytes] = Counter()  # seen by the store, with what this pass has taken off it
        self._taken: dict[bytes, Counter[bytes]] = {}
        self._used: Counter[bytes] = Counter()
        self._written: Counter[bytes] = Counter()  # of these, taken off in the store for certain
        self._waited = False

    async def read(self) -> None:
        """Take what the store knows; before the first listing."""
        self._at_start = Counter(await self._seen())
        self._known, self._free = self._at_start.copy(), self._at_start.copy()

    async def read_again(self, *, wait: bool) -> None:
        """Take what came meanwhile; with `wait`, once a pass, also what is on its way."""
        if wait and not self._waited:
            self._waited = True
            await deferLater(self._reactor, self._patience, lambda: None)
        written = self._written.copy()
        more = Counter(await self._seen()) + written - self._known  # what is written just now makes it less
        self._known += more
        self._free += more

    async def _seen(self) -> Mapping[bytes, int]:
        account_id = self._register.account_id
        return await self._register.read("deletions seen", lambda conn: deletions.seen(conn, account_id))

    def free_for(self, mailbox: bytes) -> int:
        """Return how many messages may be excused in `mailbox`; what it took before is given back."""
        self._free += self._taken.pop(mailbox, Counter())
        return sum(self._free[name] for name in self._names_for(mailbox))

    def take(self, mailbox: bytes, number: int) -> None:
        """Excuse so many in `mailbox`; no other mailbox of this pass gets them."""
        taken: Counter[bytes] = Counter()
        for name in self._names_for(mailbox):
            taken[name] = min(self._free[name], number)
            number -= taken[name]
        self._free -= taken
        self._taken[mailbox] = taken

    def use(self, mailbox: bytes, deleted: int) -> Mapping[bytes, int]:
        """Return the excuses that go with `deleted` copies: to be taken off where these are forgotten."""
        taken = self._taken.get(mailbox, Counter())
        used: Counter[bytes] = Counter()
        for name in self._names_for(mailbox):
            used[name] = min(taken[name], deleted)
            deleted -= used[name]
        taken -= used
        self._used += used
        return {name: number for name, number in used.items() if number}

    def written(self, used: Mapping[bytes, int]) -> None:
        """Tell that they are taken off in the store."""
        self._written += Counter(used)

    async def drop_rest(self) -> None:
        """After a whole pass: forget what was seen before it and not needed in it."""
        rest = dict(self._at_start - self._used)
        account_id = self._register.account_id
        if rest:
            await self._register.write(
                "deletions looked at", lambda conn: deletions.take_off(conn, account_id, rest)
            )

    def _names_for(self, mailbox: bytes) -> list[bytes]:
        """Return under which names deletions serve a mailbox: its own, those above it, then nobody's."""
        own = b"INBOX" if mailbox.upper() == b"INBOX" else mailbox
        above = [own[:at] + BELOW for at in range(len(own) - 1, 0, -1) if own[at] in _LEVELS]
        return [own, *above, ANY_MAILBOX]
