"""The receipt: what became of each message, computed from the store alone."""

from __future__ import annotations

import csv
import io
import zlib
from pathlib import Path

import pytest
from sqlalchemy import update

from mailferry.plan.differences import HIGHEST_UID
from mailferry.roster.receipt import HEADER, save_receipt
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import ledger, mailboxes, skipped
from mailferry.store.database import Database
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import OVER_POP3
from mailferry.store.schema_copy import ledger_blocks
from tests.store.rows import precopy

ADDRESS = "user@a.test"


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


@pytest.mark.hazard("T27")
def test_each_message_has_one_line_with_what_became_of_it(store: Database, tmp_path: Path) -> None:
    account = precopy(store)

    def fill(conn) -> None:
        inbox = mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
        formula = mailboxes.ensure(conn, account.id, b"=1+1\r\n\x1b[2J", target_name=b"_1_1")
        hidden = mailboxes.ensure(conn, account.id, OVER_POP3, target_name=b"INBOX")
        entries = [
            LedgerEntry(uid, uid + 100, bytes((uid % 256,)) * 16, b"keys", found=uid % 3 == 0)
            for uid in range(2, 2402, 2)
        ]
        ledger.commit(conn, inbox.id, entries)
        ledger.commit(conn, inbox.id, [LedgerEntry(HIGHEST_UID, 7, bytes(16), bytes(4))])
        ledger.commit(conn, hidden.id, [LedgerEntry(1, 0, bytes(16), bytes(4))])
        for uid in range(1, 1401, 2):
            skipped.note(conn, inbox.id, uid, reason="too_big", detail="NO [LIMIT]\r\ntoo big", size=9)
        skipped.note(conn, formula.id, 5, reason="refused", detail="@cmd", size=9)

    store.run_now("fill", fill)
    path = tmp_path / "receipt.csv"
    assert save_receipt(store, ADDRESS, path) == 1200 + 1 + 1 + 700 + 1
    told = lines(path)
    assert tuple(told[0]) == HEADER
    inbox = [line for line in told if line["mailbox"] == "INBOX"]
    assert [line["uid"] for line in inbox[:4]] == ["1", "2", "3", "4"]
    assert len({line["uid"] for line in inbox}) == len(inbox)
    assert inbox[0]["result"] == "skipped"
    assert (inbox[0]["reason"], inbox[0]["detail"]) == ("too_big", "NO [LIMIT]\\r\\ntoo big")
    assert {line["uid"]: line["result"] for line in inbox if line["uid"] in {"2", "6", "2400"}} == {
        "2": "copied",
        "6": "already there",
        "2400": "already there",
    }
    assert (inbox[1]["target_uid"], inbox[1]["digest"]) == ("102", "02" * 16)
    assert (inbox[-1]["uid"], inbox[-1]["target_uid"]) == ("", "7")
    (hidden,) = [line for line in told if line["mailbox"] == "(POP3 only)"]
    assert (hidden["target_mailbox"], hidden["target_uid"], hidden["result"]) == ("INBOX", "", "copied")
    (formula,) = [line for line in told if line["reason"] == "refused"]
    assert (formula["mailbox"], formula["detail"]) == ("'=1+1\\r\\n\\x1b[2J", "'@cmd")


def test_a_receipt_replaces_nothing_and_is_there_only_when_it_is_whole(
    store: Database, tmp_path: Path
) -> None:
    account = precopy(store)
    path = tmp_path / "receipt.csv"
    assert save_receipt(store, ADDRESS, path) == 0
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        save_receipt(store, ADDRESS, path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RosterRefusal, match="there is no account"):
        save_receipt(store, "nix@a.test", tmp_path / "other.csv")
    box = store.run_now(
        "box", lambda conn: mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
    )
    store.run_now(
        "spoil",
        lambda conn: ledger.commit(conn, box.id, [LedgerEntry(1, 1, bytes(16), bytes(4))]),
    )
    store.run_now("spoil", lambda conn: conn.execute(update(ledger_blocks).values(packed=b"\x10\0\0\0x")))
    with pytest.raises((ValueError, zlib.error)):
        save_receipt(store, ADDRESS, tmp_path / "half.csv")
    assert [one.name for one in tmp_path.glob("*.csv")] == ["receipt.csv"]
    assert not list(tmp_path.glob(".unfinished*"))
