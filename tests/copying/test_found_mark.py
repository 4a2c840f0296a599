"""Which messages were found at the target and not copied: the ledger tells them apart for good."""

from __future__ import annotations

import pytest

from mailferry.copying.results import Mode
from mailferry.store import ledger, mailboxes
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab

pytestmark = pytest.mark.deadline(60)
TWIN = b"Message-ID: <twin@a.test>\r\nSubject: twin\r\n\r\ntwin\r\n"


def found(rig: LabRig) -> dict[int, bool]:
    def read(conn) -> dict[int, bool]:
        (row,) = mailboxes.of_account(conn, rig.account_id)
        return {entry.source_uid: entry.found for entry in ledger.load(conn, row.id)}

    return rig.store.read_now("found", read)


@pytest.mark.parametrize("side", ["old", "new"])
async def test_late_mail_that_the_target_has_is_marked_and_stays_so(lite: Database, side: str) -> None:
    async with lab(lite) as rig:
        rig.old.deliver(b"Subject: copied\r\n\r\n")
        await rig.run(Mode.ADD_ONLY)
        twin = rig.old.deliver(TWIN)
        rig.new.deliver(b"Received: by the new host\r\n" + TWIN)
        rig.old.deliver(b"Message-ID: <late@a.test>\r\n\r\nlate\r\n")
        result = await rig.run(Mode.ADD_ONLY, sweep=True)
        assert (result.already, result.copied) == (1, 1)
        assert found(rig) == {1: False, twin.uid: True, 3: False}
        getattr(rig, side).inbox.uidvalidity += 7
        rig.old.inbox.reflag(twin.uid, [b"\\Flagged"])
        await rig.run(Mode.ADD_ONLY)
        assert found(rig) == {1: False, twin.uid: True, 3: False}
