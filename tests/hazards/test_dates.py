"""Dates of arrival that servers garble, leave out or cannot keep, and a proxy in whatever time zone: never another second unsaid."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mailferry.lab import imap_fetch
from mailferry.plan import arrival_date as plan
from mailferry.plan.arrival_date import arrival_date, instant, utc_date
from mailferry.remote.sendable import sendable_date
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.lab_rig import lab
from tests.copying.rig import OLD, PASSWORD
from tests.hazards.targets import TARGETS, Target
from tests.hazards.test_targets import SELDOM, remarked, rig_to
from tests.kit import hostile_mail, peers
from tests.kit.imap_reading import read_imap

pytestmark = [pytest.mark.deadline(120), pytest.mark.hazard("D9")]

MAKES = [one for one in TARGETS if one.name in {"dovecot", "dovecot maildir", "cyrus", "courier"}]
KEPT = {
    b"05-MAR-2020 00:00:00 +0800": 1_583_337_600,
    b" 6-mar-2020 00:00:00 +0800": 1_583_424_000,
    b"7-Mar-2020 00:00:00 -1200": 1_583_582_400,
    b"31-Dec-2016 23:59:60 +0000": 1_483_228_800,
    b"01-Jan-1970 00:00:01 +0000": 1,
    b"31-Dec-1969 23:00:00 -0330": 9_000,
    b"29-Feb-2000 23:59:59 +1400": 951_818_399,
}
BEFORE_ALL = (
    b"01-Jan-1970 00:00:00 +0800",
    b"31-Dec-1969 23:59:59 +0000",
    b"01-Jan-1900 00:00:00 +0000",
    b"05-Mar-0001 00:00:00 +0000",
)
"""Before 1970: Dovecot and Cyrus would take them for the year 2106."""
NONE = (
    b"",
    b"yesterday",
    b"31-Feb-2020 00:00:00 +0000",
    b"00-Mar-2020 00:00:00 +0000",
    b"05-Mar-2020 29:00:00 +0000",
    b"05-Foo-2020 00:00:00 +0000",
)
"""No dates at all: the target puts its own."""
TOLD = (*KEPT, *BEFORE_ALL, *NONE)


@pytest.fixture(
    params=[
        pytest.param(one, id=one.name, marks=pytest.mark.slow if one.name in SELDOM else ()) for one in MAKES
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


async def test_a_date_is_kept_to_the_second_or_its_loss_is_named(
    target: Target, peer: Any, lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = imap_fetch._value

    def told(session: Any, message: Any, item: bytes) -> bytes:
        if item != b"INTERNALDATE" or session.premises.name != "old":
            return value(session, message, item)
        date = TOLD[int(message.octets.split()[1])]
        return b'INTERNALDATE "%s"' % date if date else b"INTERNALDATE NIL"

    monkeypatch.setattr(imap_fetch, "_value", told)
    async with rig_to(peer, lite, read_back=0.0) as rig:
        for number in range(len(TOLD)):
            rig.old.deliver(b"Subject: %d\r\n\r\ntext\r\n" % number, flags=[b"$Label1"])
        began = time.time()
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (len(TOLD), 0, True)
        assert result.refused_keywords == {}
        shown = await peers.in_thread(read_imap, peer.ports["imap"], OLD, PASSWORD)
        received = {TOLD[int(one.octets.split()[1])]: one.received for one in shown}
        assert {date: received[date] for date in KEPT} == KEPT
        assert {received[date] for date in BEFORE_ALL} == {1}
        assert all(began - 60 < received[date] < time.time() + 60 for date in NONE)
        assert remarked(rig, RemarkKind.DATE) == {b"INBOX": (len(BEFORE_ALL) + len(NONE), None)}


async def test_the_first_second_of_all_is_named_where_a_target_takes_it_for_none(
    target: Target, peer: Any, lite: Database
) -> None:
    async with rig_to(peer, lite, read_back=0.0) as rig:
        rig.old.deliver(b"Subject: 0\r\n\r\ntext\r\n", internal_date=datetime(1970, 1, 1, tzinfo=UTC))
        await rig.run()
        shown = await peers.in_thread(read_imap, peer.ports["imap"], OLD, PASSWORD)
        (one,) = shown
        assert (one.received == 0) is (target.peer == "dovecot")
        assert remarked(rig, RemarkKind.DATE) == ({} if one.received == 0 else {b"INBOX": (1, None)})


@pytest.fixture(
    params=["UTC0", "IST-5:30", "NST3:30NDT,M3.2.0,M11.1.0", "LINT-14", "CET-1CEST,M3.5.0,M10.5.0"]
)
def zone_of_the_proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    plan._midnight.cache_clear()
    yield request.param
    monkeypatch.undo()
    time.tzset()
    plan._midnight.cache_clear()


def test_what_a_date_means_does_not_hang_on_the_proxys_own_zone(zone_of_the_proxy: str) -> None:
    assert zone_of_the_proxy.startswith(time.tzname[0]), "the zone is not set"
    for date, moment in KEPT.items():
        sent = sendable_date(date)
        assert sent is not None
        assert instant(sent) == moment
    for number in range(90):
        when = hostile_mail.when(number)
        assert instant(utc_date(int(when.timestamp()))) == int(when.timestamp())
    header = arrival_date(b"Received: by x; Sun, 31 Mar 2019 02:30:00 -0000\r\n\r\n")
    assert header is not None
    assert instant(header) == 1_553_999_400


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_a_copy_keeps_the_second_in_every_zone_of_the_proxy(
    zone_of_the_proxy: str, lite: Database, protocol: str
) -> None:
    async with lab(lite, protocols=frozenset({protocol})) as rig:
        for number in range(90):
            when = hostile_mail.when(number)
            header = when.strftime("Date: %d %b %Y %H:%M:%S %z").encode()
            rig.old.deliver(header + b"\r\nSubject: %d\r\n\r\n" % number, internal_date=when)
        assert (await rig.run()).copied == 90, zone_of_the_proxy
        here, there = (
            Counter(int(one.internal_date.timestamp()) for one in host.inbox.messages.values())
            for host in (rig.old, rig.new)
        )
        assert there == here
