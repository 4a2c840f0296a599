"""Between two real Dovecots: what arrives is what was there, by Dovecot's own word."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.copying.uidls import learn_uidls
from mailferry.store.database import Database
from tests.copying.rig import OLD, PASSWORD, Rig, dovecots, make_rig, turn
from tests.kit import oracle, peers
from tests.kit.peer_plugin import require

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.deadline(120)]

MAILBOXES = ["&mHl27g-", "&mHl27g-.&W6JiNw- A", "Work", "Work.2019", 'quote \\" x', "trailing&IK0-", "empty"]
DATES = [
    " 1-Jan-1980 00:00:00 +0000",
    "29-Feb-2004 23:59:59 +1400",
    "31-Mar-2019 02:30:00 -1200",
    "19-Jan-2035 03:14:07 +0530",
    "05-Mar-2019 10:11:12 -0330",
]
BODIES = [
    b"",
    b"Subject: no body\r\n\r\n",
    b"Subject: 8-bit \xc4\xfa\xba\xc3\r\n\r\n\xc4\xfa\xba\xc3 \xff\xfe\r\n",
    b"Subject: twin\r\n\r\nsame\r\n",
    b"Subject: twin\r\n\r\nsame\r\n",
    b"Subject: no last line end\r\n\r\nend",
    b"Subject: long line\r\n\r\n" + b"x" * 1_000_000 + b"\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    b"no header at all",
    b"\r\n\r\n\r\n",
    b"Subject: binary-ish\r\n\r\n\x01\x02\x1b[31m\r\n",
]
FLAGS = [
    "",
    "(\\Seen)",
    "(\\Answered \\Flagged)",
    "(\\Draft $Forwarded NonJunk)",
    "(\\Deleted \\Seen)",
    "(Label:1)",
]


def fill(host: Any) -> int:
    count = 0
    with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        for name in MAILBOXES:
            assert session.create(f'"{name}"')[0] == "OK", name
            session.subscribe(f'"{name}"')
        session.unsubscribe('"Work.2019"')
        for number in range(120):
            mailbox = ["INBOX", *MAILBOXES[:-1]][number % len(MAILBOXES)]
            body = BODIES[number % len(BODIES)] or b"Subject: %d\r\n\r\n%d\r\n" % (number, number)
            date = f'"{DATES[number % len(DATES)]}"'
            answer = session.append(f'"{mailbox}"', FLAGS[number % len(FLAGS)], date, body)
            assert answer[0] == "OK", answer
            count += 1
    return count


@pytest.fixture(params=["maildir", "sdbox"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, lite: Database) -> Iterator[Rig]:
    require("dovecot")
    source, target = dovecots(tmp_path, target={"location": request.param})
    yield make_rig(source, target, lite)
    source.stop()
    target.stop()


def sizes(host: Any) -> list[int]:
    """RFC822.SIZE of all messages, as the host announces it."""
    found: list[int] = []
    with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        for name in ["INBOX", *MAILBOXES]:
            session.select(f'"{name}"', readonly=True)
            for line in session.fetch("1:*", "RFC822.SIZE")[1] if name != "empty" else []:
                found.append(int(line.rstrip(b")").split()[-1]))
    return found


@pytest.mark.hazard("D2")
@pytest.mark.hazard("D9")
@pytest.mark.hazard("D27")
async def test_bytes_flags_keywords_dates_names_and_subscriptions_arrive(rig: Rig) -> None:
    count = await peers.in_thread(fill, rig.source)
    first = await rig.run()
    assert (first.copied, first.clean, first.refused_keywords, first.skipped) == (count, True, {}, 0)
    here = await peers.in_thread(oracle.read, rig.source, OLD)
    there = await peers.in_thread(oracle.read, rig.target, OLD)
    separator = "/" if rig.target.options.location == "sdbox" else "."
    assert here.renamed(lambda name: name.replace(".", separator)).messages == there.messages
    subscribed = await peers.in_thread(oracle.subscriptions, rig.source, OLD)
    assert {name.replace(".", separator) for name in subscribed} == await peers.in_thread(
        oracle.subscriptions, rig.target, OLD
    )
    second = await rig.run()
    assert (second.copied, second.clean, second.total) == (0, True, count)
    third = await rig.run()
    assert third.mailboxes_unchanged == third.mailboxes == len(MAILBOXES) + 1
    assert third.clean
    octets = sum(await peers.in_thread(sizes, rig.source))
    assert (first.total_octets, second.total_octets, third.total_octets) == (octets, octets, octets)
    assert (third.remaining_octets, third.skipped_octets) == (0, 0)


@pytest.mark.hazard("D13")
async def test_pop3_clients_find_the_uidls_that_they_know(rig: Rig) -> None:
    await peers.in_thread(fill, rig.source)
    result = await rig.run()
    state = await learn_uidls(rig.desk, rig.account_id, result.maildrop, asked=result.maildrop_asked)
    await turn()
    assert (state.ready, state.hidden, state.paired) == (True, 0, state.shown)
    from mailferry.store import uidls

    rows = rig.store.read_now("map", lambda conn: uidls.load_map(conn, rig.account_id))
    old = await peers.in_thread(oracle.uidls, rig.source.ports["pop3"], OLD, PASSWORD)
    new = await peers.in_thread(oracle.uidls, rig.target.ports["pop3"], OLD, PASSWORD)
    assert [row.source_uidl.decode() for row in rows if row.source_uidl] == old
    assert {row.target_uidl.decode() for row in rows if row.target_uidl} == set(new)


async def test_changes_at_the_source_follow(rig: Rig) -> None:
    await peers.in_thread(fill, rig.source)
    await rig.run()

    def change() -> None:
        with imaplib.IMAP4("127.0.0.1", rig.source.ports["imap"]) as session:
            session.login(OLD, PASSWORD)
            session.select("INBOX")
            session.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
            session.uid("EXPUNGE", "1")
            session.store("2:4", "FLAGS", "(\\Flagged $New)")
            session.append(
                "INBOX", "(\\Seen)", '"05-Mar-2020 10:11:12 -0330"', b"Subject: new\r\n\r\nnew\r\n"
            )

    await peers.in_thread(change)
    result = await rig.run()
    assert (result.copied, result.reflagged, result.deleted, result.clean) == (1, 3, 1, True)
    here = await peers.in_thread(oracle.read, rig.source, OLD)
    there = await peers.in_thread(oracle.read, rig.target, OLD)
    separator = "/" if rig.target.options.location == "sdbox" else "."
    assert here.renamed(lambda name: name.replace(".", separator)).messages == there.messages
