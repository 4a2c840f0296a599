"""A mailbox that the source lists and does not open: asked again, named, and no reason to wait for ever."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.lab import imap_mailboxes
from mailferry.lab.imap_session import No
from mailferry.plan.completeness import Doubt, Grade
from mailferry.store import remarks
from mailferry.store.database import Database
from mailferry.store.schema_copy import remarks as table
from tests.copying.lab_rig import LabRig, lab

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D25")]


class Closed:
    """Mailboxes of the source that cannot be opened; `silent` ones tell no STATUS either."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[bytes] = set()
        self.silent = True
        self.asked: list[bytes] = []
        opens = imap_mailboxes._selectable

        def selectable(session: Any, name: bytes) -> Any:
            if session.premises.name == "old" and name in self.names:
                self.asked.append(name)
                raise No("[NOPERM] Access denied")
            return opens(session, name)

        monkeypatch.setattr(imap_mailboxes, "_selectable", selectable)
        status = imap_mailboxes._status_line

        def status_line(session: Any, box: Any, items: Any) -> bytes:
            if session.premises.name == "old" and box.name in self.names and self.silent:
                return b"* OK nothing is told"
            return status(session, box, items)

        monkeypatch.setattr(imap_mailboxes, "_status_line", status_line)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Closed:
    return Closed(monkeypatch)


def fill(rig: LabRig) -> None:
    for name in (b"INBOX", b"A", b"B"):
        if name != b"INBOX":
            rig.old.create(name)
        rig.old.deliver(b"Subject: x\r\n\r\n" + name, mailbox=name)


def earlier(rig: LabRig, seconds: float) -> None:
    """Let the first refusal be so long ago."""
    from sqlalchemy import update

    rig.store.run_now(
        "earlier", lambda conn: conn.execute(update(table).values(first_at=table.c.first_at - seconds))
    )


def known(rig: LabRig) -> list[tuple[str, bytes, int]]:
    rows = rig.store.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
    return [(row.kind.value, row.subject, row.number) for row in rows if row.kind.value == "mailbox_refused"]


async def test_it_is_asked_twice_in_a_pass_then_in_later_ones_and_then_done_without(
    lite: Database, closed: Closed
) -> None:
    async with lab(lite, old={"list_status_lie"}) as rig:
        fill(rig)
        closed.names = {b"A"}
        for number in (1, 2):
            result = await rig.run()
            assert [failure.name for failure in result.failures] == [b"A"]
            assert (result.clean, result.left_out) == (False, {})
            assert known(rig) == [("mailbox_refused", b"A", number)]
        assert closed.asked.count(b"A") >= 4
        assert not (await rig.run()).clean, "three times, and too soon"
        earlier(rig, 700.0)
        result = await rig.run(last=True)
        assert (result.clean, list(result.left_out), result.verified) == (True, [b"A"], True)
        assert result.completeness.doubts == (Doubt.MAILBOX_REFUSED,)
        assert result.completeness.grade is Grade.GOOD
        assert "A: not opened" in result.completeness.details[0]
        assert len(rig.new.mailbox(b"B").messages) == 1
        closed.names = set()
        result = await rig.run()
        assert (result.copied, result.clean, known(rig)) == (1, True, [])
        assert rig.unlike() == []


async def test_one_that_is_known_to_hold_mail_waits_for_an_administrator(
    lite: Database, closed: Closed
) -> None:
    async with lab(lite) as rig:
        fill(rig)
        closed.names, closed.silent = {b"A"}, False
        for _ in range(3):
            assert not (await rig.run()).clean
        earlier(rig, 700.0)
        result = await rig.run()
        assert (result.clean, result.completeness.grade) == (True, Grade.SUSPECT)
        assert result.completeness.doubts == (Doubt.MAILBOX_WITHHELD,)
        assert "1 messages" in result.completeness.details[0]


async def test_inbox_is_never_done_without_and_nor_is_everything(lite: Database, closed: Closed) -> None:
    async with lab(lite, old={"list_status_lie"}) as rig:
        fill(rig)
        closed.names = {b"INBOX"}
        for _ in range(4):
            assert not (await rig.run()).clean
            earlier(rig, 700.0)
        closed.names = {b"INBOX", b"A", b"B"}
        for _ in range(4):
            assert not (await rig.run()).clean
            earlier(rig, 700.0)
