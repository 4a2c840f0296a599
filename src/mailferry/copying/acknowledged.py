"""Deletions that our own sessions saw acknowledged, as one pass may excuse vanished messages by them.

The number is the account's, over all its mailboxes. It is read before anything is listed, and again
when a mailbox would be held: a session that is still open tells within a second or two. Whatever a
whole pass did not need belonged to messages without a copy, and is forgotten with it, so that no
store of excuses grows.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mailferry.copying.book import Register
from mailferry.store import deletions


class Acknowledged:
    """The account's number for the length of one pass; `patience` in seconds for what is on its way."""

    def __init__(self, register: Register, reactor: IReactorTime, patience: float) -> None:
        self._register = register
        self._reactor = reactor
        self._patience = patience
        self._at_start = 0
        self._free = 0
        self._known = 0  # seen by the store, with what this pass has taken off it
        self._taken: dict[bytes, int] = {}
        self._used = 0
        self._written = 0  # of these, taken off in the store for certain
        self._waited = False

    async def read(self) -> None:
        """Take what the store knows; before the first listing."""
        self._at_start = self._known = self._free = await self._seen()

    async def read_again(self, *, wait: bool) -> None:
        """Take what came meanwhile; with `wait`, once a pass, also what is on its way."""
        if wait and not self._waited:
            self._waited = True
            await deferLater(self._reactor, self._patience, lambda: None)
        written = self._written
        more = await self._seen() + written - self._known  # what is written just now makes it less
        if more > 0:
            self._known += more
            self._free += more

    async def _seen(self) -> int:
        account_id = self._register.account_id
        return await self._register.read("deletions seen", lambda conn: deletions.seen(conn, account_id))

    def free_for(self, mailbox: bytes) -> int:
        """Return how many messages may be excused in `mailbox`; what it took before is given back."""
        self._free += self._taken.pop(mailbox, 0)
        return self._free

    def take(self, mailbox: bytes, number: int) -> None:
        """Excuse so many in `mailbox`; no other mailbox of this pass gets them."""
        self._free -= number
        self._taken[mailbox] = number

    def use(self, mailbox: bytes, deleted: int) -> int:
        """Return how many excuses go with `deleted` copies: to be taken off where these are forgotten."""
        used = min(self._taken.get(mailbox, 0), deleted)
        if used:
            self._taken[mailbox] -= used
            self._used += used
        return used

    def written(self, used: int) -> None:
        """Tell that they are taken off in the store."""
        self._written += used

    async def drop_rest(self) -> None:
        """After a whole pass: forget what was seen before it and not needed in it."""
        rest = max(self._at_start - self._used, 0)
        account_id = self._register.account_id
        if rest:
            await self._register.write(
                "deletions looked at", lambda conn: deletions.take_off(conn, account_id, rest)
            )
