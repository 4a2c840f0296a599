"""`account receipt`: what became of each message of an account, one line each.

Computed from the store alone: the ledger (which message of the source is which at the target) and the
list of skipped messages, over one unchanging view of both. Neither host is asked; `account verify` does
that. A message that no pass has brought over or left out yet is in neither and has no line.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from sqlalchemy import Connection

from mailferry.copying.new_file import NewFile
from mailferry.plan.account_csv import csv_lines
from mailferry.plan.differences import NO_SERVER_UID
from mailferry.roster.account_views import mailbox_shown
from mailferry.roster.lookup import account_at
from mailferry.store import ledger, mailboxes, skipped
from mailferry.store.database import Database
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.skipped import SkippedMessage
from mailferry.wire.server_text import visible

HEADER = ("mailbox", "target_mailbox", "uid", "target_uid", "result", "reason", "detail", "digest")
COPIED, ALREADY_THERE, SKIPPED = "copied", "already there", "skipped"


def save_receipt(database: Database, address: str, path: Path) -> int:
    """Write the receipt of an account to a new file; return how many messages it tells of.

    Raises NoSuchAccount, FileExistsError and other OSErrors; then there is no file.
    """
    with NewFile(path) as file:
        lines = write_receipt(database, address, file.stream, seekable=True)
        file.keep()
    return lines


def write_receipt(database: Database, address: str, out: IO[bytes], *, seekable: bool = False) -> int:
    """Write the receipt of an account to a stream; return how many messages it tells of.

    A transaction may run twice: what the first run wrote is only taken back from a `seekable` stream.
    """

    def work(conn: Connection) -> int:
        if seekable:
            out.seek(0)
            out.truncate()
        account = account_at(conn, address)
        pieces = 0
        for octets in csv_lines(HEADER, _lines(conn, account.id)):
            out.write(octets)
            pieces += 1
        return pieces - 2  # the mark and the header

    return database.read_now("receipt", work)


def _lines(conn: Connection, account_id: int) -> Iterator[Sequence[str]]:
    rows = list(mailboxes.of_account(conn, account_id))
    hidden = mailboxes.over_pop3(conn, account_id)
    incomplete = mailboxes.incomplete(conn, account_id)
    for row in [*rows, *([hidden] if hidden is not None else [])]:
        both: list[Iterator[LedgerEntry | SkippedMessage]] = [
            ledger.entries(conn, row.id),
            skipped.entries(conn, row.id),
        ]
        kept = incomplete.get(row.source_name)
        for_want = {} if kept is None else {one.source_uid: one for one in ledger.entries(conn, kept.id)}
        for one in heapq.merge(*both, key=lambda message: message.source_uid):
            if isinstance(one, LedgerEntry):
                yield _copied(row, one)
            else:
                yield _skipped(row, one, for_want.get(one.source_uid))


def _copied(row: CopiedMailbox, entry: LedgerEntry) -> Sequence[str]:
    uid = str(entry.source_uid) if entry.source_uid < NO_SERVER_UID else ""
    result = ALREADY_THERE if entry.found else COPIED
    target_uid = str(entry.target_uid) if entry.target_uid else ""
    return (*_names(row), uid, target_uid, result, "", "", entry.digest.hex())


def _skipped(row: CopiedMailbox, one: SkippedMessage, kept: LedgerEntry | None) -> Sequence[str]:
    """One that is not copied; of an incomplete one, what lies at the target for want of better is named."""
    detail = visible(one.detail or "")
    target_uid = str(kept.target_uid) if kept is not None and kept.target_uid else ""
    return (*_names(row), str(one.source_uid), target_uid, SKIPPED, one.reason, detail, "")


def _names(row: CopiedMailbox) -> tuple[str, str]:
    return mailbox_shown(row.source_name), mailbox_shown(row.target_name)
