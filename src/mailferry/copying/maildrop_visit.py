"""Looking at an account's maildrop outside a turn of the copier, without keeping its user out.

A maildrop is locked while it is open: a visit lasts a slice, ends within two seconds when the user
comes, and the next one follows after a pause.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from twisted.internet.task import LoopingCall, deferLater

from mailferry.copying.courtesy import LOOK_SECONDS, PAUSE_SECONDS
from mailferry.copying.desk import CopyDesk, Run
from mailferry.copying.maildrop_session import NotNow, open_maildrop
from mailferry.copying.results import Mode, PassRequest
from mailferry.model.access import Protocol
from mailferry.model.causes import Cause, Unavailable
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import sessions
from mailferry.store.database import db_now
from mailferry.store.faults import StoreUnavailable

PATIENCE = 300.0
"""Seconds that a visit waits for its turn altogether."""
BETWEEN_SECONDS = 2.0

Visit = Callable[[Pop3Client, Callable[[], bool]], Awaitable[bool]]
"""What is done in one session while the second argument says that there is time; returns whether all is done.
It begins where the last one ended, which the user's arrival may have broken off anywhere."""


async def visit_maildrop(desk: CopyDesk, account_id: int, visit: Visit) -> None:
    """Call `visit` in one session after the other until it is done.

    Raises Refused or Unavailable as the source does; Unavailable also when the user has the maildrop, or the
    source wants a pause, for longer than anybody would wait.
    """
    waited, done = 0.0, False
    while True:
        try:
            async with _open(desk, account_id) as client:
                done = await visit(client, _time_of_a_slice(desk))
            waited, pause = 0.0, BETWEEN_SECONDS
        except NotNow as later:
            pause = later.waits.seconds
            waited += pause
            if waited > PATIENCE and not done:
                raise Unavailable(
                    Cause.SERVER_DOWN, f"{later.waits.why}; try again later", retry_after=pause
                ) from later
        if done:
            return
        await deferLater(desk.reactor, pause, lambda: None)


def _time_of_a_slice(desk: CopyDesk) -> Callable[[], bool]:
    until = desk.reactor.seconds() + desk.limits.slice_seconds
    return lambda: desk.reactor.seconds() < until


@asynccontextmanager
async def _open(desk: CopyDesk, account_id: int) -> AsyncIterator[Pop3Client]:
    """Open a session that leaves when the user wants the maildrop."""
    run = Run(desk, PassRequest(account_id, Mode.ADD_ONLY))

    async def look() -> None:
        try:
            waiting, kept_out = await desk.database.read(
                "users waiting",
                lambda conn: sessions.users_waiting(conn, [account_id], db_now(conn) - PAUSE_SECONDS),
            )
        except StoreUnavailable:
            return  # the next look may do
        if waiting or kept_out:
            desk.courtesy.user_waits({Protocol.POP3})

    looking = LoopingCall(look)
    looking.clock = desk.reactor
    over = looking.start(LOOK_SECONDS, now=False)
    try:
        async with open_maildrop(run) as client:
            yield client
    finally:
        looking.stop()
        await over
        run.break_off()
