"""How many octets there are, are left and are skipped: as the source announces them, listing or not."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, PassResult
from mailferry.store import accounts, mailboxes
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab

pytestmark = pytest.mark.deadline(60)
POP3 = frozenset({"pop3"})


def at_source(rig: LabRig) -> int:
    return sum(len(message.octets) for box in rig.old for message in box.messages.values())


def counts(result: PassResult) -> tuple[int, int, int]:
    return result.total_octets, result.remaining_octets, result.skipped_octets


@pytest.mark.parametrize("protocols", [frozenset({"imap", "pop3"}), POP3], ids=["imap", "pop3"])
async def test_a_whole_copy_has_all_octets_and_none_left(store: Database, protocols: frozenset[str]) -> None:
    async with lab(store, protocols=protocols) as rig:
        for number in range(30):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * number * 10))
        assert counts(await rig.run()) == (at_source(rig), 0, 0)
        rig.old.inbox.remove([30])
        rig.old.deliver(b"Subject: new\r\n\r\n" + b"y" * 5000)
        assert counts(await rig.run()) == (at_source(rig), 0, 0)


async def test_each_mailbox_keeps_the_sum_of_its_last_listing(store: Database) -> None:
    async with lab(store, messages=80) as rig:
        assert counts(await rig.run()) == (at_source(rig), 0, 0)
        kept = rig.store.read_now("rows", lambda conn: mailboxes.of_account(conn, rig.account_id))
        assert {row.source_name: row.source_octets for row in kept} == {
            box.name: sum(len(message.octets) for message in box.messages.values()) for box in rig.old
        }


async def test_skipped_messages_are_neither_copied_nor_left(lite: Database) -> None:
    async with lab(lite, new={"append_limit"}) as rig:
        rig.target.premises.append_limit = 5000
        for size in (10, 6000, 20, 7000):
            rig.old.deliver(b"Subject: x\r\n\r\n" + b"x" * size)
        skipped = sum(n for n in (len(m.octets) for m in rig.old.inbox.messages.values()) if n > 5000)
        for _ in range(3):
            assert counts(await rig.run()) == (at_source(rig), 0, skipped)


async def test_what_a_pass_could_not_copy_is_left(lite: Database) -> None:
    async with lab(lite, protocols=POP3, batch_messages=1) as rig:
        for _ in range(10):
            rig.old.deliver(b"Subject: x\r\n\r\n" + b"x" * 100)
        one = at_source(rig) // 10
        rig.limited(slice_seconds=0.0)
        result = await rig.run()
        assert counts(result) == (10 * one, result.remaining * one, 0)
        assert result.remaining > 0
        rig.limited(slice_seconds=30.0)
        assert counts(await rig.run()) == (10 * one, 0, 0)


async def test_the_account_shows_how_much_there_is_while_the_first_pass_runs(lite: Database) -> None:
    async with lab(lite, batch_messages=1, connections=1) as rig:
        rig.old.create(b"A")
        for name, count in ((b"INBOX", 4), (b"A", 2)):
            for _ in range(count):
                rig.old.deliver(b"Subject: x\r\n\r\n" + name, mailbox=name)
        shown: list[tuple[int, int, int]] = []

        def note(_: object) -> None:
            account = rig.store.read_now("account", lambda conn: accounts.get(conn, rig.account_id))
            shown.append((account.total, account.copied, account.bytes_total))

        def kept(conn: Any) -> int:
            return accounts.get(conn, rig.account_id).bytes_copied

        await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), note)
        copying = [entry for entry in shown if entry[0]]
        assert {total for total, _, _ in copying} == {6}
        assert next(entry for entry in copying if entry[1] == 1) == (6, 1, 0), "a part would look like all"
        assert copying[-1] == (6, 6, at_source(rig))
        assert rig.store.read_now("copied", kept) == at_source(rig)
