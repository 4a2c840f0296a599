"""A lease that another copier has taken in the middle of a turn: the first one writes nothing more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, Progress
from mailferry.store import accounts, leases, nodes
from mailferry.store.database import Database, db_now
from mailferry.store.faults import LeaseLost
from mailferry.store.leases import Lease
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D24")]
MESSAGES = 60
BATCH = 5


def take(rig: LabRig, pid: int) -> Lease:
    """Let a copier process take the account, whoever has it: its lease has run out."""

    def work(conn: Any) -> Lease:
        node = nodes.register(conn, "copier", "here", "boot", pid)
        accounts.note(conn, rig.account_id, next_due_at=0.0)
        over = accounts.get(conn, rig.account_id).lease_until or db_now(conn)
        (taken,) = leases.take(conn, node, limit=1, lease_seconds=3600.0, now=over)
        return taken.lease

    return rig.store.run_now("take", work)


@pytest.mark.parametrize("protocols", [{"imap"}, {"pop3"}], ids=["imap", "pop3"])
@pytest.mark.parametrize("after", [1, 20])
async def test_who_lost_the_account_writes_nothing_more_and_the_next_one_settles(
    lite: Database, protocols: set[str], after: int
) -> None:
    limits: dict[str, Any] = {"batch_messages": BATCH, "connections": 1}
    async with lab(lite, protocols=frozenset(protocols), **limits) as rig:
        for number in range(MESSAGES):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number // 2, b"x" * 500))
        first, second = take(rig, 1), []

        def taken_over(progress: Progress) -> None:
            if progress.copied >= after and not second:
                second.append(take(rig, 2))

        request = PassRequest(rig.account_id, Mode.MIRROR, lease=first)
        with pytest.raises(LeaseLost):
            await run_pass(rig.desk, request, taken_over)
        await turn()
        here, ledgered = len(rig.new.inbox.messages), len(rig.ledgered().get(b"INBOX", {}))
        assert after <= ledgered <= here < MESSAGES, "it stopped long before its end"
        assert here - ledgered <= 3 * BATCH, "no more than was on its way"
        with pytest.raises(LeaseLost):
            await run_pass(rig.desk, request)
        await turn()
        assert len(rig.new.inbox.messages) == here
        for _ in range(2):
            result = await rig.run(lease=second[0])
        assert result.clean
        there = Counter(m.octets for m in rig.new.inbox.messages.values())
        assert there == Counter(m.octets for m in rig.old.inbox.messages.values())


async def test_a_last_pass_of_who_lost_the_account_commits_nothing(lite: Database) -> None:
    async with lab(lite) as rig:
        rig.old.deliver(b"Subject: one\r\n\r\n")
        first = take(rig, 1)
        take(rig, 2)
        with pytest.raises(LeaseLost):
            await rig.run(last=True, lease=first)
        assert not rig.new.inbox.messages
        assert rig.ledgered().get(b"INBOX", {}) == {}
