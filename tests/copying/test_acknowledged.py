"""The brake and the deletions that sessions of ours saw acknowledged, pass by pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from mailferry.model.account import Event
from mailferry.model.tap import ANY_MAILBOX, BELOW, UNKNOWN_MANY
from mailferry.plan.differences import Held
from mailferry.store import accounts, deletions, nodes, sessions
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.store.rows import open_row

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D17")]
POP3 = frozenset({"pop3"})


def saw(rig: LabRig, number: int, mailbox: bytes = ANY_MAILBOX) -> None:
    """A session of the user saw so many deletions and has ended."""

    def work(conn: Any) -> None:
        account = accounts.get(conn, rig.account_id)
        if account.epoch == 0:
            account = accounts.apply(conn, account.id, Event.SOURCE_ACCEPTED, epoch=0)
        session = open_row(conn, account, nodes.register(conn, "proxy", "here", "boot", 1))
        sessions.close_session(conn, session, deletions_seen={mailbox: number})

    rig.store.run_now("saw", work)


def left(rig: LabRig) -> int:
    return sum(rig.store.read_now("left", lambda conn: deletions.seen(conn, rig.account_id)).values())


def fill(rig: LabRig, count: int, *names: bytes) -> None:
    for name in names or (b"INBOX",):
        if name != b"INBOX":
            rig.old.create(name)
        for number in range(count):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, name), mailbox=name)


def remove(rig: LabRig, name: bytes, uids: Iterable[int]) -> None:
    rig.old.mailbox(name).remove(list(uids))


@pytest.mark.parametrize("protocols", [frozenset({"imap", "pop3"}), POP3], ids=["imap", "pop3"])
async def test_a_mailbox_emptied_by_a_session_of_ours_is_emptied_at_the_target(
    store: Database, protocols: frozenset[str]
) -> None:
    async with lab(store, protocols=protocols) as rig:
        fill(rig, 12)
        await rig.run()
        remove(rig, b"INBOX", range(1, 13))
        saw(rig, 12)
        result = await rig.run(last=True)
        assert (result.deleted, result.held, result.verified) == (12, {}, True)
        assert (len(rig.new.inbox.messages), left(rig)) == (0, 0)


@pytest.mark.parametrize("protocols", [frozenset({"imap", "pop3"}), POP3], ids=["imap", "pop3"])
async def test_one_deletion_more_than_was_seen_holds_an_empty_mailbox(
    lite: Database, protocols: frozenset[str]
) -> None:
    async with lab(lite, protocols=protocols) as rig:
        fill(rig, 12)
        await rig.run()
        remove(rig, b"INBOX", range(1, 13))
        saw(rig, 11)
        assert (await rig.run()).held == {b"INBOX": (Held.EMPTY, 12)}
        saw(rig, 40)
        assert (await rig.run()).held == {b"INBOX": (Held.EMPTY, 12)}, "later ones are other messages"
        assert len(rig.new.inbox.messages) == 12
        assert (await rig.run(approved=True)).deleted == 12


async def test_what_nobody_named_serves_any_mailbox_and_each_deletion_is_excused_once(lite: Database) -> None:
    async with lab(lite, connections=1) as rig:
        fill(rig, 20, b"INBOX", b"A", b"B")
        await rig.run()
        for name in (b"INBOX", b"A", b"B"):
            remove(rig, name, range(1, 11))
        saw(rig, 21)
        result = await rig.run()
        assert (result.deleted, result.held) == (20, {b"B": (Held.TOO_MANY, 10)})
        assert left(rig) == 0


async def test_two_connections_do_not_excuse_with_the_same_deletions(lite: Database) -> None:
    names = [b"M%d" % number for number in range(6)]
    async with lab(lite, connections=3) as rig:
        fill(rig, 10, *names)
        await rig.run()
        for name in names:
            remove(rig, name, range(1, 11))
        saw(rig, 30)
        result = await rig.run()
        assert (result.deleted, len(result.held), left(rig)) == (30, 3, 0)


async def test_what_a_whole_pass_did_not_need_is_forgotten(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 20)
        await rig.run()
        saw(rig, UNKNOWN_MANY + 7)
        await rig.run()
        assert left(rig) == 0
        remove(rig, b"INBOX", range(1, 11))
        assert (await rig.run()).held == {b"INBOX": (Held.TOO_MANY, 10)}


async def test_a_pass_that_could_not_look_everywhere_forgets_nothing(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 12)
        await rig.run()
        remove(rig, b"INBOX", range(1, 13))
        saw(rig, 12)
        await rig.target.stop()
        assert (await rig.run()).cause is not None
        assert left(rig) == 12
        await rig.target.start()
        assert (await rig.run()).deleted == 12


async def test_deletions_that_are_told_while_the_pass_runs_are_waited_for(lite: Database) -> None:
    from twisted.internet import reactor

    async with lab(lite) as rig:
        fill(rig, 12)
        await rig.run()
        remove(rig, b"INBOX", range(1, 13))
        rig.limited(deletions_patience=0.4)
        reactor.callLater(0.2, saw, rig, 12)
        result = await rig.run()
        assert (result.deleted, result.held, left(rig)) == (12, {}, 0)


async def test_a_mailbox_that_a_session_deleted_or_renamed_does_not_wait(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 3, b"A", b"B")
        await rig.run()
        rig.old.delete(b"A")
        rig.old.rename(b"B", b"C")
        saw(rig, 2 * UNKNOWN_MANY)
        result = await rig.run()
        assert (result.deleted, result.moved, result.copied, result.held, left(rig)) == (3, 3, 0, {}, 0)
        assert len(rig.new.mailbox(b"C").messages) == 3
        rig.old.delete(b"C")
        assert (await rig.run()).held == {b"C": (Held.EMPTY, 3)}


async def test_a_changed_uidvalidity_is_held_whatever_was_seen(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 20)
        await rig.run()
        inbox = rig.old.inbox
        octets = [message.octets for message in inbox.messages.values()]
        inbox.remove(list(inbox.messages))
        inbox.uidvalidity += 77
        inbox.uidnext = 1
        for one in octets[2:]:
            inbox.add(one)
        saw(rig, UNKNOWN_MANY)
        for _ in range(2):
            assert (await rig.run()).held == {b"INBOX": (Held.UIDVALIDITY, 2)}
        assert len(rig.new.inbox.messages) == 20
        assert (await rig.run(approved=True)).deleted == 2


async def test_a_maildrop_that_changes_all_its_uidls_is_not_taken_for_deleted(lite: Database) -> None:
    async with lab(lite, protocols=POP3) as rig:
        fill(rig, 20)
        await rig.run()
        for message in rig.old.inbox.messages.values():
            message.uidl = b"other" + message.uidl
        saw(rig, 20)
        result = await rig.run()
        assert (result.copied, result.deleted, result.already) == (0, 0, 20)


async def test_what_was_deleted_in_one_mailbox_excuses_no_other(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 12, b"INBOX", b"A")
        await rig.run()
        remove(rig, b"INBOX", range(1, 13))
        remove(rig, b"A", range(1, 13))
        saw(rig, 40, b"INBOX")
        result = await rig.run()
        assert (result.deleted, result.held) == (12, {b"A": (Held.EMPTY, 12)})
        assert left(rig) == 0


async def test_a_rename_excuses_what_lay_below_the_old_name(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 3, b"A", b"A/B", b"AB")
        await rig.run()
        rig.old.rename(b"A", b"Z")
        rig.old.delete(b"AB")
        saw(rig, UNKNOWN_MANY, b"A")
        saw(rig, UNKNOWN_MANY, b"A" + BELOW)
        result = await rig.run()
        assert result.held == {b"AB": (Held.EMPTY, 3)}
