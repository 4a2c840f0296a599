"""Accounts from and to files of spreadsheet programs: `account import`, `account export`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from mailferry.passwords.sealing import KeyRing
from mailferry.plan.account_csv import AccountRow, RowFault, csv_lines, read_account_csv, write_account_csv
from mailferry.plan.addresses import domain_of
from mailferry.roster.account_changes import TAKES_PASSWORD, keep_for_copy
from mailferry.roster.accounts import every
from mailferry.store import account_listing, accounts, audit, domains
from mailferry.store.account_listing import AccountFilter
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain

AT_ONCE = 200
"""Rows in one transaction: a long file must not keep logins waiting."""
FIRST_ROWS = 10
EXPORT_HEADER = (
    "target", "domain", "state", "phase", "percent", "total", "copied", "remaining", "skipped",
    "cause", "who_must_act", "trigger", "started_at", "finished_at", "next_retry_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListedDomain:
    """A domain of the file that moves listed accounts alone: every other address of it is not migrating."""

    name: str
    listed: int
    """Accounts that the file lists."""
    others: int
    """Accounts that are there beside it, from earlier lists and logins: they move as well."""


@dataclass(frozen=True, slots=True)
class FirstRow:
    """A row as it was read; of its password only whether there is one."""

    line: int
    target: str
    source: str
    has_password: bool


def _first_row(row: AccountRow) -> FirstRow:
    return FirstRow(row.line, row.target, row.source, row.password is not None)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do; with `faults` nothing was done at all."""

    rows: int
    added: int = 0
    passwords: int = 0
    """Passwords kept for the copy."""
    left_alone: tuple[str, ...] = ()
    """Accounts that need no password of the old mailbox any more."""
    faults: tuple[RowFault, ...] = ()
    encoding: str = ""
    only_listed: tuple[ListedDomain, ...] = ()
    first: tuple[FirstRow, ...] = ()
    """The first rows, for people to see whether the columns were understood."""


def import_accounts(
    database: Database,
    keyring: KeyRing,
    data: bytes,
    *,
    who: str,
    dry_run: bool = False,
    only: frozenset[str] | None = None,
) -> ImportReport:
    """Take in a file of accounts; every fault is reported with its line, and then nothing is done.

    `only` names the domains that the asker knows of; others are not there. Rows with a password start
    to be copied by themselves; it logs in at the source only and is never
    set at the target. Safe to repeat: a second run changes nothing but the passwords given.
    """
    file = read_account_csv(data)
    found = database.read_now("domains", domains.listing)
    known = {domain.name: domain for domain in found if only is None or domain.name in only}
    now = database.read_now("now", db_now)
    faults = (*file.faults, *_domain_faults(file.rows, known, now))
    if faults:
        ordered = tuple(sorted(faults, key=lambda fault: fault.line))
        return ImportReport(rows=len(file.rows), faults=ordered, encoding=file.encoding)
    only_listed = database.read_now("listed domains", partial(_only_listed, rows=file.rows, known=known))
    added = kept = 0
    left_alone: list[str] = []
    for at in range(0, len(file.rows), AT_ONCE):
        rows = file.rows[at : at + AT_ONCE]
        if dry_run:
            result = database.read_now("import preview", partial(_preview, rows=rows))
        else:
            take_in = partial(_take_in, keyring=keyring, rows=rows, known=known)
            result = database.run_now("import", take_in)
        added += result.added
        kept += result.passwords
        left_alone += result.left_alone
    if not dry_run:
        detail = f"{len(file.rows)} rows, {added} new accounts, {kept} passwords"
        database.run_now(
            "import audit",
            lambda conn: audit.write(conn, who=who, what="account.import", subject="file", detail=detail),
        )
    return ImportReport(
        rows=len(file.rows),
        added=added,
        passwords=kept,
        left_alone=tuple(left_alone),
        encoding=file.encoding,
        only_listed=only_listed,
        first=tuple(map(_first_row, file.rows[:FIRST_ROWS])),
    )


def export_accounts(database: Database, only: AccountFilter | None = None) -> bytes:
    """Return the accounts with their states as a file that spreadsheet programs open; no passwords."""
    return write_account_csv(EXPORT_HEADER, _export_rows(database, only))


def export_lines(database: Database, only: AccountFilter | None = None) -> Iterator[bytes]:
    """Yield what `export_accounts` returns in pieces, so that no list of all accounts is ever held."""
    return csv_lines(EXPORT_HEADER, _export_rows(database, only))


def _export_rows(database: Database, only: AccountFilter | None) -> Iterator[Sequence[str]]:
    for account in every(database, only):
        flat = {**account, **account["messages"], "target": account["address"]}
        yield ["" if flat[name] is None else str(flat[name]) for name in EXPORT_HEADER]


def _domain_faults(rows: Sequence[AccountRow], known: dict[str, Domain], now: float) -> list[RowFault]:
    faults = []
    for row in rows:
        name = domain_of(row.target)
        if name not in known:
            faults.append(RowFault(row.line, "target", f"there is no domain {name}; add it with domain add"))
        elif row.password is not None and not known[name].window_open(now):
            what = f"the window of {name} is over; re-open it with domain extend"
            faults.append(RowFault(row.line, "password", what))
    return faults


def _preview(conn: Connection, rows: Sequence[AccountRow]) -> ImportReport:
    found = [(row, accounts.find(conn, row.target)) for row in rows]
    return ImportReport(
        rows=len(rows),
        added=sum(account is None for _, account in found),
        passwords=sum(row.password is not None and _takes(account) for row, account in found),
        left_alone=tuple(
            row.target for row, account in found if row.password is not None and not _takes(account)
        ),
    )


def _only_listed(
    conn: Connection, rows: Sequence[AccountRow], known: dict[str, Domain]
) -> tuple[ListedDomain, ...]:
    """Return what becomes of the file's domains that move listed accounts alone, as it is before the import."""
    told = []
    for name in sorted({domain_of(row.target) for row in rows}):
        if known[name].only_listed:
            listed = [row.target for row in rows if domain_of(row.target) == name]
            there = sum(accounts.find(conn, address) is not None for address in listed)
            stored = sum(account_listing.counts_by_state(conn, name).values())
            told.append(ListedDomain(name, len(listed), stored - there))
    return tuple(told)


def _take_in(
    conn: Connection, keyring: KeyRing, rows: Sequence[AccountRow], known: dict[str, Domain]
) -> ImportReport:
    preview = _preview(conn, rows)
    for row in rows:
        domain = known[domain_of(row.target)]
        login = None if row.source == row.target else row.source
        account = accounts.ensure(conn, row.target, domain.name, source_login=login)
        if account.source_login != login:
            accounts.note(conn, account.id, source_login=login)
        if row.password is not None and _takes(account):
            keep_for_copy(conn, keyring, account, domain, row.password)
    return preview


def _takes(account: Account | None) -> bool:
    return account is None or account.phase in TAKES_PASSWORD
