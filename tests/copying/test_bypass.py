"""The radar for users who still use the old host directly: changes that no session of ours made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailferry.copying.results import Mode
from mailferry.model.account import Phase
from mailferry.store import accounts, nodes, sessions
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.store.rows import open_row

pytestmark = [pytest.mark.deadline(60)]

Change = Callable[[LabRig], None]
DELETION = b"INBOX"


def fill(rig: LabRig) -> None:
    rig.old.create(b"Work")
    for number in range(12):
        rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))


def deleted(rig: LabRig) -> None:
    rig.old.inbox.remove([1, 2])


def reflagged(rig: LabRig) -> None:
    rig.old.inbox.reflag(3, {b"\\Flagged"})


def moved(rig: LabRig) -> None:
    message = rig.old.inbox.messages[4]
    rig.old.inbox.remove([4])
    rig.old.mailbox(b"Work").add(message.octets, internal_date=message.internal_date)


def too_many(rig: LabRig) -> None:
    rig.old.inbox.remove(range(1, 8))


def delivered(rig: LabRig) -> None:
    rig.old.deliver(b"Subject: new\r\n\r\nx\r\n")


def nothing(rig: LabRig) -> None:
    """As it was."""


def seen(rig: LabRig) -> int:
    return rig.store.read_now("seen", lambda conn: accounts.get(conn, rig.account_id)).bypass_changes


def session(rig: LabRig) -> int:
    """Open a session of ours, as the gate does."""

    def work(conn: Any) -> int:
        node = nodes.register(conn, role="proxy", host="h", boot_id="b", pid=1)
        account = accounts.get(conn, rig.account_id)
        return open_row(conn, account, node)

    return rig.store.run_now("session", work)


def end(rig: LabRig, session_id: int, told: int = 0) -> None:
    what = {DELETION: told} if told else None
    rig.store.run_now("end", lambda conn: sessions.close_session(conn, session_id, deletions_seen=what))


@pytest.mark.parametrize(
    ("change", "changes"),
    [(deleted, 2), (reflagged, 1), (moved, 1), (too_many, 7), (delivered, 0), (nothing, 0)],
    ids=["deleted", "flagged", "moved", "held", "delivered", "nothing"],
)
async def test_what_changes_while_no_session_is_about_is_counted_once(
    lite: Database, change: Change, changes: int
) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await rig.run()
        assert seen(rig) == 0, "a first copy is no change"
        change(rig)
        for _ in range(3):
            await rig.run()
        assert seen(rig) == changes


@pytest.mark.parametrize("still_open", [True, False], ids=["open", "ended"])
async def test_what_a_session_of_ours_may_have_done_does_not_count(lite: Database, still_open: bool) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await rig.run()
        ours = session(rig)
        reflagged(rig)
        moved(rig)
        if not still_open:
            end(rig, ours)
        await rig.run()
        assert seen(rig) == 0
        if still_open:
            end(rig, ours)
            await rig.run()
        rig.old.inbox.reflag(5, {b"\\Answered"})
        await rig.run()
        assert seen(rig) == 1, "the session is over since a whole pass"


async def test_deletions_count_unless_a_session_of_ours_saw_them_acknowledged(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await rig.run()
        ours = session(rig)
        rig.old.inbox.remove([1, 2, 3])
        end(rig, ours, told=2)
        await rig.run()
        assert seen(rig) == 1


async def test_flags_that_nobody_knew_are_no_change(lite: Database) -> None:
    """After the target has numbered its messages anew they are all set again."""
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await rig.run()
        rig.new.inbox.uidvalidity += 7
        result = await rig.run()
        assert (result.reflagged, seen(rig)) == (12, 0)


async def test_from_the_flip_on_nothing_is_counted(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"})) as rig:
        fill(rig)
        await rig.run()
        deleted(rig)
        reflagged(rig)
        await rig.run(Mode.ADD_ONLY)
        assert seen(rig) == 0
        assert rig.store.read_now("phase", lambda c: accounts.get(c, rig.account_id)).phase is Phase.IDLE
