"""Mail that arrives, comes back or gets flags between two looks of one pass: it stays what it is, and is there once."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.copying import account, maildrop_look
from mailferry.model.mail import MessageFacts
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.kit import hostile_mail
from tests.kit.scripted import Talk
from tests.remote.sessions import imap

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D7")]
LONG_AGO = hostile_mail.MOMENTS[2]


def fill(rig: LabRig, count: int = 20) -> None:
    rig.old.create(b"Work")
    for number in range(count):
        rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number), internal_date=LONG_AGO)


@pytest.mark.hazard("D9")
async def test_messages_of_which_only_flags_were_told_are_asked_for_once_more() -> None:
    """Dovecot tells flags of what arrived while it answered, and nothing else of it."""
    told = b' INTERNALDATE "01-Feb-2020 03:04:05 +0000" RFC822.SIZE 9)\r\n'

    async def answers(talk: Talk) -> None:
        tag = (await talk.line()).split()[0]
        talk.send(b"* 1 FETCH (UID 1 FLAGS ()" + told)
        talk.send(b"* 2 EXISTS\r\n* 2 FETCH (UID 2 FLAGS (\\Recent))\r\n" + tag + b" OK done\r\n")
        line = await talk.line()
        assert b"UID FETCH 2 (" in line
        talk.send(b"* 2 FETCH (UID 2 FLAGS (\\Seen $Work)" + told + line.split()[0] + b" OK done\r\n")

    found: list[MessageFacts] = []
    async with imap(answers) as (client, _):
        await client.fetch_facts(b"1:*", found.append)
    date = b"01-Feb-2020 03:04:05 +0000"
    assert found == [
        MessageFacts(1, frozenset(), date, 9),
        MessageFacts(2, frozenset({b"\\Seen", b"$Work"}), date, 9),
    ]


@pytest.mark.hazard("D9")
async def test_mail_that_arrives_before_the_maildrop_is_opened_is_not_taken_for_hidden(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IMAP's INBOX was listed before it came, POP3 shows it: over POP3 it would lose its date and its flags."""
    opens = maildrop_look.open_maildrop
    async with lab(lite) as rig:
        fill(rig)

        def late(run: Any) -> Any:
            rig.old.deliver(
                b"Subject: late\r\n\r\nlate\r\n", flags=[b"\\Seen", b"$Work"], internal_date=LONG_AGO
            )
            return opens(run)

        monkeypatch.setattr(maildrop_look, "open_maildrop", late)
        first = await rig.run()
        assert (first.copied, first.evidence.pop3_unpaired) == (20, 0)
        monkeypatch.undo()
        assert (await rig.run()).copied == 1
        assert rig.unlike() == []


@pytest.mark.hazard("D8")
async def test_what_imap_hid_at_first_gets_its_flags_when_imap_shows_it(lite: Database) -> None:
    async with lab(lite, old={"imap_window_30d"}) as rig:
        for number in range(3):
            rig.old.deliver(
                b"Subject: %d\r\n\r\n%d\r\n" % (number, number),
                flags=[b"\\Seen", b"$Work"],
                internal_date=LONG_AGO,
            )
        assert (await rig.run()).copied == 3
        rig.source.premises.quirks.discard("imap_window_30d")
        result = await rig.run()
        assert (result.copied, result.deleted, result.clean) == (0, 0, True)
        flags = [message.flags for message in rig.new.inbox.messages.values()]
        assert flags == [frozenset({b"\\Seen", b"$Work"})] * 3
        assert (await rig.run()).reflagged == 0


async def test_a_message_that_comes_back_while_the_pass_runs_keeps_its_copy(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = account.copy_mailbox
    async with lab(lite) as rig:
        fill(rig)
        await rig.run()
        message = rig.old.inbox.messages[3]
        rig.old.inbox.remove([3])
        other = b"Subject: q\r\n\r\nq\r\n"  # as large as what left
        rig.old.deliver(other, mailbox=b"Work", internal_date=LONG_AGO)

        async def then(run: Any, pair: Any, job: Any, departures: Any, *, keep_vanished: bool) -> None:
            if job.source_name == b"INBOX" and not keep_vanished:
                rig.old.inbox.add(message.octets, flags=message.flags, internal_date=message.internal_date)
                monkeypatch.undo()
            await copies(run, pair, job, departures, keep_vanished=keep_vanished)

        monkeypatch.setattr(account, "copy_mailbox", then)
        result = await rig.run()
        assert account.copy_mailbox is copies, "it did not come back"
        assert (result.moved, result.copied, result.deleted, result.clean) == (1, 1, 0, True)
        assert rig.unlike() == []
