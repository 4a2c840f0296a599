"""`flips.log`: every change of side, one fsynced line each, so that a restored back-up is found out.

A change of side is first a row of `flips` in its own transaction, then a line of the log; what was not
logged before a crash is logged at the next `catch_up`. A store that knows fewer flips than the log was
restored from a back-up: it serves no account before its flip until `mailferry db reconcile`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from mailferry.model.account import BEFORE_FLIP, Phase
from mailferry.store import accounts, domains
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.store.file_owner import give_to_folders_owner
from mailferry.store.schema import flips

LOG_FILE = "flips.log"
_LONGEST_LINE = 4096

UNLOGGED = select(flips).where(flips.c.logged.is_(False)).order_by(flips.c.id)
"""The flips that are still to be logged, oldest first."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One change of side: from `at` on the account was served by the target."""

    address: str
    epoch: int
    """The account's epoch from then on."""
    phase: Phase
    at: float


def catch_up(database: Database, path: Path) -> int:
    """Append to the log what the store knows and the log does not yet; return how many lines.

    Called after every change of side and at the start of each process; safe to run at the same time
    in several processes (a line may then stand twice). Raises StoreUnavailable when the log cannot be
    written.
    """
    found = database.read_now("flips to log", _unlogged)
    if not found:
        return 0
    _append(path, [flip for _, flip in found])
    logged = [number for number, _ in found]
    database.run_now(
        "flips logged",
        lambda conn: conn.execute(update(flips).where(flips.c.id.in_(logged)).values(logged=True)),
    )
    return len(found)


def read_log(path: Path) -> Sequence[Flip]:
    """Return the flips in the log, each once; a last line cut off by a crash is passed over.

    Raises StoreUnavailable when the log cannot be read or a line inside it is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be read ({error.strerror}); check who owns it") from error
    found: dict[tuple[str, int], Flip] = {}
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            flip = Flip(row["address"], int(row["epoch"]), Phase(row["phase"]), float(row["at"]))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # no line end: a crash cut it off
                continue
            raise StoreUnavailable(
                f"{path}, line {number}: is damaged; restore the line or remove it when its account is known"
            ) from error
        found[flip.address, flip.epoch] = flip
    return list(found.values())


def fewer_flips_than_log(conn: Connection, path: Path) -> Sequence[Flip]:
    """Return the flips that the log knows and the store does not: empty unless a back-up was restored."""
    logged = read_log(path)
    known = {(row.address, row.epoch) for row in conn.execute(select(flips.c.address, flips.c.epoch))}
    return [flip for flip in logged if (flip.address, flip.epoch) not in known]


def behind(database: Database, path: Path) -> int:
    """Return how many flips of the log the store does not know: above zero only after a restore."""
    return len(database.read_now("flips known", lambda conn: fewer_flips_than_log(conn, path)))


def reconcile(database: Database, path: Path) -> Sequence[Flip]:
    """Bring a restored store up to the log: accounts that had changed sides are on the target again.

    Returns the flips that were missing. Accounts that the back-up does not know are made when their
    domain exists; flips of domains that are gone are only noted.
    """

    def work(conn: Connection) -> Sequence[Flip]:
        missing = fewer_flips_than_log(conn, path)
        for flip in sorted(missing, key=lambda one: (one.address, one.epoch)):
            _bring_up(conn, flip)
        return missing

    return database.run_now("reconcile", work)


def _bring_up(conn: Connection, flip: Flip) -> None:
    domain = flip.address.rpartition("@")[2]
    account = accounts.find(conn, flip.address)
    if account is None and domains.find(conn, domain) is not None:
        account = accounts.ensure(conn, flip.address, domain)
    if account is not None and (account.phase in BEFORE_FLIP or account.phase is Phase.LOCAL):
        accounts.place_on_target(
            conn, account.id, flip.phase, epoch=flip.epoch, detail="by flips.log, after a restore"
        )
    conn.execute(
        insert(flips).values(
            address=flip.address, epoch=flip.epoch, phase=flip.phase.value, at=flip.at, logged=True
        )
    )


def _unlogged(conn: Connection) -> list[tuple[int, Flip]]:
    rows = conn.execute(UNLOGGED)
    return [(row.id, Flip(row.address, row.epoch, Phase(row.phase), row.at)) for row in rows]


def _append(path: Path, found: Sequence[Flip]) -> None:
    lines = [
        json.dumps({"address": flip.address, "epoch": flip.epoch, "phase": flip.phase.value, "at": flip.at})
        for flip in found
    ]
    try:
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            give_to_folders_owner(descriptor, path.parent)
            _cut_torn_line(descriptor)
            _write_all(descriptor, ("\n".join(lines) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            _sync_directory(path.parent)
    except OSError as error:
        raise StoreUnavailable(
            f"{path}: cannot be written ({error.strerror}); free space or check who owns it"
        ) from error


def _cut_torn_line(descriptor: int) -> None:
    """Remove a last line that a crash cut off: its flip is still to be logged, and comes again."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        tail = os.pread(descriptor, _LONGEST_LINE, max(0, end - _LONGEST_LINE))
        os.ftruncate(descriptor, end - len(tail) + tail.rfind(b"\n") + 1)


def _write_all(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
