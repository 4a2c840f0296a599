"""Mailboxes that are open to others at the source: named for the administrator, and the rights not moved."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, Progress
from mailferry.store import remarks
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.rig import OLD, PASSWORD, Rig, dovecots, make_rig, turn
from tests.kit import peers
from tests.kit.peer_plugin import require

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.deadline(120)]

ACL = """
mail_plugins = acl
protocol imap {
  mail_plugins = acl imap_acl
}
plugin {
  acl = vfile
}
"""


@pytest.fixture
def shared(tmp_path: Path, lite: Database) -> Iterator[Rig]:
    """A source with access control."""
    require("dovecot")
    source, target = dovecots(tmp_path, source={"settings": ACL})
    yield make_rig(source, target, lite)
    source.stop()
    target.stop()


def share(source: Any, mailbox: str, identifier: str, rights: str) -> None:
    """Give somebody rights to a mailbox, as its owner does."""
    with imaplib.IMAP4("127.0.0.1", source.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        session.create(mailbox)
        assert session.setacl(mailbox, identifier, rights)[0] == "OK"


def told(rig: Rig) -> dict[bytes, tuple[int, str | None]]:
    """Return the remarks about shared mailboxes."""
    rows = rig.store.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
    return {row.subject: (row.number, row.detail) for row in rows if row.kind is RemarkKind.RIGHTS}


@pytest.mark.hazard("D27")
async def test_a_mailbox_open_to_others_is_named_with_them_and_its_mail_is_copied(shared: Rig) -> None:
    rig = shared
    await peers.in_thread(share, rig.source, "Team", "bob@old.test", "lrs")
    await peers.in_thread(share, rig.source, "Team", "carol@old.test", "l")
    await peers.in_thread(share, rig.source, "Mine", "-bob@old.test", "w")
    rig.source.save(OLD, b"Subject: for all\r\n\r\n.\r\n", "Team")
    first = await rig.run()
    assert (first.copied, first.clean) == (1, True)
    found = told(rig)
    assert set(found) == {b"Team"}
    number, names = found[b"Team"]
    assert number == 2
    assert names is not None
    assert {"carol@old.test", "bob@old.test"} <= set(names.split(", "))
    await rig.run()
    assert told(rig) == found


@pytest.mark.hazard("D27")
async def test_what_was_seen_of_rights_outlives_a_copier_that_is_killed(shared: Rig) -> None:
    """The mailboxes are asked for once, before their first message is copied."""
    rig = shared
    await peers.in_thread(share, rig.source, "Team", "bob@old.test", "lrs")
    rig.source.save(OLD, b"Subject: for all\r\n\r\n.\r\n", "Team")

    def kill(progress: Progress) -> None:
        if progress.copied:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), kill)
    await turn()
    assert set(told(rig)) == {b"Team"}
    assert (await rig.run()).clean
    assert set(told(rig)) == {b"Team"}


async def test_a_source_without_access_control_is_not_asked(rig: Rig) -> None:
    rig.source.save(OLD, b"Subject: x\r\n\r\n.\r\n")
    assert (await rig.run()).clean
    assert told(rig) == {}
