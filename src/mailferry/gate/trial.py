"""One login under way: what it has opened so far, and the certainty that it is closed again.

A session row is written before a source is dialled for an account whose copy runs, and goes again
when the session is not given to the client.
"""

from __future__ import annotations

from mailferry.gate.admission import LoginAttempt
from mailferry.gate.judges import Judgement
from mailferry.gate.live_sessions import Live, SessionBook
from mailferry.gate.place import Place
from mailferry.model.access import Side
from mailferry.model.account import Phase
from mailferry.remote.open import OpenSession

_WITH_ROW = frozenset({Phase.PRECOPY, Phase.BLOCKED})
"""Phases in which a copy may be about to freeze the account."""


class Trial:
    """Holds the sessions that the servers gave for one attempt, and the row of the source's."""

    def __init__(self, book: SessionBook, place: Place, attempt: LoginAttempt) -> None:
        self._book = book
        self.place = place
        self.attempt = attempt
        self.row: Live | None = None
        self.refused_at_source: Judgement | None = None
        """What the source said, where it said no."""
        self._sessions: dict[Side, OpenSession] = {}

    async def before_dialling(self, side: Side) -> None:
        """Write the session row where the account's copy may be about to freeze it.

        Raises Held while it is, Moved when the account changed since it was read.
        """
        account = self.place.account
        if side is Side.SOURCE and account is not None and account.phase in _WITH_ROW and self.row is None:
            protocol = self.attempt.protocol
            self.row = await self._book.open_row(account, protocol, self.attempt.client)

    def opened(self, side: Side, session: OpenSession) -> None:
        """Keep a session that a server gave."""
        self._sessions[side] = session

    def session(self, side: Side) -> OpenSession | None:
        """Return the session that `side` gave, if it did."""
        return self._sessions.get(side)

    def give(self, side: Side) -> OpenSession:
        """Take out the session that the client gets; it is no longer closed with the rest."""
        return self._sessions.pop(side)

    def give_row(self) -> Live | None:
        """Take out the row that goes with the session."""
        row, self.row = self.row, None
        return row

    async def leave_source(self) -> None:
        """Close the source's session and take its row away, and wait until the row is gone."""
        session = self._sessions.pop(Side.SOURCE, None)
        if session is not None:
            session.carrier.close()
        row, self.row = self.row, None
        if row is not None:
            await self._book.withdraw(row)

    async def close(self) -> None:
        """Close everything that was not given."""
        for session in self._sessions.values():
            session.carrier.close()
        self._sessions.clear()
        if self.row is not None:
            await self.leave_source()
