"""Copies that nobody named, twins, and UIDs that changed, while intents of a killed run are open: what is settled stays whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, Progress
from mailferry.lab import append_quirks, imap_append
from mailferry.lab.connection import HungUp
from mailferry.lab.mailstore import LabMailbox
from mailferry.model.causes import Cause
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import endpoints
from tests.hazards.test_renumbered import renumber
from tests.hazards.test_settling import broken_off, fill, open_intents
from tests.kit.hostile_mail import when

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D1")]


def there(rig: LabRig) -> Counter[bytes]:
    return Counter(message.octets for message in rig.new.inbox.messages.values())


def here(rig: LabRig) -> Counter[bytes]:
    return Counter(message.octets for message in rig.old.inbox.messages.values())


async def answer_lost(rig: LabRig, **request: Any) -> None:
    """Run a pass in which the target keeps what it is sent and never says so."""
    premises = rig.target.premises
    premises.quirks.add("append_drop")
    premises.spent["append_drop"] = 0
    rig.limited(lost_connections=0)
    result = await rig.run(**request)
    assert result.cause is Cause.TARGET_DOWN
    premises.quirks.discard("append_drop")


def alters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the target make CRLF of bare line feeds and show NUL as 0x80, as Dovecot does."""
    uploads = imap_append._uploads

    def altered(arguments: Any) -> Any:
        for upload in uploads(arguments):
            yield replace(upload, octets=_as_kept(upload.octets))

    monkeypatch.setattr(imap_append, "_uploads", altered)


def _as_kept(octets: bytes) -> bytes:
    return octets.replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\0", b"\x80")


async def test_the_only_copy_of_a_message_is_not_taken_away_because_nobody_knows_its_uid(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target tells no UIDs and alters what it keeps, and somebody delivers to it while we look for ours."""
    alters(monkeypatch)
    async with lab(lite, new={"no_uidplus"}, connections=1) as rig:
        for number in range(6):
            rig.old.deliver(b"Subject: %d\n\n%s\n" % (number, b"x" * 300))
        await broken_off(rig, "to_server", 900)
        with monkeypatch.context() as patched:
            stranger = b"Subject: stranger\r\n\r\n"
            patched.setattr(append_quirks, "kept", lambda _: rig.new.inbox.add(stranger))
            assert (await rig.run()).copied == 6
        assert set(rig.ledgered()[b"INBOX"].values()) == {0}, "nobody knows their UIDs"
        kept = there(rig)
        for _ in range(2):
            assert (await rig.run()).doubled == 0
            assert there(rig) == kept
        assert open_intents(rig) == []


async def test_a_twin_is_copied_although_its_twin_s_copy_has_no_known_uid(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target never got the second one; the copy of the first is not taken for it."""
    async with lab(lite, new={"no_uidplus"}, connections=1, batch_messages=1, lost_connections=0) as rig:
        for _ in range(2):
            rig.old.deliver(b"Subject: twin\r\n\r\ntwin\r\n")
        with monkeypatch.context() as patched:
            patched.setattr("mailferry.copying.batches.learn_target_uids", _learns_nothing)
            patched.setattr(append_quirks, "check", _hangs_up_when(lambda: rig.new.inbox.messages))
            assert (await rig.run()).cause is Cause.TARGET_DOWN
        assert rig.ledgered()[b"INBOX"] == {1: 0}
        for _ in range(3):
            result = await rig.run()
        assert (result.clean, open_intents(rig)) == (True, [])
        assert there(rig) == here(rig)


async def _learns_nothing(_: Any, __: int, ___: Any, sizes: dict[int, int], ____: Any) -> dict[int, int]:
    return dict.fromkeys(sizes, 0)


def _hangs_up_when(now: Callable[[], object]) -> Callable[..., None]:
    def check(session: Any, _: bytes) -> None:
        if now():
            session.link.hang_up()
            raise HungUp

    return check


async def test_what_is_open_is_settled_before_anything_is_called_one_too_many(lite: Database) -> None:
    """Two runs broke off: the second after it had copied what the first had not, and twins of that."""
    async with lab(lite, new={"no_uidplus"}, connections=1, batch_messages=3) as rig:
        for _ in range(2):
            fill(rig, 3)
        await broken_off(rig, "to_server", 500)
        assert open_intents(rig) == [False]

        def drop_the_second(progress: Progress) -> None:
            if progress.copied == 3:
                rig.target.premises.quirks.add("append_drop")

        result = await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), drop_the_second)
        rig.target.premises.quirks.clear()
        rig.target.premises.quirks.add("no_uidplus")
        assert (result.cause, result.copied) == (Cause.TARGET_DOWN, 3)
        assert open_intents(rig) == [True, False]
        kept = set(rig.new.inbox.messages)
        for _ in range(3):
            result = await rig.run()
            assert result.doubled == 0
        assert (result.clean, open_intents(rig)) == (True, [])
        assert kept <= set(rig.new.inbox.messages), "one was taken away and sent again"
        assert there(rig) == here(rig)


@pytest.mark.hazard("D6")
async def test_an_open_intent_is_settled_although_both_hosts_count_anew(lite: Database) -> None:
    async with lab(lite, connections=1) as rig:
        fill(rig, 10)
        await rig.run()
        for number in range(5):
            rig.old.deliver(b"Subject: later %d\r\n\r\n%d\r\n" % (number, number))
        await answer_lost(rig)
        assert open_intents(rig) == [False]
        renumber(rig.old.inbox, 7777, 40)
        renumber(rig.new.inbox, 8888, 1, reverse=True)
        for _ in range(3):
            result = await rig.run()
            assert (result.copied, result.clean) == (0, True)
        assert there(rig) == here(rig)


@pytest.mark.hazard("D6")
async def test_what_a_pass_over_pop3_left_open_is_settled_when_the_source_has_imap(lite: Database) -> None:
    from twisted.internet import reactor

    async with lab(lite, connections=1, protocols=frozenset({"pop3"})) as rig:
        rig.old.inbox.uidnext = 300
        fill(rig, 6)
        await answer_lost(rig)
        assert open_intents(rig) == [False]
        assert rig.ledgered()[b"INBOX"] == {}
        ends = endpoints(reactor, {"imap": rig.source.imap_port}, {"imap": rig.target.imap_port})
        rig.desk = replace(rig.desk, endpoints=ends)
        for _ in range(3):
            result = await rig.run()
        assert result.clean
        assert there(rig) == here(rig)


def keeps_no_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the target give the UID of the copy that it has when it is given an equal message, as Gmail does."""
    add = LabMailbox.add

    def once(box: LabMailbox, octets: bytes, **more: Any) -> Any:
        if box.uidvalidity >= 9000:
            for message in box.messages.values():
                if message.octets == octets:
                    return message
        return add(box, octets, **more)

    monkeypatch.setattr(LabMailbox, "add", once)


@pytest.mark.hazard("D2")
@pytest.mark.hazard("D17")
@pytest.mark.parametrize("more", [set(), {"no_multiappend"}], ids=["batch", "single"])
async def test_where_twins_share_a_copy_it_goes_with_the_last_of_them(
    lite: Database, monkeypatch: pytest.MonkeyPatch, more: set[str]
) -> None:
    keeps_no_twins(monkeypatch)
    async with lab(lite, new=more) as rig:
        fill(rig, 10)
        twin = rig.old.deliver(rig.old.inbox.messages[1].octets)
        await rig.run()
        rig.old.inbox.remove([1])
        for _ in range(2):
            assert (await rig.run()).clean
            assert set(there(rig)) == set(here(rig)), "the other twin has no copy any more"
        rig.old.inbox.remove([twin.uid])
        await rig.run()
        assert set(there(rig)) == set(here(rig))


@pytest.mark.hazard("D2")
@pytest.mark.hazard("D7")
@pytest.mark.parametrize(
    "more", [set(), {"no_uidplus"}, {"no_uidplus", "no_move"}], ids=["all", "no UIDPLUS", "no MOVE"]
)
async def test_what_a_target_altered_is_moved_there_and_not_sent_again(
    lite: Database, monkeypatch: pytest.MonkeyPatch, more: set[str]
) -> None:
    alters(monkeypatch)
    async with lab(lite, new=more, connections=1) as rig:
        for number in range(6):
            rig.old.deliver(b"Subject: %d\r\n\r\n\0\r\n" % (number // 2), internal_date=when(3))
        rig.old.create(b"Work")
        await rig.run()
        for uid in (2, 3):
            message = rig.old.inbox.messages[uid]
            rig.old.inbox.remove([uid])
            rig.old.mailbox(b"Work").add(message.octets, internal_date=message.internal_date)
        result = await rig.run()
        assert (result.copied, result.moved, result.clean) == (0, 2, True)
        assert [len(box.messages) for box in (rig.old.mailbox(b"Work"), rig.new.mailbox(b"Work"))] == [2, 2]
