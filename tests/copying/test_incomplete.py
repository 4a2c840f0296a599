"""Messages that the source does not give whole: kept for want of better, replaced once, never taken for copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailferry.copying.results import Mode
from mailferry.lab.mailstore import Mailstore
from mailferry.plan.completeness import Doubt, Grade
from mailferry.providers.loader import load_profiles
from mailferry.providers.placeholders import placeholder_test
from mailferry.store import accounts, intents, ledger, mailboxes, remarks
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn
from tests.copying.test_broken_links import through
from tests.hazards.test_renumbered import renumber
from tests.kit.fault_relay import FR, Fault, Kind

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D25")]

IMAP = frozenset({"imap"})
PLACEHOLDER = (
    b"From: Microsoft Exchange Server\r\nTo: li\r\n"
    b"Subject: Retrieval using the IMAP4 protocol failed for the following message: 7\r\n\r\n"
    b'The server couldn\'t retrieve the following message:\r\n\r\nSubject: "plans"\r\n'
)


def fill(rig: LabRig, count: int = 4) -> None:
    for number in range(count):
        rig.old.deliver(
            b"Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\n%s\r\n" % (number, number, b"body " * 1000)
        )


def withhold(rig: LabRig, withheld: bool = True) -> None:
    quirks = rig.source.premises.quirks
    (quirks.add if withheld else quirks.discard)("header_only")


def kept(rig: LabRig) -> dict[int, int]:
    """Return source UID to target UID of INBOX's incomplete copies."""

    def read(conn: Any) -> dict[int, int]:
        row = mailboxes.incomplete(conn, rig.account_id).get(b"INBOX")
        return {} if row is None else {e.source_uid: e.target_uid for e in ledger.load(conn, row.id)}

    return rig.store.read_now("kept", read)


def at_target(rig: LabRig) -> list[bytes]:
    """Return the bodies in the target's INBOX, cut to four octets: those of whole messages say `body`."""
    found = rig.new.inbox.messages.values()
    return [message.octets.partition(b"\r\n\r\n")[2][:4] for message in found]


async def test_a_header_without_its_body_lies_at_the_target_and_counts_as_not_copied(lite: Database) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig)
        rig.old.deliver(b"Subject: empty from the beginning\r\n\r\n")
        result = await rig.run()
        assert (result.copied, result.skipped, result.incomplete, result.remaining) == (1, 4, 4, 0)
        assert result.completeness.doubts == (Doubt.HEADERS_ONLY,)
        assert at_target(rig) == [b""] * 5
        account = lite.read_now("account", lambda conn: accounts.get(conn, rig.account_id))
        assert (account.copied, account.skipped) == (1, 4)
        again = await rig.run()
        assert (again.copied, again.incomplete, len(rig.new.inbox.messages)) == (0, 0, 5)
        assert again.completeness.grade is Grade.POOR


def fill_with_one_big(rig: LabRig) -> None:
    """Six small messages and one that a host cuts at 20 KiB."""
    for number in range(6):
        rig.old.deliver(b"Subject: %d\r\n\r\nHi\r\n" % number)
    rig.old.deliver(b"Subject: big\r\n\r\n" + b"body body body body\r\n" * 1500)


@pytest.mark.parametrize("position", ["first", "last"])
async def test_a_body_that_is_cut_short_is_incomplete_where_the_source_tells_sizes_truly(
    lite: Database, position: str
) -> None:
    """Its literal says so itself and every octet of it came: only RFC822.SIZE tells that there is more."""
    async with lab(lite, old={"body_truncated"}, protocols=IMAP) as rig:
        if position == "first":
            rig.old.deliver(b"Subject: big\r\n\r\n" + b"body body body body\r\n" * 1400)
        fill_with_one_big(rig)
        big = 1 if position == "last" else 2
        result = await rig.run()
        assert (result.copied, result.skipped, result.incomplete, result.remaining) == (6, big, big, 0)
        assert {reason for _, _, reason in rig.skips()} == {"cut_short_at_source"}
        assert (result.completeness.grade, result.completeness.doubts) == (Grade.POOR, (Doubt.CUT_SHORT,))
        assert max(len(m.octets) for m in rig.new.inbox.messages.values()) == 20 * 1024, "kept meanwhile"
        rig.let_skips_be_due()
        again = await rig.run()
        assert (again.copied, again.skipped) == (0, big), "nothing else comes by which to judge: it stays"
        assert again.completeness.grade is Grade.POOR
        rig.source.premises.quirks.clear()
        rig.let_skips_be_due()
        assert (await rig.run()).copied == big
        assert rig.unlike() == []
        assert (await rig.run()).completeness.grade is Grade.GOOD


@pytest.mark.parametrize("sizes", ["exchange_size_thrice", "exchange_size_less"])
async def test_a_source_whose_sizes_are_estimates_is_asked_for_no_more_than_it_told(
    lite: Database, sizes: str
) -> None:
    async with lab(lite, old={sizes}, protocols=IMAP) as rig:
        fill_with_one_big(rig)
        fill(rig, 30)
        result = await rig.run()
        assert (result.copied, result.skipped, result.completeness.grade) == (37, 0, Grade.GOOD)
        assert rig.unlike() == []
        bodies = rig.commands(rig.source, "UID FETCH")
        assert sum("BODY.PEEK[]" in command for command in bodies) <= 5, "few are asked for twice"


async def test_a_small_body_that_is_missing_whole_is_missed_where_sizes_are_true(lite: Database) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        rig.source.premises.troubled = frozenset({4, 5, 6})
        for number in range(7):
            body = b"a line of a small message, and another one of them\r\n" * 2
            rig.old.deliver(b"Subject: %d\r\n\r\n%s" % (number, body))
        result = await rig.run()
        assert (result.copied, result.skipped, result.incomplete) == (4, 3, 3)
        assert rig.skips() == [(b"INBOX", uid, "header_only_at_source") for uid in (4, 5, 6)]


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_a_maildrop_that_gives_headers_alone_is_kept_apart_until_it_gives_more(
    lite: Database, mode: Mode
) -> None:
    """Nobody else tells: there is no IMAP. What LIST says is doubted, but not when nothing came at all."""
    async with lab(lite, old={"pop3_header_only"}, protocols=frozenset({"pop3"})) as rig:
        fill(rig)
        rig.old.deliver(b"Subject: empty from the beginning\r\n\r\n")
        result = await rig.run(mode)
        assert (result.copied, result.skipped, result.incomplete, result.remaining) == (1, 4, 4, 0)
        assert (result.completeness.grade, result.completeness.doubts) == (Grade.POOR, (Doubt.HEADERS_ONLY,))
        assert at_target(rig) == [b""] * 5
        again = await rig.run(mode)
        assert (again.copied, again.incomplete, again.completeness.grade) == (0, 0, Grade.POOR)
        assert len(rig.new.inbox.messages) == 5
        rig.source.premises.quirks.clear()
        rig.let_skips_be_due()
        assert (await rig.run(mode)).copied == 4
        assert sorted(at_target(rig)) == [b"", *[b"body"] * 4]
        assert (kept(rig), rig.skips()) == ({}, [])
        assert (await rig.run(mode)).completeness.grade is Grade.GOOD


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_the_whole_message_takes_the_place_of_the_incomplete_one(lite: Database, mode: Mode) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig)
        await rig.run()
        first = kept(rig)
        rig.new.inbox.messages[first[1]].flags = frozenset({b"\\Seen", b"\\Flagged"})
        withhold(rig, False)
        rig.let_skips_be_due()
        result = await rig.run(mode)
        assert (result.copied, result.known_skips, result.clean, kept(rig)) == (4, 0, True, {})
        assert at_target(rig) == [b"body"] * 4
        assert rig.skips() == []
        whole = rig.new.inbox.messages[rig.ledgered()[b"INBOX"][1]]
        assert (b"\\Flagged" in whole.flags) is (mode is Mode.ADD_ONLY), (
            "from the flip on flags are the user's"
        )
        after = await rig.run(mode)
        assert (after.copied, after.completeness.grade) == (0, Grade.GOOD)
        assert len(rig.new.inbox.messages) == 4


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("at", [600, 6000, 12000, 18000])
async def test_a_target_that_breaks_off_while_bodies_come_leaves_each_message_once(
    lite: Database, at: int
) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP, connections=1) as rig:
        fill(rig)
        await rig.run()
        withhold(rig, False)
        rig.let_skips_be_due()
        relay = await FR(rig.target.imap_port, Fault(Kind.CUT, "to_server", at)).start()
        through(rig, target=relay)
        rig.limited(lost_connections=0)
        await rig.run()
        assert relay.struck > 0
        await relay.stop()
        await turn()
        through(rig)
        for _ in range(3):
            rig.let_skips_be_due()
            done = await rig.run()
        assert (done.clean, kept(rig), rig.unlike()) == (True, {}, [])


@pytest.mark.hazard("D1")
async def test_an_incomplete_copy_is_never_taken_for_what_a_broken_connection_brought(lite: Database) -> None:
    """The source withholds bodies again while an intent for the whole messages is open."""
    async with lab(lite, old={"header_only"}, protocols=IMAP, connections=1) as rig:
        fill(rig)
        await rig.run()
        withhold(rig, False)
        rig.let_skips_be_due()
        relay = await FR(rig.target.imap_port, Fault(Kind.CUT, "to_server", 600)).start()
        through(rig, target=relay)
        rig.limited(lost_connections=0)
        await rig.run()
        await relay.stop()
        await turn()
        through(rig)
        open_now = lite.read_now("intents", lambda conn: intents.pending(conn, rig.account_id))
        assert open_now, "nothing was under way"
        withhold(rig)
        rig.let_skips_be_due()
        for _ in range(2):
            result = await rig.run()
            assert (result.already, rig.ledgered().get(b"INBOX", {})) == (0, {})
        withhold(rig, False)
        rig.let_skips_be_due()
        assert (await rig.run()).clean
        assert (kept(rig), rig.unlike()) == ({}, [])


def killed_before_it_knew(rig: LabRig) -> None:
    """Let the store be as if the run had been killed when the target had INBOX's incomplete copies."""

    def work(conn: Any) -> None:
        row = mailboxes.incomplete(conn, rig.account_id)[b"INBOX"]
        entries = list(ledger.load(conn, row.id))
        ledger.forget(conn, row.id, [entry.source_uid for entry in entries])
        intents.open_intent(
            conn,
            row.id,
            target_name=b"INBOX",
            target_uidvalidity=row.target_uidvalidity or 0,
            target_uidnext=min(entry.target_uid for entry in entries),
            source_uids=[entry.source_uid for entry in entries],
            source_uidvalidity=row.source_uidvalidity,
        )

    rig.store.run_now("killed", work)


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("restored", [False, True], ids=["withheld", "given"])
async def test_what_a_killed_run_brought_is_known_again_and_never_mixed_up_with_whole_copies(
    lite: Database, restored: bool
) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig)
        await rig.run()
        killed_before_it_knew(rig)
        withhold(rig, not restored)
        if restored:
            rig.let_skips_be_due()
        result = await rig.run()
        assert (result.incomplete, len(kept(rig))) == (0, 0 if restored else 4)
        withhold(rig, False)
        for _ in range(2):
            rig.let_skips_be_due()
            done = await rig.run()
        assert (done.clean, kept(rig), rig.unlike()) == (True, {}, [])


@pytest.mark.hazard("D1")
async def test_whole_copies_are_not_taken_for_what_a_killed_run_did_not_bring(lite: Database) -> None:
    """They would be taken away as incomplete ones."""
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig)
        await rig.run()
        killed_before_it_knew(rig)
        rig.new.inbox.remove(list(rig.new.inbox.messages))
        withhold(rig, False)
        for _ in range(3):
            rig.let_skips_be_due()
            done = await rig.run()
            assert at_target(rig) == [b"body"] * 4
        assert (done.clean, kept(rig), rig.unlike()) == (True, {}, [])


async def test_incomplete_copies_follow_their_messages_away(lite: Database) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig, 3)
        rig.old.create(b"Work")
        await rig.run()
        octets = rig.old.inbox.messages[2].octets
        rig.old.inbox.remove([1, 2])
        rig.old.deliver(octets, mailbox=b"Work")
        result = await rig.run()
        assert (result.incomplete, set(kept(rig))) == (1, {3})
        assert len(rig.new.inbox.messages) == 1
        rig.old.delete(b"Work")
        await rig.run(approved=True)
        assert sum(len(box.messages) for box in rig.new) == 1


@pytest.mark.hazard("D7")
@pytest.mark.parametrize("side", ["old", "new"])
async def test_incomplete_copies_are_found_again_when_a_side_numbers_its_messages_anew(
    lite: Database, side: str
) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig)
        await rig.run()
        store: Mailstore = getattr(rig, side)
        renumber(store.inbox, store.inbox.uidvalidity + 1, reverse=True)
        result = await rig.run()
        assert (result.incomplete, len(rig.new.inbox.messages), len(kept(rig))) == (0, 4, 4)
        withhold(rig, False)
        rig.let_skips_be_due()
        assert (await rig.run()).clean
        assert (kept(rig), rig.unlike()) == ({}, [])


async def test_late_mail_is_not_there_because_its_header_is(lite: Database) -> None:
    async with lab(lite, old={"header_only"}, protocols=IMAP) as rig:
        fill(rig)
        await rig.run()
        rig.let_skips_be_due()
        swept = await rig.run(Mode.ADD_ONLY, sweep=True)
        assert (swept.already, len(rig.skips()), len(rig.new.inbox.messages)) == (0, 4, 4)
        withhold(rig, False)
        rig.let_skips_be_due()
        await rig.run(Mode.ADD_ONLY, sweep=True)
        assert at_target(rig) == [b"body"] * 4


async def test_a_text_of_the_sources_own_is_kept_and_never_counts_as_the_message(lite: Database) -> None:
    async with lab(lite, protocols=IMAP) as rig:
        rig.desk = replace(rig.desk, profile=load_profiles(None)["exchange_onprem"])
        fill(rig, 2)
        whole = rig.old.inbox.messages[2].octets
        rig.old.inbox.messages[2].octets = PLACEHOLDER
        result = await rig.run()
        assert (result.copied, result.incomplete, result.completeness.grade) == (1, 1, Grade.SUSPECT)
        assert rig.skips() == [(b"INBOX", 2, "placeholder_at_source")]
        assert "texts of its own" in result.completeness.details[0]
        rig.old.inbox.messages[2].octets = whole
        rig.let_skips_be_due()
        assert (await rig.run()).clean
        assert (rig.unlike(), kept(rig)) == ([], {})


@pytest.mark.parametrize(
    ("octets", "is_one"),
    [
        (PLACEHOLDER, True),
        (PLACEHOLDER.replace(b"Retrieval", b"RETRIEVAL"), True),
        (PLACEHOLDER.replace(b"Subject: Ret", b"Subject: Re: Ret"), False),
        (b"Subject: x\r\n\r\n" + b"y" * 9000 + PLACEHOLDER, False),
        (b"", False),
    ],
    ids=["as it is", "in capitals", "an answer to it", "far behind", "nothing"],
)
def test_a_placeholder_is_known_by_its_first_lines(octets: bytes, is_one: bool) -> None:
    test = placeholder_test(load_profiles(None)["exchange_onprem"])
    assert test is not None
    assert test(octets) is is_one
    assert placeholder_test(load_profiles(None)["generic"]) is None


async def test_pop3_clients_keep_the_uidl_of_an_incomplete_message(lite: Database) -> None:
    from mailferry.copying.uidls import learn_uidls

    async with lab(lite, old={"header_only"}) as rig:
        fill(rig, 3)

        async def mapped() -> list[bytes | None]:
            rig.let_logins_be_due()
            result = await rig.run()
            state = await learn_uidls(rig.desk, rig.account_id, result.maildrop, asked=result.maildrop_asked)
            await turn()
            assert (state.ready, state.left_out) == (True, 0)
            return [row[0] for row in rig.uidl_map()]

        shown = await mapped()
        assert len(shown) == 3
        assert None not in shown
        withhold(rig, False)
        rig.let_skips_be_due()
        assert await mapped() == shown
        assert len(rig.new.inbox.messages) == 3


async def test_what_the_target_refuses_even_so_is_counted_once(lite: Database) -> None:
    async with lab(lite, old={"header_only"}, new={"append_nul_refused"}, protocols=IMAP) as rig:
        rig.old.deliver(b"Subject: \0\r\n\r\n" + b"body " * 1000)
        for _ in range(2):
            result = await rig.run()
            assert (result.copied, result.incomplete, result.skipped + result.known_skips) == (0, 0, 1)
        assert rig.skips() == [(b"INBOX", 1, "header_only_at_source")]
        assert not lite.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
