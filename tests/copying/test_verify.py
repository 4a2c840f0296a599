"""Comparing both sides message by message."""

from __future__ import annotations

import pytest

from mailferry.copying.verify import Fault, receipt, verify_account
from mailferry.store.database import Database
from tests.copying.lab_rig import lab
from tests.copying.rig import turn

pytestmark = pytest.mark.deadline(60)


async def test_a_good_copy_is_found_alike_and_each_fault_is_named(lite: Database) -> None:
    async with lab(lite, messages=60, new={"append_nul_refused"}) as rig:
        for number in range(6):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
        bad = rig.old.deliver(b"Subject: nul\r\n\r\n\0")
        await rig.run()
        found = await verify_account(rig.desk, rig.account_id)
        await turn()
        assert found.differences == []
        assert (found.messages, found.bodies_compared, found.skipped, found.target_only) == (67, 66, 1, 0)
        here = sorted(rig.old.inbox.messages)[-7:-1]
        there = {uid: rig.ledgered()[b"INBOX"][uid] for uid in here}
        inbox = rig.new.inbox
        inbox.remove([there[here[0]]])
        inbox.reflag(there[here[1]], [b"\\Deleted"])
        inbox.messages[there[here[2]]].octets += b"more"
        moved = inbox.messages[there[here[3]]]
        moved.internal_date = moved.internal_date.replace(year=1999)
        fresh = rig.old.deliver(b"Subject: fresh\r\n\r\n")
        rig.new.deliver(b"Subject: own\r\n\r\n")
        spoilt = await verify_account(rig.desk, rig.account_id)
        await turn()
        assert {(d.source_uid, d.fault) for d in spoilt.differences} == {
            (here[0], Fault.COPY_MISSING),
            (here[1], Fault.FLAGS_DIFFER),
            (here[2], Fault.BODY_DIFFERS),
            (here[3], Fault.DATE_DIFFERS),
            (fresh.uid, Fault.NOT_COPIED),
        }
        assert (spoilt.target_only, spoilt.alike) == (1, False)
        lines = lite.read_now("receipt", lambda conn: list(receipt(conn, rig.account_id)))
        assert len(lines) == 67
        assert [line.reason for line in lines if line.result == "skipped"] == ["nul_refused"]
        assert [line.source_uid for line in lines if line.result == "skipped"] == [bad.uid]


async def test_a_sample_is_the_same_each_time(lite: Database) -> None:
    async with lab(lite, messages=200) as rig:
        await rig.run()
        counts = set()
        for _ in range(2):
            found = await verify_account(rig.desk, rig.account_id, sample=0.25)
            await turn()
            counts.add(found.bodies_compared)
        assert len(counts) == 1
        assert 20 <= counts.pop() <= 80
