"""`mailferry account skipped|receipt`: one account's messages as the store knows them."""

from __future__ import annotations

import csv
import io
from typing import Any

from mailferry.model.account import Phase
from mailferry.store import accounts, mailboxes, skipped
from mailferry.store.database import Database
from tests.cli.place import DOMAIN, Place, address

ADDRESS = address(Phase.STALLED)


def add_skips(place: Place, count: int) -> None:
    database = Database(f"sqlite:///{place.database}")

    def work(conn: Any) -> None:
        account = accounts.find(conn, ADDRESS)
        assert account is not None
        inbox = mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
        for uid in range(100, 100 + count):
            skipped.note(conn, inbox.id, uid, reason="refused", detail="=no", now=1.0)

    database.run_now("skips", work)
    database.close()


def test_every_skipped_message_is_listed_however_many(filled: Place) -> None:
    add_skips(filled, 2100)
    rows = filled.well("account", "skipped", ADDRESS, "--json").json
    assert len(rows) == 2101
    assert {row["uid"] for row in rows} == {7, *range(100, 2200)}
    table = filled.well("account", "skipped", ADDRESS).out.splitlines()
    assert sum("INBOX" in line for line in table) == 2101
    assert filled.well("account", "skipped", address(Phase.IDLE), "--json").json == []


def test_a_receipt_is_a_spreadsheet_and_overwrites_nothing(filled: Place) -> None:
    add_skips(filled, 3)
    file = filled.folder / "receipt.csv"
    assert filled.well("account", "receipt", ADDRESS, file).out == f"{file} is written: 4 messages\n"
    assert filled.fails("account", "receipt", ADDRESS, file) == f"{file} exists already"
    octets = file.read_text(encoding="utf-8-sig")
    assert [row["detail"] for row in csv.DictReader(io.StringIO(octets))][1:] == ["'=no"] * 3
    out = filled.well("account", "receipt", ADDRESS, "-").out
    assert out.lstrip("\ufeff").splitlines() == octets.splitlines()
    assert "No such file" in filled.fails("account", "receipt", ADDRESS, filled.folder / "no" / "where.csv")
    assert "there is no account" in filled.fails("account", "receipt", f"nix@{DOMAIN}", "-")


def test_what_cannot_be_fetched_ends_with_a_line_and_without_json_of_half(filled: Place) -> None:
    said = filled.run("account", "skipped", ADDRESS, "--eml", filled.folder / "eml", "--json")
    assert said.status == 1
    assert said.out == ""
    assert "no password is kept" in said.fault
