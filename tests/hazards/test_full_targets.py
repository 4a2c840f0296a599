"""A target that is full, or takes smaller messages only, and later is not: nothing is lost, nothing is there twice."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.lab import append_quirks
from mailferry.lab.imap_session import No
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.store.database import Database
from tests.copying.lab_rig import lab
from tests.copying.rig import OLD, PASSWORD, Rig, make_rig
from tests.gate.conftest import MakeMove, begin
from tests.kit import oracle, peers
from tests.kit.move import USER
from tests.kit.peer_plugin import require

__all__ = ["begin"]
pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D11")]

SMALL, LARGE = "storage=150K", "storage=50M"
QUOTA = f"""
protocol imap {{
  mail_plugins = quota imap_quota
}}
plugin {{
  quota = count:User quota
  quota_rule = *:{SMALL}
  quota_vsizes = yes
}}
"""
COUNT = 60
BARE = "imap_capability = IMAP4rev1 ENABLE NAMESPACE UIDPLUS SPECIAL-USE LITERAL+"


@pytest.fixture(params=["", BARE], ids=["MULTIAPPEND", "single appends"])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    require("dovecot")
    source = peers.start("dovecot", tmp_path, users={OLD: PASSWORD})
    target = peers.start("dovecot", tmp_path, users={OLD: PASSWORD}, settings=QUOTA + request.param)
    target.doveadm("mailbox", "update", "-u", OLD, "--uid-validity", "77", "INBOX")
    yield source, target
    source.stop()
    target.stop()


def fill(host: Any) -> None:
    with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        session.create("Work")
        for number in range(COUNT):
            octets = b"Subject: %d\r\n\r\n%s\r\n" % (number, b"0123456789\r\n" * (250 + number))
            session.append(
                "INBOX" if number % 3 else "Work",
                "(\\Seen $Label1)" if number % 2 else "",
                imaplib.Time2Internaldate(1_500_000_000 + number),
                octets,
            )


def raise_quota(host: Any) -> None:
    host.config.write_text(host.config.read_text().replace(SMALL, LARGE))
    host.doveadm("reload")


def held(rig: Rig) -> tuple[oracle.Mail, oracle.Mail]:
    return oracle.read(rig.source, OLD), oracle.read(rig.target, OLD)


async def test_a_quota_that_is_hit_in_the_middle_of_a_mailbox_and_raised_later_costs_nothing(
    hosts: tuple[Any, Any], lite: Database
) -> None:
    rig = make_rig(*hosts, lite, batch_messages=7)
    await peers.in_thread(fill, rig.source)
    copied = 0
    for again in range(3):
        result = await rig.run()
        assert (result.cause, result.clean) == (Cause.TARGET_OVER_QUOTA, False)
        assert "uota" in result.cause_text
        assert (result.skipped, result.already, result.doubled) == (0, 0, 0), "no message is to blame"
        copied += result.copied
        here, there = await peers.in_thread(held, rig)
        assert there.messages <= here.messages, "nothing half, nothing twice"
        assert len(there) == copied
        assert 5 < copied < COUNT, again
    await peers.in_thread(raise_quota, rig.target)
    result = await rig.run()
    assert (result.copied, result.skipped, result.cause, result.clean) == (COUNT - copied, 0, None, True)
    here, there = await peers.in_thread(held, rig)
    assert oracle.differences(here, there) == []
    assert (await rig.run()).copied == 0


async def test_what_was_too_big_is_copied_once_the_target_takes_it(lite: Database) -> None:
    async with lab(lite, new={"append_limit"}) as rig:
        rig.target.premises.append_limit = 5000
        for size in (10, 6000, 20, 70_000, 30):
            rig.old.deliver(b"Subject: x\r\n\r\n" + b"x" * size)
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (3, 2, True)
        rig.target.premises.append_limit = 8000
        assert (await rig.run()).copied == 0, "not before its time"
        for copied, left in ((1, 1), (0, 1)):
            rig.let_skips_be_due()
            result = await rig.run()
            assert (result.copied, len(rig.skips()), result.clean) == (copied, left, True)
        rig.target.premises.quirks.discard("append_limit")
        rig.let_skips_be_due()
        result = await rig.run()
        assert (result.copied, result.known_skips, result.clean) == (1, 0, True)
        assert rig.skips() == []
        assert rig.unlike() == []


async def test_the_account_names_the_full_mailbox_and_goes_on_by_itself_when_there_is_room(
    begin: MakeMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = await begin(copy={"batch_messages": 5})
    for number in range(40):
        move.source.mailstore(USER).deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
    full = True

    def check(session: Any, _: object) -> None:
        if full and len(move.target.mailstore(USER).inbox.messages) >= 15:
            raise No("[OVERQUOTA] Quota exceeded (mailbox for user is full)")

    monkeypatch.setattr(append_quirks, "check", check)
    await move.logout(await move.admitted())
    await move.copy()
    await move.until(lambda: move.known().failed_runs > 0, within=1800.0)
    account = move.known()
    assert (account.phase, account.cause) == (Phase.PRECOPY, Cause.TARGET_OVER_QUOTA)
    assert "Quota exceeded" in account.cause_text
    full = False
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=3600.0)
    assert move.known().cause is None
    assert not move.unlike()
