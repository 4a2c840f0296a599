"""One message that a target never bears does not stop the others; a target that bears none is nobody's fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailferry.lab import append_quirks
from mailferry.lab.connection import HungUp
from mailferry.lab.imap_session import No
from mailferry.model.causes import Cause
from mailferry.store import skipped
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D10")]

POISON = b"poison"


def fill(rig: LabRig, count: int = 30) -> None:
    for number in range(count):
        rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, POISON if number == 7 else b"good"))


def breaks(session: Any, octets: bytes) -> None:
    if POISON in octets:
        session.link.hang_up()
        raise HungUp


def puts_off(_: Any, octets: bytes) -> None:
    if POISON in octets:
        raise No("[SERVERBUG] Internal error occurred. Refer to server log for more information.")


@pytest.mark.parametrize("more", [set(), {"no_multiappend"}], ids=["batch", "single"])
@pytest.mark.parametrize(
    ("check", "reason", "why"),
    [(breaks, "unreadable_at_source", "breaks"), (puts_off, "refused", "puts it off")],
    ids=["breaks off", "puts it off"],
)
async def test_a_message_that_the_target_fails_at_each_time_is_done_without(
    lite: Database,
    monkeypatch: pytest.MonkeyPatch,
    more: set[str],
    check: Callable[[Any, bytes], None],
    reason: str,
    why: str,
) -> None:
    monkeypatch.setattr(append_quirks, "check", check)
    async with lab(lite, new=more, connections=1, batch_messages=10) as rig:
        fill(rig)
        for _ in range(5):
            result = await rig.run()
            if result.clean:
                break
            assert result.cause is Cause.TARGET_DOWN
        assert result.clean
        assert rig.skips() == [(b"INBOX", 8, reason)]
        (skip,) = lite.read_now("skips", lambda conn: skipped.listing(conn, rig.account_id))
        assert why in skip.detail
        assert len(rig.new.inbox.messages) == 29
        monkeypatch.undo()
        rig.let_skips_be_due()
        again = await rig.run()
        assert (again.copied, again.clean, rig.skips()) == (1, True, [])
        assert rig.unlike() == []


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("taken", [0, 1])
async def test_a_target_that_puts_everything_off_blames_no_message(
    lite: Database, monkeypatch: pytest.MonkeyPatch, count: int, taken: int
) -> None:
    async with lab(lite, connections=1, batch_messages=10) as rig:

        def nothing_more(_: Any, __: bytes) -> None:
            if len(rig.new.inbox.messages) >= taken:
                raise No("[UNAVAILABLE] Temporary internal error")

        rig.old.create(b"Work")
        fill(rig, taken)
        for number in range(count):
            rig.old.deliver(b"Subject: w%d\r\n\r\n" % number, mailbox=b"Work")
        monkeypatch.setattr(append_quirks, "check", nothing_more)
        for _ in range(3):
            result = await rig.run()
            assert (result.clean, result.cause, rig.skips()) == (False, Cause.TARGET_DOWN, [])
        monkeypatch.undo()
        assert (await rig.run()).clean
        assert rig.unlike() == []
