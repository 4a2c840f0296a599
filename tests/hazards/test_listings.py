"""Listings of changes alone (CONDSTORE, QRESYNC) at real servers: everything is seen, and little is said."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailferry.store.database import Database
from tests.copying.rig import OLD, PASSWORD, PROFILE, Rig, endpoints, make_rig, turn
from tests.kit import peers
from tests.kit.fault_relay import FR
from tests.kit.imap_reading import read_imap
from tests.kit.peer_plugin import require

pytestmark = [pytest.mark.deadline(120), pytest.mark.hazard("D3"), pytest.mark.hazard("D7")]

_BARE = "imap_capability = IMAP4rev1 ENABLE NAMESPACE UIDPLUS SPECIAL-USE LITERAL+ MULTIAPPEND MOVE"
SOURCES: dict[str, dict[str, Any]] = {
    "QRESYNC": {},
    "CONDSTORE": {"settings": f"{_BARE} CONDSTORE"},
    "neither": {"settings": _BARE},
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    require("dovecot")
    host = peers.start("dovecot", tmp_path, users={OLD: PASSWORD}, **SOURCES[request.param])
    host.kind = request.param
    yield host
    host.stop()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Any]:
    host = peers.start("dovecot", tmp_path, users={OLD: PASSWORD}, location="sdbox")
    host.doveadm("mailbox", "update", "-u", OLD, "--uid-validity", "77", "INBOX")
    yield host
    host.stop()


def fill(host: Any, count: int) -> None:
    with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        session.create("Work")
        for number in range(count):
            session.append("INBOX", "", '" 1-Jan-2001 00:00:00 +0000"', b"Subject: %d\r\n\r\n" % number)
        session.append("Work", "", None, b"Subject: w\r\n\r\n")  # type: ignore[arg-type]


def change(host: Any) -> None:
    with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        session.select("INBOX")
        session.uid("STORE", "10:12", "+FLAGS", "(\\Flagged $New)")
        session.uid("STORE", "20,30", "+FLAGS", "(\\Deleted)")
        session.expunge()
        session.append("INBOX", "(\\Seen)", '" 1-Feb-2001 00:00:00 +0000"', b"Subject: new\r\n\r\n")


def same(rig: Rig) -> bool:
    here, there = (read_imap(host.ports["imap"], OLD, PASSWORD) for host in (rig.source, rig.target))
    return here == there


async def octets_listed(rig: Rig) -> int:
    """Run a pass through a relay and return how much the source said."""
    from twisted.internet import reactor

    relay = await FR(rig.source.ports["imap"]).start()
    plain = rig.desk
    rig.desk = replace(plain, endpoints=endpoints(reactor, {"imap": relay.port}, rig.target.ports, PROFILE))
    rig.results.append(await rig.run())
    rig.desk = plain
    said = relay.passed["to_client"]
    await relay.stop()
    await turn()
    return said


async def test_new_gone_and_reflagged_messages_are_found(source: Any, target: Any, lite: Database) -> None:
    rig = make_rig(source, target, lite)
    await peers.in_thread(fill, source, 60)
    assert (await rig.run()).copied == 61
    await peers.in_thread(change, source)
    result = await rig.run()
    assert (result.copied, result.deleted, result.reflagged, result.clean) == (1, 2, 3, True)
    assert await peers.in_thread(same, rig)
    again = await rig.run()
    assert (again.copied, again.deleted, again.reflagged) == (0, 0, 0)


async def test_a_change_in_a_large_mailbox_costs_few_octets(source: Any, target: Any, lite: Database) -> None:
    rig = make_rig(source, target, lite)
    await peers.in_thread(fill, source, 1200)
    assert (await rig.run()).copied == 1201
    whole = 2 * 1200 * 100  # it is looked at first, because messages left and others turned up
    await peers.in_thread(change, source)
    said = await octets_listed(rig)
    assert rig.results[-1].clean
    assert await peers.in_thread(same, rig)
    limit = {"QRESYNC": 6_000, "CONDSTORE": 130_000, "neither": 130_000}[source.kind]
    assert said < limit < whole
