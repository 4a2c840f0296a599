"""Which tap stands in the pipe of which session.

Before the flip every session has one that knows its commands, so that a drain can end it between
two of them. After the flip nobody looks, except over POP3 where the account's clients know the
source's UIDLs: there the maildrop is renumbered by the stored map, or it is not shown at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from mailferry.model.access import Protocol
from mailferry.model.account import Phase
from mailferry.model.tap import Tap
from mailferry.store import uidls
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.taps.boundaries_imap import ImapBoundaries
from mailferry.taps.boundaries_pop3 import Pop3Boundaries
from mailferry.taps.uidl import UidlTap
from mailferry.taps.uidl_numbering import UidlRow


class NoTapYet(Exception):
    """The maildrop cannot be shown as the clients know it; the message says what is waited for."""


_HISTORY_ARRIVES = frozenset({Phase.BACKFILL, Phase.STALLED})


class TapChoice:
    """Makes the tap for a session that is about to be relayed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def for_source(self, protocol: Protocol) -> Tap:
        """Return the tap of a session at the source."""
        if protocol is Protocol.IMAP:
            return ImapBoundaries(tag=b"mf" + secrets.token_hex(4).encode())
        return Pop3Boundaries()

    async def for_target(self, account: Account | None, domain: Domain, protocol: Protocol) -> Tap | None:
        """Return the tap of a session at the target, None where nobody needs to look.

        Raises NoTapYet for POP3 while history still arrives: a maildrop that grows backwards would
        make clients download again what they have.
        """
        if account is None or protocol is not Protocol.POP3:
            return None
        if account.phase in _HISTORY_ARRIVES and domain.source_pop3 is not None:
            raise NoTapYet("POP3 waits until the copy is complete, so that no message is downloaded twice")
        rows: Sequence[UidlRow] = await self._database.read(
            "uidl map",
            lambda conn: [
                UidlRow(row.target_uidl, row.source_uidl, position)
                for position, row in enumerate(uidls.load_map(conn, account.id))
                if row.target_uidl is not None
            ],
        )
        return UidlTap(rows) if rows else None
