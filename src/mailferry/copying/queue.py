"""Takes accounts that are due by lease and gives each its turn; many at once, none twice.

The account's row is the job: what is due stands in `next_due_at`, who works on it in its lease. A
copier that dies leaves a lease that runs out (or is voided by its parent), and another goes on from
the ledger.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import defer, task

from mailferry.copying.desk import CopyDesk
from mailferry.copying.work import AccountWork, Tools
from mailferry.observe import metrics
from mailferry.store import cutovers, domains, leases
from mailferry.store.accounts import Account
from mailferry.store.database import db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import Conflict, LeaseLost, NotAllowed, StoreUnavailable
from mailferry.store.leases import LeasedAccount

LOOK_SECONDS = 1.0
LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
BROKEN_TURN_SECONDS = 60.0
"""The next turn of an account whose last one ended by a fault of ours."""

MakeDesk = Callable[[Account, Domain], CopyDesk]


class _Turn:
    """One account's turn: its lease, kept fresh, and the coroutine that works under it."""

    def __init__(self, leased: LeasedAccount) -> None:
        self.account = leased.account
        self.lease = leased.lease
        self.working: defer.Deferred[None] | None = None


class CopyQueue:
    """Gives turns to at most `at_once` accounts. One per copier process."""

    def __init__(self, tools: Tools, *, node: Callable[[], int], make_desk: MakeDesk, at_once: int) -> None:
        self._tools = tools
        self._node = node
        self._make_desk = make_desk
        self._at_once = at_once
        self._turns: dict[int, _Turn] = {}
        self._look = task.LoopingCall(self._take)
        self._renew = task.LoopingCall(self._renew_leases)
        self._look.clock = self._renew.clock = tools.reactor

    def begin(self) -> None:
        """Start to look for due accounts once a second."""
        self._look.start(LOOK_SECONDS)
        self._renew.start(RENEW_SECONDS, now=False)

    async def finish(self) -> None:
        """Take nothing new, end the running turns, and give their accounts back."""
        if self._look.running:
            self._look.stop()
        working = [turn.working for turn in self._turns.values() if turn.working is not None]
        for one in working:
            one.cancel()
        await defer.DeferredList(working)
        if self._renew.running:
            self._renew.stop()

    async def _take(self) -> None:
        try:
            await self._tools.database.run("expire freezes", cutovers.expire_freezes)
            free = self._at_once - len(self._turns)
            if free > 0:
                taken = await self._tools.database.run(
                    "take",
                    lambda conn: leases.take(conn, self._node(), limit=free, lease_seconds=LEASE_SECONDS),
                )
                for leased in taken:
                    self._give_turn(leased)
            metrics.COPY_QUEUE.put(await self._tools.database.read("queue", leases.queue_length))
        except StoreUnavailable as error:
            self._tools.log.error("cannot look for work", why=str(error))

    def _give_turn(self, leased: LeasedAccount) -> None:
        turn = _Turn(leased)
        self._turns[turn.account.id] = turn
        turn.working = defer.Deferred.fromCoroutine(self._work(turn))

    async def _work(self, turn: _Turn) -> None:
        log = self._tools.log.bind(session=f"copy{turn.account.id}")
        wait: float | None = BROKEN_TURN_SECONDS
        try:
            domain = await self._tools.database.read(
                "domain", lambda conn: domains.get(conn, turn.account.domain)
            )
            desk = self._make_desk(turn.account, domain)
            work = AccountWork(self._tools, turn.account, domain, desk, lambda: turn.lease)
            wait = await work.run()
        except LeaseLost as error:
            log.info("the account is another copier's now", why=str(error))
        except (Conflict, NotAllowed):
            wait = 0.0  # somebody changed the account: its next turn sees how
        except StoreUnavailable as error:
            log.error("the turn ended: nothing can be noted", why=str(error))
        except defer.CancelledError:
            wait = 0.0
        except Exception as error:  # loop edge: one account's fault must not end the others' turns
            log.error("the turn broke", exc_info=error)
        finally:
            self._turns.pop(turn.account.id, None)
        await self._give_back(turn, wait)

    async def _give_back(self, turn: _Turn, wait: float | None) -> None:
        try:
            await self._tools.database.run(
                "release",
                lambda conn: leases.release(
                    conn, turn.lease, next_due_at=None if wait is None else db_now(conn) + wait
                ),
            )
        except StoreUnavailable:
            return  # the lease runs out by itself

    async def _renew_leases(self) -> None:
        for turn in list(self._turns.values()):
            await self._renew_one(turn)

    async def _renew_one(self, turn: _Turn) -> None:
        try:
            turn.lease = await self._tools.database.run(
                "renew",
                lambda conn: leases.renew(conn, turn.lease, lease_seconds=LEASE_SECONDS),
                durable=False,
            )
        except LeaseLost:
            if turn.working is not None:
                turn.working.cancel()
        except StoreUnavailable as error:
            self._tools.log.error("cannot renew a lease", why=str(error))
