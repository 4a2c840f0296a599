"""The sessions that this process relays, and their rows in the store.

A session of an account before its flip is a row, written before the server is dialled and taken
away when both sides are closed. Once a second the book asks the store which of its own rows a
cutover is interested in: it notes whether those sessions are quiet, and ends them when the account
is drained (docs/decisions/0002). It also carries into the store what the sessions deleted at the
source: within that second, and at last in the transaction that takes the row away, so that the
last pass, which waits for all rows to go, knows every deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet import defer, task
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.gate.admission import Relayed
from mailferry.model.access import Protocol, Side
from mailferry.observe.log import Log
from mailferry.store import deletions, sessions
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.store.glances import Locked
from mailferry.store.sessions import SessionOpening
from mailferry.wire.proxy_header import Endpoint

POLL_SECONDS = 1.0
CLOSE_RETRY_SECONDS = 2.0
LAPSED_SECONDS = 10.0
"""How long a session at the source may take to end between commands after its node's lease lapsed."""


_NONE: Mapping[bytes, int] = {}


class Live:
    """One relayed session with a row; implements `gate.admission.LiveSession`."""

    __slots__ = (
        "_book",
        "_over",
        "_relayed",
        "_stop_asked",
        "deletions_told",
        "resting_told",
        "row",
    )

    def __init__(self, book: SessionBook, row: int) -> None:
        self._book = book
        self.row = row
        self.resting_told = False
        self._relayed: Relayed | None = None
        self.deletions_told = _NONE
        self._over = False
        self._stop_asked = False

    def attach(self, relayed: Relayed) -> None:
        """Register what relays the session; a stop that was asked for before is passed on."""
        self._relayed = relayed
        if self._stop_asked:
            relayed.stop()

    def ended(self) -> None:
        """Take the session out of the book and its row out of the store."""
        if not self._over:
            self._over = True
            self._book.forget(self)
            self._relayed = None

    def stop(self) -> None:
        """End the session at its next boundary between commands."""
        self._stop_asked = True
        if self._relayed is not None:
            self._relayed.stop()

    def abort(self, reason: str) -> None:
        """End the session where it stands, if it has not ended yet."""
        if self._relayed is not None:
            self._relayed.abort(reason)

    @property
    def deleted(self) -> Mapping[bytes, int]:
        """How many messages the server deleted for this session, by mailbox."""
        return _NONE if self._relayed is None else self._relayed.deletions().by_mailbox

    def is_quiet(self, seconds: float) -> bool:
        """Whether the session stands in IDLE or has been silent for `seconds`."""
        quiet = self._relayed.quiet_for() if self._relayed is not None else None
        return quiet is not None and quiet >= seconds


class _WithoutRow:
    """Any session after the flip; implements `gate.admission.LiveSession`.

    Nobody waits for its end or asks what it deletes, and it has no row: so the book holds nothing of it.
    """

    def attach(self, relayed: Relayed) -> None:
        """Nobody will ask for it."""

    def ended(self) -> None:
        """Nobody waited for it."""


WITHOUT_ROW = _WithoutRow()


class SessionBook:
    """The live sessions of one process at the source.

    `node` returns this process's row in `nodes`. `quiet_seconds` is the silence that makes a quiet
    moment.
    """

    def __init__(
        self,
        database: Database,
        *,
        node: Callable[[], int],
        reactor: IReactorTime,
        quiet_seconds: float,
        log: Log,
    ) -> None:
        self._database = database
        self.node = node
        self._reactor = reactor
        self._quiet_seconds = quiet_seconds
        self._log = log
        self._live: set[Live] = set()
        self._closing: set[defer.Deferred[None]] = set()
        self._poll = task.LoopingCall(self.poll)
        self._poll.clock = reactor
        self._lapse: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._live)

    def begin(self) -> None:
        """Start to ask the store once a second."""
        self._poll.start(POLL_SECONDS, now=False)

    async def finish(self) -> None:
        """Stop asking and wait until the rows of ended sessions are gone."""
        self._cancel_lapse()
        if self._poll.running:
            self._poll.stop()
        await self.settled()

    async def settled(self) -> None:
        """Wait until the rows of all sessions that ended are gone."""
        while self._closing:
            await defer.DeferredList(list(self._closing))

    async def open_row(self, account: Account, protocol: Protocol, client: Endpoint) -> Live:
        """Write the session's row before the server is dialled.

        Raises Held while the account is drained or frozen, Moved when its phase or epoch changed.
        """
        opening = SessionOpening.of(
            account, node_id=self.node(), protocol=protocol, side=Side.SOURCE, client=client.host
        )
        try:
            row = self._database.jot("open session", lambda conn, at: sessions.jot_open(conn, at, opening))
        except Locked:
            row = None
        if row is None:  # a thread finds out what stands against it
            row = await self._database.run(
                "open session", lambda conn: sessions.open_session(conn, opening), durable=False
            )
        return self.adopt(row)

    def adopt(self, row: int) -> Live:
        """Take a session whose row is written."""
        live = Live(self, row)
        self._live.add(live)
        return live

    def forget(self, live: Live) -> None:
        """Take a session out; its row goes in the background, tried until the store takes it."""
        self._live.discard(live)
        row = live.row
        if not self._jot_closed(row, live.deleted):
            closing = defer.ensureDeferred(self._close_row(row, live.deleted))
            self._closing.add(closing)
            closing.addBoth(lambda _: self._closing.discard(closing))

    async def withdraw(self, live: Live) -> None:
        """Take a session out that no client got, and wait until its row is gone."""
        self._live.discard(live)
        if not self._jot_closed(live.row, _NONE):
            await self._close_row(live.row)

    def _jot_closed(self, row: int, deleted: Mapping[bytes, int]) -> bool:
        """Take a row out here and now, if that can be; tells whether."""
        if deleted:
            return False
        try:
            self._database.jot("close session", lambda conn, _at: sessions.jot_closed(conn, row))
        except Locked:
            return False
        return True

    async def _close_row(self, row: int, deleted: Mapping[bytes, int] | None = None) -> None:
        while True:
            try:
                await self._database.run(
                    "close session",
                    lambda conn: sessions.close_session(conn, row, deletions_seen=deleted),
                    durable=False,
                )
            except StoreUnavailable as error:
                self._log.error("a session's row stays until the store answers", why=str(error))
                await _pause(self._reactor, CLOSE_RETRY_SECONDS)
            else:
                return

    async def poll(self) -> None:
        """Tell what our sessions deleted, ask what cutovers want of them, and do it."""
        rows = {live.row: live for live in self._live}
        if not rows:
            return
        try:
            await self._tell_deletions(rows)
            wanted = await self._database.read(
                "sessions wanted", lambda conn: sessions.wanted_for_node(conn, self.node())
            )
            changed: dict[int, bool] = {}
            for ask in wanted:
                live = rows.get(ask.session_id)
                if live is None:
                    continue
                if ask.drain:
                    live.stop()
                quiet = live.is_quiet(self._quiet_seconds)
                if quiet != live.resting_told:
                    changed[ask.session_id] = live.resting_told = quiet
            if changed:
                await self._database.run(
                    "sessions rest", lambda conn: sessions.set_resting(conn, changed), durable=False
                )
        except StoreUnavailable as error:
            self._log.error("cannot ask for drains", why=str(error))

    async def _tell_deletions(self, rows: Mapping[int, Live]) -> None:
        """Write what is new; what a power cut takes back is held until an administrator approves."""
        grown = {row: live.deleted for row, live in rows.items() if live.deleted != live.deletions_told}
        if not grown:
            return
        await self._database.run("deletions seen", lambda conn: deletions.tell(conn, grown), durable=False)
        for row, numbers in grown.items():
            rows[row].deletions_told = numbers

    def stop_source_sessions(self) -> None:
        """End the sessions at the source: this node's lease can no longer be counted on.

        Those that have not come to a boundary between commands a little later are broken off: others may
        decide by then that this node is dead, and open the account's other side.
        """
        lapsed = list(self._live)
        for live in lapsed:
            live.stop()
        if lapsed:
            self._cancel_lapse()
            self._lapse = self._reactor.callLater(LAPSED_SECONDS, _abort_all, lapsed)

    def _cancel_lapse(self) -> None:
        if self._lapse is not None and self._lapse.active():
            self._lapse.cancel()


def _abort_all(lapsed: Sequence[Live]) -> None:
    for live in lapsed:
        live.abort("the store was silent for too long")


def _pause(reactor: Any, seconds: float) -> defer.Deferred[None]:
    return task.deferLater(reactor, seconds, lambda: None)
