"""Takes accounts that are due by lease and gives each its turn; many at once, none twice.

The account's row is the job: what is due stands in `next_due_at`, who works on it in its lease. A
copier that dies leaves a lease that runs out (or is voided by its parent), and another goes on from
the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from twisted.internet import defer, task

from mailferry.copying import courtesy
from mailferry.copying.courtesy import Courtesy
from mailferry.copying.desk import CopyDesk
from mailferry.copying.pace import SourcePace
from mailferry.copying.work import AccountWork, Tools
from mailferry.model.access import Protocol
from mailferry.model.account import Phase
from mailferry.observe import metrics
from mailferry.observe.system_clock import seconds_since_boot
from mailferry.store import cutovers, domains, leases, sessions
from mailferry.store.accounts import Account
from mailferry.store.database import db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import Conflict, LeaseLost, NotAllowed, StoreUnavailable
from mailferry.store.leases import LeasedAccount

LOOK_SECONDS = 1.0
LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
WATCH_SECONDS = 2.0
LET_GO_SECONDS = 50.0
"""A lease that was not renewed for so long is let go of, connections and all, before another copier may
take it: what we send after that would stand twice at the target."""
LONG_TURN_SECONDS = 900.0
MOST_TURNS = 4
"""With turns that last long there may be so many times the turns that are meant to be."""
KEPT_OUT_SECONDS = 3.0
"""A user whom the source turned away so short a time ago is still trying."""
STAND_BACK_SECONDS = 3600.0
"""For so long one connection is enough for the copy of an account whose user was turned away."""
BROKEN_TURN_SECONDS = 60.0
"""The next turn of an account whose last one ended by a fault of ours."""

MakeDesk = Callable[[Account, Domain], CopyDesk]


class Turn:
    """One account's turn: its lease, kept fresh, and the coroutine that works under it."""

    def __init__(self, leased: LeasedAccount, sure_at: float) -> None:
        self.account = leased.account
        self.lease = leased.lease
        self.sure_at = self.begun_at = sure_at
        """When we last asked for the lease that we have, on a clock that runs through suspension."""
        self.courtesy = Courtesy()
        self.working: defer.Deferred[None] | None = None
        self.ending = False
        """The work is over and the account is being given back, which nothing may break off."""

    def cancel(self) -> None:
        """Break the work off where it stands."""
        if self.working is not None and not self.ending:
            self.working.cancel()


class CopyQueue:
    """Gives turns to `at_once` accounts, and to others when some of these take long. One per copier process."""

    def __init__(
        self,
        tools: Tools,
        *,
        node: Callable[[], int],
        make_desk: MakeDesk,
        pace: SourcePace,
        at_once: int,
        since_boot: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._tools = tools
        self._since_boot = since_boot
        self._node = node
        self._make_desk = make_desk
        self._pace = pace
        self._at_once = at_once
        self._turns: dict[int, Turn] = {}
        self._look = task.LoopingCall(self._take)
        self._renew = task.LoopingCall(self._renew_leases)
        self._watch = task.LoopingCall(self._let_go_of_old)
        self._users = task.LoopingCall(self._mind_users)
        self._look.clock = self._renew.clock = self._watch.clock = self._users.clock = tools.reactor

    def begin(self) -> None:
        """Start to look for due accounts once a second."""
        self._look.start(LOOK_SECONDS)
        self._renew.start(RENEW_SECONDS, now=False)
        self._watch.start(WATCH_SECONDS, now=False)
        self._users.start(courtesy.LOOK_SECONDS, now=False)
        self._pace.begin()

    async def finish(self) -> None:
        """Take nothing new, end the running turns, and give their accounts back."""
        if self._look.running:
            self._look.stop()
        working = [turn.working for turn in self._turns.values() if turn.working is not None]
        for turn in list(self._turns.values()):
            turn.cancel()
        await defer.DeferredList(working)
        for loop in (self._renew, self._watch, self._users):
            if loop.running:
                loop.stop()
        await self._pace.finish()

    async def _take(self) -> None:
        try:
            await self._tools.database.run("expire freezes", cutovers.expire_freezes)
            await self._take_shares()
            metrics.COPY_QUEUE.put(await self._tools.database.read("queue", leases.queue_length))
        except StoreUnavailable as error:
            self._tools.log.error("cannot look for work", why=str(error))

    async def _take_shares(self) -> None:
        """Give turns to accounts that are due, by the shares of hosts and domains."""
        free, beyond = self._room()
        if free + beyond <= 0:
            return
        mine = Counter(turn.account.domain for turn in self._turns.values())
        due = await self._pace.shares(free, beyond, mine)
        if not due:
            return
        asked_at = self._since_boot()
        taken = await self._tools.database.run(
            "take",
            lambda conn: leases.take(
                conn, self._node(), limit=sum(due.values()), lease_seconds=LEASE_SECONDS, shares=due
            ),
        )
        if not self._look.running:
            return  # finish() was called meanwhile; the leases go with this process's row
        for leased in taken:
            self._give_turn(leased, asked_at)

    def _room(self) -> tuple[int, int]:
        """Return how many turns may be given, and how many beyond them to hosts that have none.

        A turn that lasts long counts no more: a slow account does not hold the others.
        """
        now = self._since_boot()
        short = sum(now - turn.begun_at < LONG_TURN_SECONDS for turn in self._turns.values())
        room = MOST_TURNS * self._at_once - len(self._turns)
        free = min(max(self._at_once - short, 0), room)
        return free, min(self._at_once, room - free)

    async def _mind_users(self) -> None:
        """Make turns leave that keep a user from the source."""
        turns = dict(self._turns)
        if not turns:
            return
        try:
            maildrop, any_session = await self._tools.database.read(
                "users waiting",
                lambda conn: sessions.users_waiting(conn, turns, db_now(conn) - KEPT_OUT_SECONDS),
            )
        except StoreUnavailable as error:
            self._tools.log.error("cannot look for waiting users", why=str(error))
            return
        for account_id in maildrop:
            turns[account_id].courtesy.user_waits({Protocol.POP3})
        for account_id in any_session:
            turns[account_id].courtesy.user_waits({Protocol.POP3, Protocol.IMAP})

    def _give_turn(self, leased: LeasedAccount, asked_at: float) -> None:
        turn = Turn(leased, asked_at)
        self._turns[turn.account.id] = turn
        turn.working = defer.Deferred.fromCoroutine(self._work(turn))

    async def _work(self, turn: Turn) -> None:
        log = self._tools.log.bind(session=f"copy{turn.account.id}")
        wait: float | None = BROKEN_TURN_SECONDS
        try:
            domain, kept_out = await self._tools.database.read(
                "turn",
                lambda conn: (
                    domains.get(conn, turn.account.domain),
                    sessions.was_kept_out(conn, turn.account.id, db_now(conn) - STAND_BACK_SECONDS),
                ),
            )
            terms = self._pace.terms(domain)
            await self._pace.begin_turn(turn.account.id, terms)
            late_mail = turn.account.phase is Phase.SWITCHED
            desk = self._make_desk(turn.account, domain)
            desk = replace(
                desk,
                limits=replace(desk.limits, connections=1) if kept_out else desk.limits,
                courtesy=turn.courtesy,
                must_wait=partial(self._pace.must_wait, turn.account.id, terms, at_any_hour=late_mail),
            )
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
        turn.ending = True
        self._pace.end_turn(turn.account.id)
        try:
            await self._give_back(turn, wait)
        finally:
            if self._turns.get(turn.account.id) is turn:
                del self._turns[turn.account.id]

    async def _give_back(self, turn: Turn, wait: float | None) -> None:
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

    async def _renew_one(self, turn: Turn) -> None:
        asked_at = self._since_boot()
        try:
            turn.lease = await self._tools.database.run(
                "renew",
                lambda conn: leases.renew(conn, turn.lease, lease_seconds=LEASE_SECONDS),
                durable=False,
            )
        except LeaseLost:
            turn.cancel()
        except StoreUnavailable as error:
            self._tools.log.error("cannot renew a lease", why=str(error))
        else:
            turn.sure_at = asked_at

    def _let_go_of_old(self) -> None:
        """End turns whose lease may be another copier's soon: the store did not answer, or the machine slept."""
        now = self._since_boot()
        for turn in list(self._turns.values()):
            if now - turn.sure_at >= LET_GO_SECONDS and not turn.ending:
                self._tools.log.error(
                    "a lease was not renewed in time: its turn ends", account=turn.account.id
                )
                turn.cancel()
