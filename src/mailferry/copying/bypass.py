"""Changes at the source that no session of ours made: somebody still uses the old host directly (design A2).

What vanished counts unless our sessions saw it deleted. Flags that changed and messages that moved count
only where no session of the account was about since the pass before: nobody tells us who did it. Only
passes before the flip look at these.
"""

from __future__ import annotations

from sqlalchemy import Connection

from mailferry.copying.register import Register
from mailferry.store import accounts, deletions, sessions


class Bypass:
    """What one pass saw change at the source."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._ended = 0
        self._about = False
        self._vanished = 0
        self._others = 0

    async def begin(self) -> None:
        """Find out whether sessions were about; before anything is listed."""
        self._ended, self._about = await self._register.read("sessions about", self._sessions)

    @property
    def sessions_about(self) -> bool:
        """Whether a session of ours may have made changes that it has not told yet."""
        return self._about

    def vanished(self, messages: int) -> None:
        """Count messages that vanished and that no session of ours saw deleted."""
        self._vanished += max(messages, 0)

    def changed(self, messages: int) -> None:
        """Count messages that bear other flags or lie elsewhere."""
        self._others += messages

    async def write(self, *, whole: bool) -> None:
        """Note what was seen; after a `whole` pass the sessions before it are looked at."""
        account_id = self._register.account_id

        def work(conn: Connection) -> None:
            _, about = self._sessions(conn)
            changes = self._vanished + (0 if self._about or about else self._others)
            if changes:
                accounts.bypass_seen(conn, account_id, changes)
            if whole and self._ended:
                deletions.looked_at_ended(conn, account_id, self._ended)

        if self._vanished or self._others or (whole and self._ended):
            await self._register.write("changes past us", work)
        self._vanished = self._others = 0

    def _sessions(self, conn: Connection) -> tuple[int, bool]:
        account_id = self._register.account_id
        ended = deletions.sessions_ended(conn, account_id)
        return ended, bool(ended or sessions.of_account(conn, account_id))
