"""What a second client does at the target while a pass runs: a copy that it removes comes back, whatever was remembered."""

from __future__ import annotations

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, Progress
from mailferry.lab import append_quirks
from mailferry.lab.imap_view import View
from mailferry.store.database import Database
from tests.copying.lab_rig import lab
from tests.hazards.test_settling import fill

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D3"), pytest.mark.hazard("D7")]


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_a_copy_removed_while_the_pass_runs_is_missed_by_the_next_one(
    lite: Database, protocol: str
) -> None:
    async with lab(lite, connections=1, batch_messages=4, protocols=frozenset({protocol})) as rig:
        fill(rig, 12)

        def remove(progress: Progress) -> None:
            if progress.copied == 8:
                rig.new.inbox.remove([2, 3])

        assert (await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), remove)).clean
        assert len(rig.new.inbox.messages) == 10
        result = await rig.run(last=True)
        assert (result.copied, result.verified) == (2, True)
        assert {message.octets for message in rig.new.inbox.messages.values()} == {
            message.octets for message in rig.old.inbox.messages.values()
        }


async def test_an_older_copy_removed_while_a_later_pass_runs_is_missed_by_the_next_one(
    lite: Database,
) -> None:
    async with lab(lite, connections=1, batch_messages=4) as rig:
        fill(rig, 12)
        await rig.run()
        rig.old.deliver(b"Subject: new\r\n\r\n")

        def remove(progress: Progress) -> None:
            if progress.copied == 1:
                rig.new.inbox.remove([2, 3])

        assert (await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), remove)).clean
        assert (await rig.run()).copied == 2
        assert rig.unlike() == []


async def test_a_target_that_files_away_what_it_is_given_is_not_given_it_in_each_pass(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As imapsieve does: at most once more, after the first pass."""
    async with lab(lite, connections=1) as rig:
        filed: list[bytes] = []

        def file_away(_: object) -> None:
            for uid, message in list(rig.new.inbox.messages.items()):
                if b"spam" in message.octets:
                    filed.append(message.octets)
                    rig.new.inbox.remove([uid])

        monkeypatch.setattr(append_quirks, "kept", file_away)
        for number in range(6):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"spam" if number % 2 else b"text"))
        for _ in range(4):
            assert (await rig.run()).clean
        assert len(filed) == 6
        for number in range(3):
            rig.old.deliver(b"Subject: more %d\r\n\r\nspam\r\n" % number)
            for _ in range(2):
                assert (await rig.run()).clean
        assert len(filed) == 9


async def test_a_copy_that_the_target_leaves_out_of_one_answer_is_not_copied_again(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Omission is not absence, at the target as well: it is asked for by its UID."""
    async with lab(lite) as rig:
        fill(rig, 12)
        assert (await rig.run()).copied == 12
        rig.new.deliver(b"Subject: only here\r\n\r\n")
        chosen = View.chosen

        def fewer(view: View, octets: bytes, **more: object) -> list[int]:
            found = chosen(view, octets, **more)  # type: ignore[arg-type]
            if view.mailbox.uidvalidity < 9000 or octets != b"1:*":
                return found
            return [index for index in found if view.rows[index].uid not in {4, 5}]

        monkeypatch.setattr(View, "chosen", fewer)
        result = await rig.run()
        assert (result.copied, result.clean) == (0, True)
        assert len(rig.new.inbox.messages) == 13
