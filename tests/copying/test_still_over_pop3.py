"""Messages that IMAP lists no more and POP3 still shows: their copies stay, whatever POP3 gives of them."""

from __future__ import annotations

import imaplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import Mode, PassRequest
from mailferry.copying.sides import Endpoints
from mailferry.copying.turn_notes import TurnNotes
from mailferry.copying.verify import verify_account
from mailferry.copying.verify_findings import Difference, Fault
from mailferry.model.account import Event
from mailferry.model.causes import Cause, Refused
from mailferry.model.profile import Profile
from mailferry.observe.log import get_log
from mailferry.store import accounts, deletions, leases, ledger, mailboxes, maildrops, nodes, uidls
from mailferry.store.database import Database
from mailferry.store.mailboxes import OVER_POP3
from mailferry.store.uidls import FactsOf
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import OLD, PASSWORD, Rig, turn

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D25")]

BODY = b"body body body body\r\n" * 150
WHOLE = len(BODY)


@asynccontextmanager
async def capped(
    store: Database, *extra: str, days: int | None = 0, messages: int = 6
) -> AsyncIterator[LabRig]:
    """IMAP shows the newest `folder_cap` messages, POP3 all; of the first two it gives headers alone."""
    async with lab(store, old={"gmail_folder_cap", "pop3_header_only", *extra}) as rig:
        rig.desk = replace(rig.desk, profile=Profile("x", {}, visibility_window_days=days))
        rig.source.premises.folder_cap = messages
        rig.source.premises.troubled = frozenset({1, 2})
        for number in range(messages):
            rig.old.deliver(message(number))
        assert (await rig.run()).copied == messages
        yield rig


def message(number: int, body: bytes = BODY) -> bytes:
    return b"Subject: %d\r\nMessage-ID: <%d@x.test>\r\n\r\n%s" % (number, number, body)


def bodies(rig: LabRig) -> list[int]:
    """Return the lengths of the bodies in the target's INBOX."""
    found = rig.new.inbox.messages.values()
    return sorted(len(one.octets.partition(b"\r\n\r\n")[2]) for one in found)


def over_pop3(rig: LabRig) -> tuple[list[int], int]:
    """Return the copies of what POP3 alone shows, and how many incomplete ones of that there are."""

    def read(conn: Any) -> tuple[list[int], int]:
        row = mailboxes.over_pop3(conn, rig.account_id)
        apart = mailboxes.incomplete(conn, rig.account_id).get(OVER_POP3)
        copies = [] if row is None else [entry.target_uid for entry in ledger.load(conn, row.id)]
        return copies, 0 if apart is None else len(ledger.load(conn, apart.id))

    return rig.store.read_now("over pop3", read)


def keep_out(rig: Rig) -> None:
    """Let the source want a pause before the next login to the maildrop."""

    def later(conn: Any) -> None:
        maildrops.note(conn, rig.account_id, next_login_at=datetime.now(UTC).timestamp() + 600)

    rig.store.run_now("later", later)


def past_us(rig: LabRig) -> int:
    return rig.store.read_now("seen", lambda conn: accounts.get(conn, rig.account_id)).bypass_changes


def forget_pairs(rig: LabRig) -> None:
    """Let nobody know any more which UIDL is which message."""

    def forget(conn: Any) -> None:
        known = uidls.facts(conn, rig.account_id, FactsOf.SOURCE)
        uidls.forget(conn, rig.account_id, FactsOf.SOURCE, [fact.uidl for fact in known])

    rig.store.run_now("forget", forget)


@pytest.mark.parametrize("days", [0, None], ids=["no window", "perhaps a window"])
@pytest.mark.parametrize("known", [True, False], ids=["by its UIDL", "by its header"])
async def test_a_header_over_pop3_takes_no_whole_copys_place(
    lite: Database, days: int | None, known: bool
) -> None:
    async with capped(lite, "pop3_no_top", days=days) as rig:
        before = dict(rig.new.inbox.messages)
        if not known:
            forget_pairs(rig)
        rig.source.premises.folder_cap = 4
        for _ in range(3):
            result = await rig.run()
            assert (result.copied, result.deleted, result.skipped, result.held) == (0, 0, 0, {})
            assert rig.new.inbox.messages == before
            assert over_pop3(rig) == ([1, 2], 0)
        assert rig.skips() == []
        assert (result.total, past_us(rig)) == (6, 0)
        assert rig.results[1].stayed == 2


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_it_is_there_once_when_imap_shows_it_again(lite: Database, mode: Mode) -> None:
    async with capped(lite) as rig:
        before = dict(rig.new.inbox.messages)
        rig.source.premises.folder_cap = 4
        await rig.run()
        rig.source.premises.folder_cap = 6
        for _ in range(2):
            result = await rig.run(mode)
            assert (result.copied, result.deleted, rig.new.inbox.messages) == (0, 0, before)
        assert over_pop3(rig) == ([], 0)
        assert rig.ledgered()[b"INBOX"] == {uid: uid for uid in range(1, 7)}


async def test_what_pop3_does_not_show_either_goes_in_the_same_pass(lite: Database) -> None:
    async with capped(lite) as rig:
        rig.old.inbox.remove([3])
        rig.source.premises.folder_cap = 4
        logins = len([r for r in rig.source.premises.records if r.protocol == "pop3"])
        result = await rig.run()
        assert (result.deleted, sorted(rig.new.inbox.messages)) == (1, [1, 2, 4, 5, 6])
        assert len([r for r in rig.source.premises.records if r.protocol == "pop3"]) == logins + 1
        assert past_us(rig) == 1
        assert over_pop3(rig) == ([1], 0)


async def test_it_goes_once_pop3_shows_it_no_more(lite: Database) -> None:
    async with capped(lite) as rig:
        rig.source.premises.folder_cap = 4
        await rig.run()
        rig.old.inbox.remove([1])
        rig.old.deliver(message(7))
        rig.source.premises.folder_cap = 5
        assert (await rig.run()).deleted == 1
        assert sorted(rig.new.inbox.messages) == [2, 3, 4, 5, 6, 7]


async def test_copies_wait_for_a_maildrop_that_cannot_be_opened_now(lite: Database) -> None:
    async with capped(lite) as rig:
        rig.old.inbox.remove([3])
        rig.source.premises.folder_cap = 4
        keep_out(rig)
        for _ in range(2):
            result = await rig.run()
            assert (result.deleted, bodies(rig)) == (0, [WHOLE] * 6)
        rig.let_logins_be_due()
        result = await rig.run()
        assert (result.deleted, sorted(rig.new.inbox.messages)) == (1, [1, 2, 4, 5, 6])
        assert over_pop3(rig) == ([1], 0)


@pytest.mark.peer("dovecot")
async def test_copies_wait_where_an_unchanged_mailbox_is_not_listed_again(rig: Rig) -> None:
    """A server with change numbers: nothing but the waiting copy is a reason to list INBOX once more."""
    with imaplib.IMAP4("127.0.0.1", rig.source.ports["imap"]) as old:
        old.login(OLD, PASSWORD)
        for number in range(5):
            old.append("INBOX", None, None, message(number))
        assert (await rig.run()).copied == 5
        old.select("INBOX")
        old.uid("STORE", "3", "+FLAGS", r"(\Deleted)")
        old.expunge()
        keep_out(rig)
        for _ in range(2):
            assert (await rig.run()).deleted == 0
        rig.store.run_now("now", lambda conn: maildrops.note(conn, rig.account_id, next_login_at=None))
        assert (await rig.run()).deleted == 1
        result = await rig.run()
        assert (result.deleted, result.copied, result.total) == (0, 0, 4)


@pytest.mark.hazard("D17")
async def test_a_deletion_that_our_session_saw_needs_no_second_word(lite: Database) -> None:
    async with capped(lite) as rig:
        rig.old.inbox.remove([6])
        keep_out(rig)
        lite.run_now(
            "told",
            lambda conn: deletions._add(
                conn, deletions.deletions_seen, {"account_id": rig.account_id, "mailbox": b"INBOX"}, 1
            ),
        )
        result = await rig.run()
        assert (result.deleted, sorted(rig.new.inbox.messages)) == (1, [1, 2, 3, 4, 5])


@pytest.mark.hazard("D17")
@pytest.mark.parametrize("ever", [True, False], ids=["switched off", "never open"])
async def test_a_maildrop_that_the_source_has_closed_has_no_say(lite: Database, ever: bool) -> None:
    async with capped(lite) as rig:
        if not ever:
            lite.run_now(
                "never", lambda conn: maildrops.note(conn, rig.account_id, looked_at=None, lonely=None)
            )
        rig.desk = closed(rig.desk, Cause.PROTOCOL_DISABLED if ever else Cause.SERVER_DOWN)
        rig.old.inbox.remove([3])
        assert ((await rig.run()).deleted, len(rig.new.inbox.messages)) == (1, 5)


def closed(desk: CopyDesk, cause: Cause) -> CopyDesk:
    async def refuse() -> Any:
        raise Refused(cause, "no POP3")

    ends: Endpoints = replace(desk.endpoints, source_pop3=refuse)
    return replace(desk, endpoints=ends)


async def test_an_approval_lets_no_copy_go_whose_message_pop3_shows(lite: Database) -> None:
    async with capped(lite, messages=12) as rig:
        rig.source.premises.folder_cap = 8
        held = await rig.run()
        assert (held.held_deletions, held.deleted, len(rig.new.inbox.messages)) == (4, 0, 12)
        result = await rig.run(approved=True)
        assert (result.deleted, result.stayed, bodies(rig)) == (0, 4, [WHOLE] * 12)
        again = await rig.run()
        assert (again.held_deletions, again.copied, bodies(rig)) == (0, 0, [WHOLE] * 12)


async def test_verify_tells_a_copy_that_is_whole_from_one_that_was_altered(lite: Database) -> None:
    async with capped(lite) as rig:
        rig.source.premises.folder_cap = 4
        await rig.run()
        rig.new.inbox.messages[2].octets += b"more"
        told: list[Difference] = []
        await verify_account(rig.desk, rig.account_id, told.append)
        await turn()
        assert [(one.fault, one.mailbox) for one in told] == [
            (Fault.UNREADABLE, OVER_POP3),
            (Fault.BODY_DIFFERS, OVER_POP3),
        ]


@pytest.mark.hazard("D17")
async def test_an_approval_under_which_copies_stay_is_used_up(lite: Database) -> None:
    async with capped(lite) as rig:

        def due(conn: Any) -> Any:
            accounts.apply(conn, rig.account_id, Event.SOURCE_ACCEPTED, epoch=0)
            accounts.note(conn, rig.account_id, next_due_at=0.0, approved_at=1.0)
            node = nodes.register(conn, "copier", "here", "boot", 1)
            return leases.take(conn, node, limit=1, lease_seconds=60.0)[0]

        taken = lite.run_now("take", due)
        rig.source.premises.folder_cap = 4
        result = await rig.run(approved=True)
        notes = TurnNotes(lite, "old.test", lambda: taken.lease, get_log("test"))
        await notes.passed(taken.account, PassRequest(rig.account_id, Mode.MIRROR, approved=True), result)
        assert (result.deleted, result.stayed) == (0, 2)
        known = lite.read_now("account", lambda conn: accounts.get(conn, rig.account_id))
        assert known.approved_at is None


async def test_a_twin_that_imap_still_shows_takes_no_copy_away(lite: Database) -> None:
    """Two messages of equal octets: one is hidden, and POP3 gives a header of it."""
    async with capped(lite) as rig:
        rig.old.deliver(message(1))
        rig.source.premises.folder_cap = 7
        await rig.run()
        rig.source.premises.folder_cap = 5
        for _ in range(3):
            result = await rig.run()
            assert (result.deleted, result.copied, bodies(rig)) == (0, 0, [WHOLE] * 7)
        assert over_pop3(rig)[1] == 0


async def test_copies_that_nobody_can_tell_apart_wait_all_the_same(lite: Database) -> None:
    """One header, two bodies, one of them gone: POP3 gives the header, and nobody knows whose it is."""
    async with capped(lite, "pop3_no_top") as rig:
        one, other = rig.old.deliver(message(50)), rig.old.deliver(message(50, BODY + b"more\r\n"))
        rig.old.deliver(message(51))
        rig.source.premises.troubled = frozenset({one.uid, other.uid})
        rig.source.premises.folder_cap = 9
        await rig.run()
        forget_pairs(rig)
        rig.old.inbox.remove([other.uid])
        rig.source.premises.folder_cap = 1
        result = await rig.run()
        assert (result.deleted, result.stayed, len(rig.new.inbox.messages)) == (0, 7, 9)
        again = await rig.run()
        assert (again.deleted, len(rig.new.inbox.messages)) == (0, 9)
        assert (result.waiting_copies, again.waiting_copies) == (0, 0), (
            "nobody will ever know: no reason to wait"
        )


async def test_the_account_waits_only_while_pop3_is_still_to_be_asked(lite: Database) -> None:
    async with capped(lite) as rig:
        rig.old.inbox.remove([3])
        rig.source.premises.folder_cap = 4
        keep_out(rig)
        result = await rig.run()
        assert (result.waiting_copies, result.deletions_wait, result.clean) == (2, True, True)
        assert (await rig.run(approved=True)).waiting_copies == 0
        rig.let_logins_be_due()
        result = await rig.run()
        assert (result.waiting_copies, result.deleted, result.stayed) == (0, 1, 1)


@pytest.mark.parametrize(("seconds", "waiting"), [(86_000, 2), (87_000, 0)], ids=["to-day", "a day ago"])
async def test_a_maildrop_that_did_not_open_for_a_day_is_not_waited_for(
    lite: Database, seconds: int, waiting: int
) -> None:
    async with capped(lite) as rig:
        opened = datetime.now(UTC).timestamp() - seconds
        lite.run_now("long ago", lambda conn: maildrops.note(conn, rig.account_id, looked_at=opened))
        keep_out(rig)
        rig.source.premises.folder_cap = 4
        result = await rig.run()
        assert (result.waiting_copies, len(rig.new.inbox.messages)) == (waiting, 6)


# --- from the flip on: what POP3 gave as a header, and IMAP shows


@asynccontextmanager
async def header_kept(store: Database, *extra: str) -> AsyncIterator[LabRig]:
    """After the flip: IMAP hid two messages, and of one the header over POP3 was kept for want of better."""
    async with lab(store, old={"imap_window_30d", "pop3_header_only", *extra}) as rig:
        rig.source.premises.troubled = frozenset({1})
        old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=90)
        rig.old.deliver(message(0), internal_date=old)
        rig.old.deliver(message(9), internal_date=old)
        for number in range(1, 4):
            rig.old.deliver(message(number))
        await rig.run(Mode.ADD_ONLY)
        assert (bodies(rig), over_pop3(rig)[1]) == ([0, *[WHOLE] * 4], 1)
        rig.source.premises.quirks.discard("imap_window_30d")
        yield rig


@pytest.mark.parametrize("sweep", [False, True], ids=["backfill", "late mail"])
async def test_after_the_flip_the_whole_message_takes_the_headers_place_and_its_flags(
    lite: Database, sweep: bool
) -> None:
    async with header_kept(lite) as rig:
        (header,) = (m for m in rig.new.inbox.messages.values() if m.octets.endswith(b"\r\n\r\n"))
        header.flags = frozenset({b"\\Flagged"})
        for copied in (1, 0, 0):
            result = await rig.run(Mode.ADD_ONLY, sweep=sweep)
            assert (result.copied, bodies(rig)) == (copied, [WHOLE] * 5)
        assert (over_pop3(rig), rig.skips()) == (([], 0), [])
        (whole,) = (m for m in rig.new.inbox.messages.values() if b"<0@x.test>" in m.octets)
        assert b"\\Flagged" in whole.flags


async def test_the_header_stays_until_imap_gives_the_message(lite: Database) -> None:
    async with header_kept(lite) as rig:
        rig.source.premises.quirks.add("fetch_refused")
        for _ in range(2):
            await rig.run(Mode.ADD_ONLY)
            assert (bodies(rig), over_pop3(rig)[1]) == ([0, *[WHOLE] * 4], 1)
        rig.source.premises.quirks.discard("fetch_refused")
        rig.let_skips_be_due()
        for _ in range(2):
            await rig.run(Mode.ADD_ONLY)
        assert (bodies(rig), over_pop3(rig)[1], rig.skips()) == ([WHOLE] * 5, 0, [])


async def test_two_headers_of_one_message_are_one_too_many(lite: Database) -> None:
    async with header_kept(lite) as rig:
        rig.source.premises.quirks.add("header_only")
        for _ in range(2):
            await rig.run(Mode.ADD_ONLY)
            assert bodies(rig) == [0, *[WHOLE] * 4]
        rig.source.premises.quirks.discard("header_only")
        rig.let_skips_be_due()
        await rig.run(Mode.ADD_ONLY)
        assert bodies(rig) == [WHOLE] * 5
