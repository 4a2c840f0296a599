"""Sessions of accounts before their flip: a row is written before the server is dialled and goes when both ends are closed.

Opening checks phase and epoch in the same transaction that writes the row, so that a freeze either
sees the row or the session sees the freeze.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase
from mailferry.store import deletions
from mailferry.store.accounts import Account, locked
from mailferry.store.cutovers import back_out_expired
from mailferry.store.database import db_now
from mailferry.store.faults import Held, Moved, NodeVoid
from mailferry.store.prepared import Prepared
from mailferry.store.schema import accounts, nodes, sessions

_NODE = select(nodes.c.id).where(nodes.c.id == bindparam("node")).with_for_update(read=True)
_OPEN = insert(sessions).returning(sessions.c.id)
_OF_A_ROW = ("account_id", "node_id", "protocol", "side", "client", "epoch", "opened_at")
_OPEN_IF = Prepared(
    insert(sessions)
    .from_select(
        _OF_A_ROW,
        select(*(bindparam(name, type_=sessions.c[name].type) for name in _OF_A_ROW)).where(
            accounts.c.id == bindparam("account_id"),
            accounts.c.phase == bindparam("phase"),
            accounts.c.epoch == bindparam("epoch"),
            or_(accounts.c.drain_until.is_(None), accounts.c.drain_until <= bindparam("opened_at")),
            or_(accounts.c.used_pop3, bindparam("protocol") != Protocol.POP3.value),
            nodes.c.id == bindparam("node_id"),
        ),
    )
    .returning(sessions.c.id)
)
"""The row, if nothing stands against it. Where one writer comes after the other, that is all there is to check."""
_CLOSE = Prepared(delete(sessions).where(sessions.c.id == bindparam("this")))
_WANTED = (
    select(
        sessions.c.id,
        sessions.c.account_id,
        sessions.c.protocol,
        sessions.c.resting,
        accounts.c.drain_until,
    )
    .join(accounts, accounts.c.id == sessions.c.account_id)
    .where(
        sessions.c.node_id == bindparam("node"),
        accounts.c.cutover_wanted | (accounts.c.drain_until > bindparam("at")),
    )
    .order_by(sessions.c.id)
)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One open session. `resting`: it stands in IDLE or has been silent for a minute."""

    id: int
    account_id: int
    node_id: int
    protocol: Protocol
    side: Side
    client: str
    epoch: int
    opened_at: float
    resting: bool


@dataclass(frozen=True, slots=True)
class WantedSession:
    """A session whose account waits for a quiet moment, or (`drain`) is to be ended now."""

    session_id: int
    account_id: int
    protocol: Protocol
    drain: bool
    resting: bool
    """What the store knows; the node corrects it by `set_resting`."""


@dataclass(frozen=True, slots=True)
class SessionOpening:
    """A session that is about to be dialled, with the phase and epoch of its account that the caller decided by."""

    account_id: int
    phase: Phase
    epoch: int
    node_id: int
    protocol: Protocol
    side: Side
    client: str

    @classmethod
    def of(
        cls, account: Account, *, node_id: int, protocol: Protocol, side: Side, client: str
    ) -> SessionOpening:
        """Return the opening of a session of this account as it was read."""
        return cls(account.id, account.phase, account.epoch, node_id, protocol, side, client)

    def values(self, at: float) -> dict[str, int | float | str]:
        """Return what its row holds when it is opened at this moment."""
        return {
            "account_id": self.account_id,
            "node_id": self.node_id,
            "protocol": self.protocol.value,
            "side": self.side.value,
            "client": self.client,
            "epoch": self.epoch,
            "opened_at": at,
        }


def open_session(conn: Connection, opening: SessionOpening, *, now: float | None = None) -> int:
    """Write the row of a session that is about to be dialled and return its id.

    Raises Held while the account is frozen or drained, Moved when phase or epoch are no longer what
    the caller decided by (also after an expired freeze, which is set back here), NodeVoid when this
    process was declared dead.
    """
    at = db_now(conn) if now is None else now
    values = opening.values(at)
    if conn.dialect.name == "sqlite" and opening.phase is not Phase.FREEZE:
        written = _OPEN_IF.on(conn, {**values, "phase": opening.phase.value})
        if written:
            return int(written[0][0])
    account = locked(conn, opening.account_id)
    if account.phase is Phase.FREEZE:
        until = account.freeze_until or at
        if until > at:
            raise Held(until, until - at)
        account = back_out_expired(conn, account, now=at)
    if account.phase is not opening.phase or account.epoch != opening.epoch:
        raise Moved(account.phase, account.epoch)
    if account.drain_until is not None and account.drain_until > at:
        raise Held(account.drain_until, account.drain_until - at)
    if conn.execute(_NODE, {"node": opening.node_id}).first() is None:
        raise NodeVoid(f"node {opening.node_id} was declared dead")
    session_id = int(conn.execute(_OPEN, values).scalar_one())
    if opening.protocol is Protocol.POP3 and not account.used_pop3:
        conn.execute(update(accounts).where(accounts.c.id == account.id).values(used_pop3=True))
    return session_id


def jot_open(driver: sqlite3.Connection, at: float, opening: SessionOpening) -> int | None:
    """Do what `open_session` does where nothing stands against it; None, and nothing done, where something does."""
    if opening.phase is Phase.FREEZE:
        return None
    written = _OPEN_IF.on_driver(driver, {**opening.values(at), "phase": opening.phase.value})
    return int(written[0][0]) if written else None


def jot_closed(driver: sqlite3.Connection, session_id: int) -> None:
    """Do what `close_session` does for a session that saw nothing deleted."""
    deletions.jot_ended(driver, session_id)
    _CLOSE.on_driver(driver, {"this": session_id})


def close_session(
    conn: Connection, session_id: int, *, deletions_seen: Mapping[bytes, int] | None = None
) -> None:
    """Remove the row: the server's answer to the end of the session, or its close, was seen. Safe to repeat.

    `deletions_seen` is the session's last word on what it deleted, by mailbox; whoever finds no row left
    finds it told.
    """
    if deletions_seen:
        deletions.tell(conn, {session_id: deletions_seen})
    deletions.session_ended(conn, session_id)
    _CLOSE.on(conn, {"this": session_id})


def set_resting(conn: Connection, resting: Mapping[int, bool]) -> None:
    """Note which sessions rest; ids that are gone are left out silently."""
    for wanted in (True, False):
        ids = [session_id for session_id, rests in resting.items() if rests is wanted]
        if ids:
            conn.execute(update(sessions).where(sessions.c.id.in_(ids)).values(resting=wanted))


def of_account(conn: Connection, account_id: int) -> Sequence[SessionRow]:
    """Return the account's open sessions."""
    rows = conn.execute(select(sessions).where(sessions.c.account_id == account_id).order_by(sessions.c.id))
    return [
        SessionRow(
            id=row.id,
            account_id=row.account_id,
            node_id=row.node_id,
            protocol=Protocol(row.protocol),
            side=Side(row.side),
            client=row.client,
            epoch=row.epoch,
            opened_at=row.opened_at,
            resting=row.resting,
        )
        for row in rows
    ]


def holds_maildrop(conn: Connection, account_id: int, *, now: float, seconds: float) -> bool:
    """Whether the user has a POP3 session at the source, or was kept out of it in the last `seconds`."""
    row = conn.execute(
        select(sessions.c.id)
        .where(
            sessions.c.account_id == account_id,
            sessions.c.protocol == Protocol.POP3.value,
            sessions.c.side == Side.SOURCE.value,
        )
        .limit(1)
    )
    return row.first() is not None or _kept_out(conn, [account_id], now - seconds) != []


def users_waiting(
    conn: Connection, account_ids: Collection[int], since: float
) -> tuple[Collection[int], Collection[int]]:
    """Return which of these accounts have users that wait for the maildrop, and for any session at the source.

    The first have written the row of a POP3 session; the second were turned away by the source since then.
    """
    ids = list(account_ids)
    if not ids:
        return (), ()
    rows = conn.execute(
        select(sessions.c.account_id)
        .where(
            sessions.c.account_id.in_(ids),
            sessions.c.protocol == Protocol.POP3.value,
            sessions.c.side == Side.SOURCE.value,
        )
        .distinct()
    )
    return list(rows.scalars()), _kept_out(conn, ids, since)


def kept_out(conn: Connection, account_id: int, *, now: float | None = None) -> None:
    """Note that the source turned a login of the user away, for want of a free session: the copier leaves."""
    at = db_now(conn) if now is None else now
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(source_wanted_at=at))


def was_kept_out(conn: Connection, account_id: int, since: float) -> bool:
    """Whether the source turned a login of the user away since then."""
    return bool(_kept_out(conn, [account_id], since))


def _kept_out(conn: Connection, account_ids: Sequence[int], since: float) -> list[int]:
    query = select(accounts.c.id).where(accounts.c.id.in_(account_ids), accounts.c.source_wanted_at > since)
    return list(conn.execute(query).scalars())


def wanted_for_node(conn: Connection, node_id: int, *, now: float | None = None) -> Sequence[WantedSession]:
    """Return this node's sessions whose accounts wait for a quiet moment or are being drained."""
    at = db_now(conn) if now is None else now
    rows = conn.execute(_WANTED, {"node": node_id, "at": at})
    return [
        WantedSession(
            session_id=row.id,
            account_id=row.account_id,
            protocol=Protocol(row.protocol),
            drain=row.drain_until is not None and row.drain_until > at,
            resting=row.resting,
        )
        for row in rows
    ]


def counts(conn: Connection) -> Mapping[tuple[Protocol, Side], int]:
    """Return the number of open rows by protocol and side."""
    rows = conn.execute(
        select(sessions.c.protocol, sessions.c.side, func.count()).group_by(
            sessions.c.protocol, sessions.c.side
        )
    )
    return {(Protocol(protocol), Side(side)): number for protocol, side, number in rows}
