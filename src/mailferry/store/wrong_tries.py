"""Tries that sources refused, or are judging now: the counts behind the guessing shield.

Account, password and client network are known here by keyed hashes only, so that accounts nobody has
heard of are counted as well and nothing readable is stored. A try is reserved in the transaction that counts,
before the source is asked; so parallel logins, in however many processes, stay within the limits.
One client network gets a share of what its source may be asked in a minute, and a part of that is kept
for networks from which somebody logged in. Times are on the database's clock.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, and_, delete, func, insert, select, update

from mailferry.model.causes import Cause
from mailferry.store.database import db_now
from mailferry.store.schema import accounts, passwords, wrong_tries
from mailferry.store.upsert import upsert

ACCOUNT_SECONDS = 900.0
"""How long a try counts against its account."""

SOURCE_SECONDS = 60.0
"""How long it counts against the source's host."""

REMEMBERED_SECONDS = 600.0
"""How long a certain refusal stands for the same password without asking again."""

ANSWER_SECONDS = 120.0
"""A reserved try without an answer for so long has lost its process; it goes on to count."""

CERTAIN = frozenset({Cause.BAD_CREDENTIALS, Cause.UNKNOWN_USER})
"""Refusals that say something about the password, so that asking again would change nothing."""

_CERTAIN_NAMES = sorted(cause.value for cause in CERTAIN)
PASSWORD_OCTETS = 16
"""Of the password's hash; the network's stands behind it in the same column."""
_PRUNED_AT_ONCE = 200
_ACCOUNT_LOCK, _SOURCE_LOCK = 0x6D660001, 0x6D660002


@dataclass(frozen=True, slots=True)
class TryKeys:
    """What is asked: keyed hashes (16 octets) of the account and of its password, and the source's host.

    `address` is looked up to learn when an administrator had the account's tries forgotten, and names
    the domain. `network` is the keyed hash of the client's network (empty: nobody's share counts),
    `trusted` whether somebody logged in from there before.
    """

    account: bytes
    password: bytes
    source: str
    address: str
    network: bytes = b""
    trusted: bool = False

    @property
    def domain(self) -> str:
        """The account's domain."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class TryLimits:
    """How many wrong passwords may reach a source: of one account in 15 minutes, at one host in a minute."""

    per_account: int
    per_source_minute: int

    def at_source(self, keys: TryKeys) -> int:
        """Return how far the host's budget reaches for these: a quarter is kept for trusted networks."""
        kept = 0 if keys.trusted or not keys.network else self.per_source_minute // 4
        return self.per_source_minute - kept

    def of_network(self, keys: TryKeys) -> int:
        """Return one network's share: a quarter of the budget; a trusted one leaves a quarter to the others."""
        quarter = self.per_source_minute // 4
        return max(1, self.per_source_minute - quarter if keys.trusted else quarter)


class Full(StrEnum):
    """Which limit is reached."""

    ACCOUNT = "account"
    NETWORK = "network"
    SOURCE = "source"
    SAME_PASSWORD = "same_password"  # noqa: S105 - asked just now by another login of the account


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reserved try (`row`), or a remembered refusal (`refused`), or the limit that is reached (`full`).

    `passing` says that the limit is reached only because of tries whose answer is still awaited.
    """

    row: int | None = None
    refused: Cause | None = None
    full: Full | None = None
    passing: bool = False


def standing(
    conn: Connection, keys: TryKeys, limits: TryLimits, *, now: float | None = None
) -> Reservation | None:
    """Return what stands against asking: a refusal of this very password within ten minutes, or a full limit."""
    at = db_now(conn) if now is None else now
    forgotten = _forgotten_at(conn, keys)
    awaited = and_(wrong_tries.c.cause.is_(None), wrong_tries.c.at > at - ANSWER_SECONDS)
    # Before what is remembered: an answer that is noted between the two questions is met by the second.
    _, asked_now = _counts(conn, _same_password(keys), awaited)
    cause = _remembered(conn, keys, since=max(at - REMEMBERED_SECONDS, forgotten))
    if cause is not None:
        return Reservation(refused=cause)
    if asked_now:
        return Reservation(full=Full.SAME_PASSWORD, passing=True)
    of_account = and_(_same_account(keys), wrong_tries.c.at > max(at - ACCOUNT_SECONDS, forgotten))
    of_source = and_(wrong_tries.c.source == keys.source, wrong_tries.c.at > at - SOURCE_SECONDS)
    standards = [(Full.ACCOUNT, limits.per_account, of_account)]
    if keys.network:
        standards.append((Full.NETWORK, limits.of_network(keys), and_(of_source, _same_network(keys))))
    standards.append((Full.SOURCE, limits.at_source(keys), of_source))
    for full, limit, tries in standards:
        count, waiting = _counts(conn, and_(tries, ~wrong_tries.c.known), awaited)
        if count >= limit:
            return Reservation(full=full, passing=count - waiting < limit)
    return None


def reserve(conn: Connection, keys: TryKeys, limits: TryLimits, *, now: float | None = None) -> Reservation:
    """Reserve one try at the source if nothing stands against it; end it with `refused` or `release`."""
    _in_turn(conn, keys)
    at = db_now(conn) if now is None else now
    prune(conn, at)
    against = standing(conn, keys, limits, now=at)
    if against is not None:
        return against
    row = conn.execute(insert(wrong_tries).values(**values_of(keys), at=at).returning(wrong_tries.c.id))
    return Reservation(row=row.scalar_one())


def refused(conn: Connection, row: int, cause: Cause, *, now: float | None = None) -> None:
    """Turn a reserved try into a counted one: the source said no, or nobody heard what it said."""
    at = db_now(conn) if now is None else now
    conn.execute(update(wrong_tries).where(wrong_tries.c.id == row).values(cause=cause.value, at=at))


def release(conn: Connection, row: int) -> None:
    """Give a reserved try back: the source took the password, or could not be asked."""
    conn.execute(delete(wrong_tries).where(wrong_tries.c.id == row))


def forget(conn: Connection, account_id: int, *, now: float | None = None) -> None:
    """Let the account's tries count no longer against it: its user or an administrator asks to try again.

    They go on to count at the source's host, which did see them.
    """
    at = db_now(conn) if now is None else now
    conn.execute(
        upsert(conn, passwords)
        .values(account_id=account_id, tries_forgotten_at=at)
        .on_conflict_do_update(index_elements=["account_id"], set_={"tries_forgotten_at": at})
    )


def _remembered(conn: Connection, keys: TryKeys, *, since: float) -> Cause | None:
    query = (
        select(wrong_tries.c.cause)
        .where(_same_password(keys), wrong_tries.c.cause.in_(_CERTAIN_NAMES), wrong_tries.c.at > since)
        .order_by(wrong_tries.c.id.desc())
        .limit(1)
    )
    cause = conn.execute(query).scalar_one_or_none()
    return None if cause is None else Cause(cause)


def values_of(keys: TryKeys) -> Mapping[str, Any]:
    """Return what a row says of whom it is about."""
    return {
        "account_key": keys.account,
        "password_key": keys.password + keys.network,
        "source": keys.source,
    }


def _same_account(keys: TryKeys) -> ColumnElement[bool]:
    return wrong_tries.c.account_key == keys.account


def _same_password(keys: TryKeys) -> ColumnElement[bool]:
    said = func.substr(wrong_tries.c.password_key, 1, PASSWORD_OCTETS, type_=LargeBinary)
    return and_(_same_account(keys), said == keys.password)


def _same_network(keys: TryKeys) -> ColumnElement[bool]:
    network = func.substr(wrong_tries.c.password_key, PASSWORD_OCTETS + 1, type_=LargeBinary)
    return network == keys.network


def _counts(
    conn: Connection, condition: ColumnElement[bool], awaited: ColumnElement[bool]
) -> tuple[int, int]:
    """Return how many rows meet `condition`, and how many of them are `awaited`, as of one moment."""
    query = select(func.count(), func.count().filter(awaited)).select_from(wrong_tries).where(condition)
    count, waiting = conn.execute(query).one()
    return count, waiting


def _forgotten_at(conn: Connection, keys: TryKeys) -> float:
    query = (
        select(passwords.c.tries_forgotten_at)
        .join(accounts, accounts.c.id == passwords.c.account_id)
        .where(accounts.c.address == keys.address)
    )
    at: float | None = conn.execute(query).scalar_one_or_none()
    return -math.inf if at is None else at


def _in_turn(conn: Connection, keys: TryKeys) -> None:
    """Count and reserve one after the other on PostgreSQL; SQLite has one writer anyway."""
    if conn.dialect.name == "sqlite":
        return
    for lock, name in ((_ACCOUNT_LOCK, keys.account), (_SOURCE_LOCK, keys.source.encode())):
        number = zlib.crc32(name) - 2**31  # the lock takes two signed numbers of 32 bits
        conn.execute(select(func.pg_advisory_xact_lock(lock, number)))


def prune(conn: Connection, at: float) -> None:
    """Drop some of the tries that count nowhere any more; of two transactions one passes over them."""
    old = (
        select(wrong_tries.c.id)
        .where(wrong_tries.c.at <= at - ACCOUNT_SECONDS)
        .limit(_PRUNED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    conn.execute(delete(wrong_tries).where(wrong_tries.c.id.in_(old)))
