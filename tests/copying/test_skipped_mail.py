"""Skipped mail as files: what the source still gives, and why the rest could not be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.copying import maildrop_visit, skipped_mail
from mailferry.copying.results import Mode
from mailferry.copying.skipped_mail import FetchedMail, fetch_skipped
from mailferry.model.causes import Cause, Unavailable
from mailferry.store import skipped
from mailferry.store.database import Database
from tests.copying.lab_rig import lab
from tests.copying.rig import Rig, turn

pytestmark = pytest.mark.deadline(60)
NASTY = b"../../etc/passwd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "eml"


async def fetched(rig: Rig, folder: Path) -> list[FetchedMail]:
    told: list[FetchedMail] = []
    await fetch_skipped(rig.desk, rig.account_id, folder, told.append)
    await turn()
    return told


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.hazard("T28")
async def test_skipped_messages_become_files_with_names_of_ours(lite: Database, folder: Path) -> None:
    async with lab(lite, new={"append_nul_refused"}) as rig:
        rig.old.create(NASTY)
        bodies = [b"Subject: nul %d\r\n\r\n\0%s" % (n, b"x" * n * 300_000) for n in range(3)]
        rig.old.deliver(bodies[0])
        rig.old.deliver(bodies[1], mailbox=NASTY)
        gone = rig.old.deliver(bodies[2], mailbox=NASTY)
        rig.old.deliver(b"Subject: fine\r\n\r\n")
        await rig.run()
        assert len(rig.skips()) == 3
        rig.old.mailbox(NASTY).remove([gone.uid])
        told = await fetched(rig, folder)
        assert sorted(files(folder).values()) == sorted(bodies[:2])
        assert all(name.replace("-", "").removesuffix(".eml").isdigit() for name in files(folder))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert [(one.mailbox, one.source_uid, one.why) for one in told if one.file is None] == [
            (NASTY, gone.uid, skipped_mail.NOT_LISTED)
        ]
        kept = next(folder.iterdir())
        kept.write_bytes(b"the administrator's own")
        again = await fetched(rig, folder)
        assert [one.why for one in again if one.file is not None] == [skipped_mail.THERE] * 2
        assert kept.read_bytes() == b"the administrator's own"


async def test_a_mailbox_that_is_gone_or_numbered_anew_gives_nothing_and_is_named(
    lite: Database, folder: Path
) -> None:
    async with lab(lite, new={"append_nul_refused"}) as rig:
        rig.old.create(b"Gone")
        rig.old.deliver(b"Subject: a\r\n\r\n\0", mailbox=b"Gone")
        rig.old.deliver(b"Subject: b\r\n\r\n\0")
        await rig.run()
        rig.old.delete(b"Gone")
        rig.old.inbox.uidvalidity += 1
        told = await fetched(rig, folder)
        assert {(one.mailbox, one.why) for one in told} == {
            (b"Gone", skipped_mail.GONE),
            (b"INBOX", skipped_mail.RENUMBERED),
        }
        assert files(folder) == {}


@pytest.mark.parametrize("quirks", [set(), {"pop3_uidl_missing"}, {"pop3_list_lies"}], ids=str)
async def test_a_source_with_pop3_alone_gives_them_as_well(
    lite: Database, folder: Path, quirks: set[str]
) -> None:
    async with lab(lite, protocols=frozenset({"pop3"}), old=quirks, new={"append_nul_refused"}) as rig:
        bodies = [b"Subject: %d\r\n\r\n\0.\r\n..%d\r\n" % (n, n) for n in range(3)]
        for octets in (b"Subject: fine\r\n\r\n", *bodies):
            last = rig.old.deliver(octets)
        await rig.run(Mode.ADD_ONLY)
        rig.old.inbox.remove([last.uid])
        told = await fetched(rig, folder)
        assert sorted(files(folder).values()) == sorted(bodies[:2])
        assert [one.why for one in told if one.file is None] == [skipped_mail.NOT_LISTED]


@pytest.mark.parametrize("protocols", [{"imap"}, {"pop3"}], ids=str)
async def test_a_message_at_which_the_source_hangs_up_does_not_stop_the_others(
    lite: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, protocols: set[str]
) -> None:
    monkeypatch.setattr(maildrop_visit, "BETWEEN_SECONDS", 0.0)
    async with lab(lite, new={"append_nul_refused"}, protocols=frozenset(protocols)) as rig:
        bad = [rig.old.deliver(b"Subject: %d\r\n\r\n\0\r\n" % n).uid for n in range(5)][2]
        await rig.run()
        chunk = skipped_mail._Files.chunk

        def breaking(self: skipped_mail._Files, data: bytes) -> None:
            if self.begun == bad:
                raise Unavailable(Cause.SERVER_DOWN, "hung up")  # as a lost connection, it ends the session
            chunk(self, data)

        monkeypatch.setattr(skipped_mail._Files, "chunk", breaking)
        told = await fetched(rig, folder)
        assert len(files(folder)) == 4
        assert [(one.source_uid, one.why) for one in told if one.file is None] == [
            (bad, "the connection broke off at it: hung up")
        ]


async def test_a_full_disk_ends_it_and_leaves_no_half_file(
    lite: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab(lite, new={"append_nul_refused"}) as rig:
        rig.old.deliver(b"Subject: a\r\n\r\n\0")
        await rig.run()

        def full(self: skipped_mail._Files, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(skipped_mail._Files, "chunk", full)
        with pytest.raises(OSError, match="No space left"):
            await fetched(rig, folder)
        await turn()
        assert files(folder) == {}
        assert lite.read_now("still", lambda conn: len(skipped.listing(conn, rig.account_id))) == 1
