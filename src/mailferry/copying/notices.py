"""Tells users and administrators: makes notices of events, and sends what is due (docs/decisions/0014).

Every copier process runs one; the store gives each notice to one of them at a time. A notice to a user
is laid into the new mailbox (`notice_delivery`), one to an administrator goes to the outlets that are
configured. What cannot be sent is tried again later; nothing here holds up a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection
from twisted.internet import defer, task, threads

from mailferry.copying import alerts
from mailferry.copying.desk import CopyDesk
from mailferry.copying.notice_delivery import TooLate, deliver
from mailferry.copying.notice_mail import day, message_id, notice_octets
from mailferry.model.account import Event
from mailferry.model.causes import RemoteFailure
from mailferry.observe import metrics
from mailferry.observe.log import Log, shown_address
from mailferry.observe.system_clock import seconds_since_boot
from mailferry.plan import notices as plan
from mailferry.plan.notice_words import MoveFacts, letter
from mailferry.plan.notices import Alert, UserNotice
from mailferry.remote.watched_socket import NotSent
from mailferry.store import accounts, domains, notices, passwords
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreUnavailable
from mailferry.store.notices import Audience, Notice

LOOK_SECONDS = 15.0
EACH_SECONDS = 100.0
"""Longer, and one delivery is broken off."""
HOLD_SECONDS = 600.0
"""How long a taken notice is ours; a batch of them is done long before that."""
OURS_SECONDS = 500.0
BATCH = 16
AT_ONCE = 4
EVENTS_AT_ONCE = 200

Message = Mapping[str, Any]
Outlet = Callable[[Message], None]
"""Sends one message to an administrator, in a thread; raises NotSent."""


class Notifier:
    """One round every 15 seconds."""

    def __init__(
        self,
        database: Database,
        *,
        make_desk: Callable[[Account, Domain], CopyDesk],
        outlets: Mapping[Audience, Outlet],
        sender: str | None,
        group_seconds: float,
        reactor: Any,
        log: Log,
        since_boot: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._database = database
        self._make_desk = make_desk
        self._outlets = outlets
        self._sender = sender
        self._group_seconds = group_seconds
        self._reactor = reactor
        self._log = log
        self._since_boot = since_boot
        self._loop = task.LoopingCall(self._turn)
        self._loop.clock = reactor
        self._running: defer.Deferred[None] | None = None
        self._ended = False

    def begin(self) -> None:
        """Start with a round at once."""
        self._loop.start(LOOK_SECONDS)

    async def finish(self) -> None:
        """Stop, and break off what is on its way; it is tried again after the hold."""
        self._ended = True
        if self._loop.running:
            self._loop.stop()
        if self._running is not None:
            self._running.cancel()
            await defer.DeferredList([self._running])

    def _turn(self) -> defer.Deferred[None]:
        self._running = defer.Deferred.fromCoroutine(self.round())
        return self._running

    async def round(self) -> None:
        """Do what is due; a store that does not answer is for the next round."""
        try:
            while await self._database.read("events?", notices.any_event):
                if await self._database.run("notices", self._decide) < EVENTS_AT_ONCE:
                    break
            if self._outlets:
                await self._watch_domains()
            await self._send_due()
        except StoreUnavailable as error:
            self._log.error("notices wait", why=str(error))
        except defer.CancelledError:
            return

    # ---- what is to be told

    def _decide(self, conn: Connection) -> int:
        """Make notices of the oldest events, in the transaction that forgets them; return how many events."""
        now = db_now(conn)
        events = notices.take(conn, [Audience.UNDECIDED], limit=EVENTS_AT_ONCE, hold_seconds=0.0, now=now)
        for event in events:
            assert event.account_id is not None
            account = accounts.get(conn, event.account_id)
            self._for_user(conn, account, Event(event.kind), event.made_at)
            if Event(event.kind) is Event.GAVE_UP:
                self._for_administrator(conn, account, now)
            notices.forget(conn, event)
        return len(events)

    def _for_user(self, conn: Connection, account: Account, event: Event, at: float) -> None:
        wanted = plan.wanted_notices(domains.get(conn, account.domain).notices)
        due = plan.for_user(event, account.cause, wanted)
        if due is None:
            return
        subject = str(account.id)
        if due.kind is UserNotice.FAILED and account.cause is not None:
            subject = f"{account.id}/{account.cause.value}"
        notices.want(
            conn,
            Audience.USER,
            due.kind.value,
            subject,
            domain=account.domain,
            account_id=account.id,
            due_at=at + due.after,
        )

    def _for_administrator(self, conn: Connection, account: Account, now: float) -> None:
        cause = account.cause
        if cause is None or not plan.needs_somebody(cause):
            return
        if notices.gave_up_lately(conn, account.id, cause, seconds=plan.SAME_CAUSE_SECONDS):
            return
        for audience in self._outlets:
            notices.want(
                conn,
                audience,
                Alert.MUST_ACT.value,
                f"{account.domain}/{cause.value}",
                domain=account.domain,
                due_at=now + plan.GATHER_SECONDS,
                again_after=self._group_seconds,
            )

    async def _watch_domains(self) -> None:
        found = await self._database.read("domains", alerts.look_at_domains)
        if not found:
            return

        def write(conn: Connection) -> None:
            for alert, subject, domain in found:
                if domains.find(conn, domain) is not None:
                    alerts.want(conn, alert, subject, domain, list(self._outlets))

        await self._database.run("alerts", write)

    # ---- telling it

    async def _send_due(self) -> None:
        audiences = [Audience.USER, *self._outlets]
        while not self._ended:
            if not await self._database.read("due?", lambda conn: notices.any_due(conn, audiences)):
                return
            asked_at = self._since_boot()
            taken = await self._database.run(
                "take notices",
                lambda conn: notices.take(conn, audiences, limit=BATCH, hold_seconds=HOLD_SECONDS),
            )
            turns = defer.DeferredSemaphore(AT_ONCE)
            await defer.DeferredList(
                [turns.run(self._send_one, notice, asked_at) for notice in taken], consumeErrors=True
            )
            if len(taken) < BATCH:
                return

    def _send_one(self, notice: Notice, asked_at: float) -> defer.Deferred[None]:
        return defer.Deferred.fromCoroutine(self._send(notice, asked_at))

    async def _send(self, notice: Notice, asked_at: float) -> None:
        try:
            if notice.audience is Audience.USER:
                work = defer.Deferred.fromCoroutine(self._to_user(notice, asked_at))
                work.addTimeout(EACH_SECONDS, self._reactor)
            else:
                work = defer.Deferred.fromCoroutine(self._to_administrator(notice))
            told = await work
        except (RemoteFailure, NotSent, TooLate, defer.TimeoutError) as failure:
            await self._failed(notice, failure)
        except (StoreUnavailable, defer.CancelledError) as stopped:
            self._log.info("a notice waits", kind=notice.kind, why=str(stopped))  # its hold runs out
        except Exception as error:  # loop edge: one notice's fault must not end the others
            self._log.error("a notice broke", kind=notice.kind, exc_info=error)
            await self._failed(notice, error)
        else:
            metrics.NOTICES.add(audience=notice.audience.value, result="sent" if told else "dropped")

    async def _to_user(self, notice: Notice, asked_at: float) -> bool:
        """Lay the notice into the user's new mailbox; False when it is no longer so."""
        kind = UserNotice(notice.kind)
        account, domain, facts = await self._database.read("notice", lambda conn: _facts(conn, notice))
        still = plan.still_true(kind, account.phase) and kind in plan.wanted_notices(domain.notices)
        if kind is UserNotice.FAILED:
            still = still and facts.cause is not None and notice.subject.endswith(f"/{facts.cause.value}")
        if not still:
            await self._database.run("drop", lambda conn: notices.put_off(conn, notice, due_at=None))
            return False
        identity = message_id(account, kind, notice.subject)
        octets = notice_octets(
            account,
            letter(kind, facts, domain.language),
            identity=identity,
            sender=self._sender,
            made_at=notice.made_at,
        )
        await deliver(
            self._make_desk(account, domain).endpoints.target_imap,
            octets,
            identity,
            ours=lambda: self._since_boot() - asked_at < OURS_SECONDS,
            repeated=notice.tries > 1,
        )
        await self._database.run("told", lambda conn: notices.sent(conn, notice))
        self._log.info("notice", kind=kind.value, account=shown_address(account.address))
        return True

    async def _to_administrator(self, notice: Notice) -> bool:
        """Send the notice by its outlet; False when it is no longer so."""
        message = await self._database.run("compose", lambda conn: alerts.composed(conn, notice))
        if message is None:
            await self._database.run("drop", lambda conn: notices.put_off(conn, notice, due_at=None))
            return False
        outlet = self._outlets[notice.audience]
        pool = self._reactor.getThreadPool()
        await threads.deferToThreadPool(self._reactor, pool, outlet, message)
        await self._database.run("told", lambda conn: notices.sent(conn, notice))
        self._log.info("alert", kind=notice.kind, domain=notice.domain, way=notice.audience.value)
        return True

    async def _failed(self, notice: Notice, failure: Exception) -> None:
        """Put it off, or give it up after many tries."""
        wait = plan.next_try(notice.tries)
        named = getattr(failure, "retry_after", None)
        if wait is not None and named is not None:
            wait = max(wait, named)
        self._log.warning(
            "a notice was not taken" if wait is not None else "a notice is given up",
            kind=notice.kind,
            domain=notice.domain,
            way=notice.audience.value,
            why=str(failure) or type(failure).__name__,
        )
        metrics.NOTICES.add(
            audience=notice.audience.value, result="failed" if wait is not None else "dropped"
        )
        try:
            await self._database.run(
                "put off",
                lambda conn: notices.put_off(
                    conn, notice, due_at=None if wait is None else db_now(conn) + wait
                ),
            )
        except StoreUnavailable as error:
            self._log.error("a notice waits", why=str(error))  # its hold runs out


def _facts(conn: Connection, notice: Notice) -> tuple[Account, Domain, MoveFacts]:
    assert notice.account_id is not None
    account = accounts.get(conn, notice.account_id)
    domain = domains.get(conn, account.domain)
    proved = passwords.get(conn, account.id).proved_at is not None
    return (
        account,
        domain,
        MoveFacts(
            address=account.address,
            copied=account.copied,
            skipped=account.skipped,
            window_ends=day(domain.window_ends_at) if domain.window_open(db_now(conn)) else None,
            same_password=proved,
            cause=account.cause,
        ),
    )
