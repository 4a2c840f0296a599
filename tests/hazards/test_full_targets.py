"""A target that is full, or takes smaller messages only, and later is not: nothing is lost, nothing is there twice."""

from __future__ import annotations

import imaplib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest
from mailferry.lab import append_quirks
from mailferry.lab.imap_session import No
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.store import skipped
from mailferry.store.database import Database
from tests.copying.lab_rig import lab
from tests.copying.rig import OLD, PASSWORD, Rig, make_rig
from tests.gate.conftest import MakeMove, begin
from tests.hazards.test_targets import rig_to
from tests.kit import oracle, peers
from tests.kit.imap_reading import read_imap
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


@pytest.fixture(params=["", BARE], ids=["MULTIAPPEND", "single appends"])
def bounded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A Dovecot that takes messages up to 20 kB, and says `[LIMIT]` to larger ones."""
    require("dovecot")
    settings = QUOTA.replace(SMALL, LARGE + "\n  quota_max_mail_size = 20k") + request.param
    host = peers.start("dovecot", tmp_path, users={OLD: PASSWORD}, settings=settings)
    yield host
    host.stop()


async def test_a_bound_for_single_messages_stops_nothing_but_what_is_over_it(
    bounded: Any, lite: Database
) -> None:
    """The same words come for ever: taken for a target that is busy, they would hold the account for ever."""
    async with rig_to(bounded, lite, read_back=0.0) as rig:
        for number in range(24):
            size = 30_000 if number in {3, 4, 17} else 100
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * size))
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (21, 3, True), result.cause_text
        assert rig.skips() == [(b"INBOX", number + 1, "too_big") for number in (3, 4, 17)]
        there = await peers.in_thread(oracle.read, bounded, OLD)
        assert len(there) == 21
        await peers.in_thread(
            lambda: bounded.config.write_text(bounded.config.read_text().replace("20k", "1M"))
        )
        await peers.in_thread(bounded.doveadm, "reload")
        rig.let_skips_be_due()
        result = await rig.run()
        assert (result.copied, result.known_skips, result.clean) == (3, 0, True)
        assert rig.skips() == []
        there = await peers.in_thread(oracle.read, bounded, OLD)
        assert len(there) == 24


async def test_a_full_cyrus_blames_no_message_and_one_too_big_for_it_is_skipped(
    tmp_path: Path, lite: Database
) -> None:
    require("cyrus")
    target = peers.start("cyrus", tmp_path, users={OLD: PASSWORD}, settings="maxmessagesize: 60000")
    try:
        async with rig_to(target, lite, read_back=0.0) as rig:
            for number in range(40):
                size = 90_000 if number == 2 else 4_000
                rig.old.deliver(b"Subject: %d\r\n\r\n%s" % (number, b"0123456789\r\n" * (size // 12)))
            await peers.in_thread(target.set_quota, OLD, 100)
            result = await rig.run()
            assert (result.cause, result.clean) == (Cause.TARGET_OVER_QUOTA, False)
            copied = result.copied
            assert 5 < copied < 39
            await peers.in_thread(target.set_quota, OLD, None)
            result = await rig.run()
            assert (result.copied, result.cause, result.clean) == (39 - copied, None, True)
            assert rig.skips() == [(b"INBOX", 3, "too_big")]
            (skip,) = lite.read_now("skips", lambda conn: skipped.listing(conn, rig.account_id))
            assert skip.detail == f"{len(rig.old.inbox.messages[3].octets)} octets, the target takes 60000", (
                "it was sent to learn that"
            )
            shown = await peers.in_thread(read_imap, target.ports["imap"], OLD, PASSWORD)
            wanted = Counter(m.octets for m in rig.old.inbox.messages.values() if m.uid != 3)
            assert Counter(one.octets for one in shown.elements()) == wanted
    finally:
        target.stop()


@pytest.mark.parametrize("make", ["dovecot", "cyrus"])
async def test_a_mailbox_that_the_target_loses_in_the_middle_of_its_copy_blames_no_message(
    make: str, tmp_path: Path, lite: Database
) -> None:
    """The user deletes it there; Cyrus then answers `[TRYCREATE]` to one message after the other."""
    require(make)
    target = peers.start(make, tmp_path, users={OLD: PASSWORD})
    try:
        async with rig_to(target, lite, batch_messages=3, read_back=0.0) as rig:
            rig.old.create(b"Work")
            for number in range(40):
                rig.old.deliver(b"Subject: %d\r\n\r\ntext\r\n" % number, mailbox=b"Work")
            gone: list[str] = []

            def delete(_: object) -> None:
                if not gone and len(rig.ledgered().get(b"Work", ())) >= 3:
                    with imaplib.IMAP4("127.0.0.1", target.ports["imap"]) as session:
                        session.login(OLD, PASSWORD)
                        gone.append(session.delete("Work")[0])

            first = await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), delete)
            assert gone == ["OK"]
            assert (first.clean, first.skipped, rig.skips()) == (False, 0, [])
            assert [failure.name for failure in first.failures] == [b"Work"]
            second = await rig.run()
            assert (second.copied, second.skipped, second.clean) == (40, 0, True)
            shown = await peers.in_thread(read_imap, target.ports["imap"], OLD, PASSWORD)
            assert Counter(one.octets for one in shown.elements()) == Counter(
                message.octets for message in rig.old.mailbox(b"Work").messages.values()
            )
    finally:
        target.stop()


@pytest.mark.parametrize("words", ["[TRYCREATE] Mailbox does not exist", "[NOPERM] Permission denied"])
async def test_a_refusal_of_the_whole_mailbox_blames_no_message(
    lite: Database, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    async with lab(lite, batch_messages=3) as rig:
        rig.old.create(b"Work")
        for number in range(40):
            rig.old.deliver(b"Subject: %d\r\n\r\ntext\r\n" % number, mailbox=b"Work")
        rig.old.deliver(b"Subject: x\r\n\r\ntext\r\n")

        def check(_: Any, octets: bytes) -> None:
            if b"Subject: x" not in octets and len(rig.new.mailbox(b"Work").messages) >= 9:
                raise No(words)

        monkeypatch.setattr(append_quirks, "check", check)
        first = await rig.run()
        assert (first.clean, first.skipped, rig.skips()) == (False, 0, [])
        assert [failure.name for failure in first.failures] == [b"Work"]
        assert len(rig.new.inbox.messages) == 1, "the other mailboxes go on"
        monkeypatch.undo()
        second = await rig.run()
        assert (first.copied + second.copied, second.clean) == (41, True)
        assert rig.unlike() == []


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
