"""The API about one account's messages: the receipt, and a message that was left out."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, succeed

from mailferry.roster.receipt import HEADER, save_receipt
from mailferry.store import ledger, mailboxes, skipped
from mailferry.store.database import Database
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.web.old_hosts import FetchedMessage, OldHosts
from mailferry.web.site import make_site
from tests.web.accounts import DOMAIN, USER, add_account, add_domain
from tests.web.conftest import MakeDesk
from tests.web.program import Program, make_token, problem_of


class Hosts:
    """Stands for the hosts; `answer` is what comes of the next question."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Callable[..., Deferred[Any]] = lambda *_: succeed(None)

    def do(self, *asked: Any) -> Deferred[Any]:
        self.asked.append(asked)
        return self.answer(*asked)


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def robot(make_desk: MakeDesk, store: Database, hosts: Hosts) -> Program:
    async def on_reactor(work: Callable[[], Deferred[Any]]) -> Any:
        return await work().asFuture(asyncio.get_running_loop())

    nobody: Any = None
    desk = make_desk(old_hosts=OldHosts(nobody, nobody, hosts.do, hosts.do), on_reactor=on_reactor)
    return Program(make_site(desk, doors=()), make_token(store))


@pytest.fixture
def copied(store: Database) -> None:
    """An account with two copies, and a message that was left out."""
    add_domain(store)
    account = add_account(store)

    def fill(conn: Connection) -> None:
        inbox = mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
        ledger.commit(conn, inbox.id, [LedgerEntry(uid, uid + 100, bytes(16), b"keys") for uid in (1, 2)])
        skipped.note(conn, inbox.id, 3, reason="too_big", detail="=1+1", size=9)

    store.run_now("fill", fill)


def test_the_receipt_is_the_file_that_the_command_writes(
    robot: Program, store: Database, copied: None, tmp_path: Path
) -> None:
    answer = robot.ask("GET", f"/accounts/{USER}/receipt")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="receipt.csv"'
    save_receipt(store, USER, tmp_path / "receipt.csv")
    assert answer.content == (tmp_path / "receipt.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert tuple(rows[0]) == HEADER
    assert [row["result"] for row in rows] == ["copied", "copied", "skipped"]
    assert rows[2]["detail"].startswith("'=")
    assert problem_of(robot.ask("GET", "/accounts/nobody@old.test/receipt"))["status"] == 404


def test_a_message_that_was_left_out_comes_as_a_file_and_stays_nowhere(
    robot: Program, hosts: Hosts, copied: None
) -> None:
    number = robot.get(f"/accounts/{USER}/skipped")["skipped"][0]["id"]
    path = f"/accounts/{USER}/skipped/{number}/fetch"

    def fetched(address: str, _mailbox: int, uid: int, folder: Path) -> Deferred[Any]:
        assert (address, uid) == (USER, 3)
        (folder / "1-3.eml").write_bytes(b"Subject: x\r\n\r\n<script>")
        return succeed(FetchedMessage(folder / "1-3.eml"))

    hosts.answer = fetched
    answer = robot.ask("POST", path)
    assert answer.content == b"Subject: x\r\n\r\n<script>"
    assert answer.headers["content-type"] == "message/rfc822"
    assert "attachment" in answer.headers["content-disposition"]
    assert not hosts.asked[0][3].exists()
    hosts.answer = lambda *_: succeed(FetchedMessage(None, "the source has it no longer"))
    assert problem_of(robot.ask("POST", path))["status"] == 404
    missing = problem_of(robot.ask("POST", f"/accounts/{USER}/skipped/999/fetch"))
    assert (missing["status"], DOMAIN in missing["detail"]) == (409, True)
