"""What is known of an account's password: never the password, only its verifier and its sealed form.

The password epoch counts the good passwords of the source; racing logins and pushes compare it.
Times are on the database's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from mailferry.model.account import Phase
from mailferry.store.accounts import locked
from mailferry.store.database import db_now
from mailferry.store.faults import Conflict
from mailferry.store.prepared import Prepared, Row
from mailferry.store.schema import accounts, passwords, refused_passwords
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """The password row of one account; all empty before the first good login or import."""

    account_id: int
    password_epoch: int = 0
    verifier: str | None = None
    """Slow hash of the password that the source last accepted."""
    verified_at: float | None = None
    """When the source accepted it; None for one that only an import named."""
    sealed: bytes | None = None
    sealed_window: int | None = None
    """Number of the domain's window whose key sealed it."""
    pushed_hash: str | None = None
    """The hash that we wrote at the target, which a compare-and-set expects to find there."""
    pushed_at: float | None = None
    proved_at: float | None = None
    """When a login at the target succeeded with the pushed password."""
    target_wins: bool = False
    """Somebody changed the password at the target: ours is never pushed again until a reset."""
    sealed_by_import: bool = False
    tries_forgotten_at: float | None = None
    """Wrong tries before this moment no longer count against the account (`store/wrong_tries`)."""
    verified_over: str | None = None
    """Protocol of the source's server that accepted the password."""
    own_seen_at: float | None = None
    """When the target first took a password that we had not set there: it has one of its own."""
    own_hash: str | None = None
    """What stood at the target then, where that can be read."""


COLUMNS = [passwords.c[field.name] for field in fields(PasswordRecord)]
"""What makes a PasswordRecord, in its order."""

OF_ACCOUNT = Prepared(select(*COLUMNS).where(passwords.c.account_id == bindparam("this")))
"""The password row of account `this`."""


def get(conn: Connection, account_id: int) -> PasswordRecord:
    """Return the account's password row, empty when there is none yet."""
    return record_of(account_id, OF_ACCOUNT.on(conn, {"this": account_id}))


def record_of(account_id: int, rows: Sequence[Row]) -> PasswordRecord:
    """Read an answer that holds the columns of one account's password row, or no row, or nothing in it."""
    if not rows or rows[0][0] is None:
        return PasswordRecord(account_id=account_id)
    return PasswordRecord(*rows[0])


def verified(
    conn: Connection,
    account_id: int,
    *,
    password_epoch: int,
    verifier: str,
    sealed: bytes | None,
    window_number: int | None,
    over: str | None = None,
    at: float | None = None,
) -> PasswordRecord:
    """Record a password that the source just accepted, in place of the one before; return the new row.

    `over` is the protocol of the server that accepted it. What was pushed before is no longer proved.
    Raises Conflict when another login was first.
    """
    before = _checked(conn, account_id, password_epoch)
    values: dict[str, Any] = {
        "password_epoch": before.password_epoch + 1,
        "verifier": verifier,
        "verified_at": db_now(conn) if at is None else at,
        "sealed": sealed,
        "sealed_window": window_number if sealed is not None else None,
        "sealed_by_import": False,
        "proved_at": None,
        "verified_over": over,
    }
    return _save(conn, account_id, values)


def seen_again(conn: Connection, account_id: int, *, password_epoch: int, at: float | None = None) -> None:
    """Note that the source accepted the recorded password once more; silent when it was replaced meanwhile."""
    moment = db_now(conn) if at is None else at
    conn.execute(
        update(passwords)
        .where(passwords.c.account_id == account_id, passwords.c.password_epoch == password_epoch)
        .values(verified_at=moment)
    )


def sealed_again(
    conn: Connection, account_id: int, *, password_epoch: int, sealed: bytes, window_number: int
) -> PasswordRecord:
    """Keep the recorded password sealed under the key of another window; nothing else is known newly.

    Raises Conflict when another password was recorded meanwhile.
    """
    _checked(conn, account_id, password_epoch)
    return _save(conn, account_id, {"sealed": sealed, "sealed_window": window_number})


def imported(
    conn: Connection, account_id: int, *, password_epoch: int, sealed: bytes, window_number: int
) -> PasswordRecord:
    """Keep a sealed password that an import or an administrator named; it is not verified and never pushed.

    Raises Conflict when a login was first.
    """
    before = _checked(conn, account_id, password_epoch)
    values: dict[str, Any] = {
        "password_epoch": before.password_epoch + 1,
        "sealed": sealed,
        "sealed_window": window_number,
        "sealed_by_import": True,
        "verifier": None,
        "verified_at": None,
        "verified_over": None,
    }
    return _save(conn, account_id, values)


def pushed(
    conn: Connection, account_id: int, *, password_epoch: int, pushed_hash: str, at: float | None = None
) -> PasswordRecord:
    """Record the hash that now stands at the target, not proved yet; raises Conflict."""
    _checked(conn, account_id, password_epoch)
    moment = db_now(conn) if at is None else at
    return _save(conn, account_id, {"pushed_hash": pushed_hash, "pushed_at": moment, "proved_at": None})


def proved(
    conn: Connection, account_id: int, *, password_epoch: int, at: float | None = None
) -> PasswordRecord:
    """Record that a target login with the pushed password succeeded; raises Conflict."""
    _checked(conn, account_id, password_epoch)
    return _save(conn, account_id, {"proved_at": db_now(conn) if at is None else at})


def target_wins(conn: Connection, account_id: int, *, wins: bool = True) -> PasswordRecord:
    """Say that the target's password was changed there (or, by an administrator, that it no longer counts).

    A reset forgets what we had pushed and what was seen there as well, so that the next push overwrites it.
    """
    locked(conn, account_id)
    values: dict[str, Any] = {"target_wins": wins}
    if not wins:
        values |= dict.fromkeys(("pushed_hash", "pushed_at", "proved_at", "own_seen_at", "own_hash"))
    return _save(conn, account_id, values)


def own_seen(
    conn: Connection, account_id: int, stored_hash: str | None, *, at: float | None = None
) -> PasswordRecord:
    """Note that the target took a password that we had not set; the first note stays until a reset.

    `stored_hash` is what stands there, None where that cannot be read.
    """
    locked(conn, account_id)
    before = get(conn, account_id)
    if before.own_seen_at is not None:
        return before
    moment = db_now(conn) if at is None else at
    return _save(conn, account_id, {"own_seen_at": moment, "own_hash": stored_hash})


def forget_sealed(conn: Connection, account_id: int) -> None:
    """Drop the sealed password: no copy, sweep or push needs it any more. `Database.scrub` ends its traces."""
    conn.execute(
        update(passwords)
        .where(passwords.c.account_id == account_id, passwords.c.sealed.is_not(None))
        .values(sealed=None, sealed_window=None)
    )


def forget_sealed_of_window(conn: Connection, domain: str, window_number: int) -> int:
    """Drop all passwords sealed under the key of that window; return how many."""
    of_domain = select(accounts.c.id).where(accounts.c.domain == domain)
    return conn.execute(
        update(passwords)
        .where(passwords.c.sealed_window == window_number, passwords.c.account_id.in_(of_domain))
        .values(sealed=None, sealed_window=None)
    ).rowcount


def forget_unproved(conn: Connection, domain: str) -> int:
    """Forget the passwords of the domain that no login at the target proved; return how many.

    Their source turned out to take any password, so nobody knows whose they are. Racing logins are told.
    """
    of_domain = select(accounts.c.id).where(accounts.c.domain == domain)
    return conn.execute(
        update(passwords)
        .where(
            passwords.c.account_id.in_(of_domain),
            passwords.c.proved_at.is_(None),
            passwords.c.verified_at.is_not(None),
        )
        .values(
            password_epoch=passwords.c.password_epoch + 1,
            verifier=None,
            verified_at=None,
            verified_over=None,
            sealed=None,
            sealed_window=None,
        )
    ).rowcount


def sealed_windows(conn: Connection, domain: str) -> Sequence[int]:
    """Return the numbers of the domain's windows whose keys still seal something."""
    query = (
        select(passwords.c.sealed_window)
        .join(accounts, accounts.c.id == passwords.c.account_id)
        .where(accounts.c.domain == domain, passwords.c.sealed_window.is_not(None))
        .distinct()
        .order_by(passwords.c.sealed_window)
    )
    return list(conn.execute(query).scalars())


# --- passwords that once were good and then were not


def remember_refused(conn: Connection, account_id: int, verifier: str, *, at: float | None = None) -> None:
    """Remember a password that was accepted once and then refused: it is never accepted again."""
    moment = db_now(conn) if at is None else at
    there = select(refused_passwords.c.id).where(
        refused_passwords.c.account_id == account_id, refused_passwords.c.verifier == verifier
    )
    if conn.execute(there).first() is None:
        conn.execute(insert(refused_passwords).values(account_id=account_id, verifier=verifier, at=moment))


def refused(conn: Connection, account_id: int) -> Sequence[str]:
    """Return the verifiers of passwords that must never be accepted again, newest first."""
    query = (
        select(refused_passwords.c.verifier)
        .where(refused_passwords.c.account_id == account_id)
        .order_by(refused_passwords.c.id.desc())
    )
    return list(conn.execute(query).scalars())


def never_verified(conn: Connection, domain: str) -> int:
    """Return how many accounts of the domain have no password that the source accepted."""
    query = (
        select(func.count())
        .select_from(accounts)
        .outerjoin(passwords, passwords.c.account_id == accounts.c.id)
        .where(accounts.c.domain == domain, passwords.c.verified_at.is_(None))
    )
    return conn.execute(query).scalar_one()


def pushed_in(conn: Connection, domain: str, phases: Collection[Phase]) -> int:
    """Return how many accounts of the domain in one of `phases` have their password at the target."""
    query = (
        select(func.count())
        .select_from(accounts.join(passwords, passwords.c.account_id == accounts.c.id))
        .where(
            accounts.c.domain == domain,
            accounts.c.phase.in_([phase.value for phase in phases]),
            passwords.c.pushed_at.is_not(None),
        )
    )
    return conn.execute(query).scalar_one()


def _checked(conn: Connection, account_id: int, password_epoch: int) -> PasswordRecord:
    locked(conn, account_id)
    before = get(conn, account_id)
    if before.password_epoch != password_epoch:
        raise Conflict(f"password epoch {before.password_epoch} in the store, {password_epoch} seen")
    return before


def _save(conn: Connection, account_id: int, values: dict[str, Any]) -> PasswordRecord:
    conn.execute(
        upsert(conn, passwords)
        .values(account_id=account_id, **values)
        .on_conflict_do_update(index_elements=["account_id"], set_=values)
    )
    return get(conn, account_id)
