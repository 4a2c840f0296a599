"""Processes that serve or copy: each is a row, renewed while it lives.

Silence is not death. The rows of a node that fell silent only postpone the flips of their accounts;
they are void after the local parent has ended the process, after its host started anew (another boot
id), or after the administrator declared the node dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from mailferry.store import deletions
from mailferry.store.database import db_now
from mailferry.store.faults import NodeVoid
from mailferry.store.schema import accounts, nodes

SILENT_AFTER = 60.0
"""Seconds without renewal after which a node is shown as silent, and closes its own source sessions."""


@dataclass(frozen=True, slots=True)
class Node:
    """One process of ours on one machine."""

    id: int
    role: str
    host: str
    boot_id: str
    pid: int
    started_at: float
    renewed_at: float


def register(
    conn: Connection, role: str, host: str, boot_id: str, pid: int, *, now: float | None = None
) -> int:
    """Add this process and return its node id, never used before.

    Nodes of the same host under another boot id cannot live any more: they are void from here on.
    """
    at = db_now(conn) if now is None else now
    earlier = select(nodes.c.id).where(nodes.c.host == host, nodes.c.boot_id != boot_id)
    for node_id in list(conn.execute(earlier).scalars()):
        void(conn, node_id)
    made = conn.execute(
        insert(nodes)
        .values(role=role, host=host, boot_id=boot_id, pid=pid, started_at=at, renewed_at=at)
        .returning(nodes.c.id)
    )
    return int(made.scalar_one())


def renew(conn: Connection, node_id: int, *, now: float | None = None) -> None:
    """Say that the process lives; raises NodeVoid when it was declared dead and must stop."""
    at = db_now(conn) if now is None else now
    if not conn.execute(update(nodes).where(nodes.c.id == node_id).values(renewed_at=at)).rowcount:
        raise NodeVoid(f"node {node_id} was declared dead")


def void(conn: Connection, node_id: int) -> None:
    """End a node whose process is known to be dead: its sessions' rows and its leases go. Safe to repeat.

    An account stays due while it is leased, so another copier takes it at once and settles what was under way.
    """
    conn.execute(
        update(accounts).where(accounts.c.lease_node == node_id).values(lease_node=None, lease_until=None)
    )
    deletions.node_ended(conn, node_id)
    conn.execute(delete(nodes).where(nodes.c.id == node_id))


def void_process(conn: Connection, host: str, pid: int) -> None:
    """End the nodes of a process that the parent on `host` has just ended and waited for."""
    found = conn.execute(select(nodes.c.id).where(nodes.c.host == host, nodes.c.pid == pid))
    for node_id in list(found.scalars()):
        void(conn, node_id)


def listing(conn: Connection, *, host: str | None = None) -> Sequence[Node]:
    """Return all nodes, or those of one host."""
    query = select(nodes).order_by(nodes.c.id)
    if host is not None:
        query = query.where(nodes.c.host == host)
    return [Node(**row) for row in conn.execute(query).mappings()]


def silent(conn: Connection, *, seconds: float = SILENT_AFTER, now: float | None = None) -> Sequence[Node]:
    """Return the nodes that have not renewed for `seconds`; to be shown, not to be voided."""
    at = db_now(conn) if now is None else now
    query = select(nodes).where(nodes.c.renewed_at < at - seconds).order_by(nodes.c.id)
    return [Node(**row) for row in conn.execute(query).mappings()]
