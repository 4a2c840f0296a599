"""Opening the source's maildrop, at a moment when nobody else needs it.

POP3 locks the maildrop, and some servers ration logins (RFC 2449 6.4): it is not opened while the
user has it or before the time that the server wants between two logins, and given back at once when
the user comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection

from mailferry.copying.courtesy import PAUSE_SECONDS
from mailferry.copying.desk import Run
from mailferry.copying.register import Register
from mailferry.copying.results import Waits
from mailferry.model.access import Protocol
from mailferry.model.causes import Cause, Refused, RemoteFailure
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import maildrops, sessions
from mailferry.store.database import db_now

UNNAMED_DELAY = 60.0
"""Between two logins at a server that wanted a pause and did not say which."""
LONGEST_LEARNT = 300.0
"""A pause that was learnt from refusals, and not from CAPA, is no longer than this."""
DELAY_MARGIN = 1.0


class NotNow(Exception):
    """The maildrop is left alone for now."""

    def __init__(self, waits: Waits) -> None:
        super().__init__(waits.why)
        self.waits = waits


@asynccontextmanager
async def open_maildrop(run: Run) -> AsyncIterator[Pop3Client]:
    """Open a session for at most a slice; it is closed when the user wants it.

    Raises NotNow when it is not opened, and also when the user's wish ended it. Raises Refused or
    Unavailable as the source does.
    """
    opening = run.desk.endpoints.source_pop3
    if opening is None:
        raise Refused(Cause.PROTOCOL_DISABLED, "the source has no POP3")
    waits = await maildrop_waits(run.register)
    if waits is not None:
        raise NotNow(waits)
    try:
        client = await opening()
    except RemoteFailure as failure:
        await _note_refusal(run, failure)
        raise
    taken: list[Waits] = []

    def leave() -> None:
        taken.append(Waits(PAUSE_SECONDS, "the user wants the maildrop"))
        client.close()

    run.at_cut_off(client.close)
    try:
        with run.desk.courtesy.holding(Protocol.POP3, leave):
            await client.capa()
            await _note_login(run, client.login_delay)
            yield client
    except RemoteFailure as failure:
        if taken:
            raise NotNow(taken[0]) from failure
        raise
    finally:
        await client.quit()
    if taken:
        raise NotNow(taken[0])


async def maildrop_waits(register: Register) -> Waits | None:
    """Return why the maildrop may not be opened now and when it may, as far as anybody knows."""
    account_id = register.account_id
    return await register.read("maildrop free?", lambda conn: _waits(conn, account_id))


async def login_gap(register: Register) -> float:
    """Return the seconds until the maildrop may be opened, as far as anybody knows."""
    waits = await maildrop_waits(register)
    return 0.0 if waits is None else waits.seconds


def _waits(conn: Connection, account_id: int) -> Waits | None:
    now = db_now(conn)
    if sessions.holds_maildrop(conn, account_id, now=now, seconds=PAUSE_SECONDS):
        return Waits(PAUSE_SECONDS, "the user's POP3 session has the maildrop: it goes on when that ends")
    left = (maildrops.get(conn, account_id).next_login_at or 0.0) - now
    if left > 0:
        return Waits(left, "the source wants a pause between two logins")
    return None


async def _note_login(run: Run, named: float) -> None:
    """Remember when the next login may come; `named` is what the server says, 0 when it says nothing."""
    account_id = run.request.account_id

    def work(conn: Connection) -> None:
        now = db_now(conn)
        delay = named or maildrops.get(conn, account_id).login_delay
        following = now + delay + DELAY_MARGIN if delay else None
        maildrops.note(conn, account_id, login_delay=delay, next_login_at=following, looked_at=now)

    await run.register.write("maildrop login", work)


async def _note_refusal(run: Run, refusal: RemoteFailure) -> None:
    """Stay away for a while; a login that came soon after another one tells how long a pause must be."""
    if refusal.cause is not Cause.RATE_LIMITED:
        return
    account_id = run.request.account_id
    pause = refusal.retry_after or UNNAMED_DELAY

    def work(conn: Connection) -> None:
        now, known = db_now(conn), maildrops.get(conn, account_id)
        soon = known.looked_at is not None and now - known.looked_at < pause
        delay = max(known.login_delay, min(pause, LONGEST_LEARNT)) if soon else known.login_delay
        maildrops.note(conn, account_id, login_delay=delay, next_login_at=now + pause + DELAY_MARGIN)

    await run.register.write("maildrop refused", work)
