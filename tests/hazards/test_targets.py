"""The same hostile mailbox copied to every kind of target: what arrives, how often, and what is said of the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import CopyLimits
from mailferry.lab.host import LabHost
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.causes import Cause
from mailferry.store import remarks
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.lab_rig import LabRig
from tests.copying.rig import OLD, PASSWORD, PROFILE, endpoints, make_account, turn
from tests.hazards.targets import TARGETS, Target
from tests.kit import hostile_mail, peers
from tests.kit.fault_relay import FR, Fault, Kind
from tests.kit.imap_reading import Shown, read_imap

pytestmark = [pytest.mark.deadline(120), pytest.mark.hazard("D10"), pytest.mark.hazard("D1")]
NAMES = (b"Work", b"&mHl27g-", b"a/b")
JUST_NOW = -1


SELDOM = {"courier", "courier without UIDPLUS", "dovecot with LITERAL- alone"}
"""What differs from its kin in one extension that others here lack as well: tried among the slow tests."""


@pytest.fixture(
    params=[
        pytest.param(one, id=one.name, marks=pytest.mark.slow if one.name in SELDOM else ())
        for one in TARGETS
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


@asynccontextmanager
async def rig_to(peer: Any, store: Database, port: int | None = None, **limits: Any) -> AsyncIterator[LabRig]:
    """A lab host as the source and this peer as the target, dialled at `port` where that is given."""
    from twisted.internet import reactor

    mail = Mailstore(delimiter=b"/", first_uidvalidity=1000)
    source = LabHost(reactor, "old", accounts={OLD: LabAccount(PASSWORD.encode(), mail)})
    await source.start()
    limits = {
        "settle_patience": 0.0,
        "deletions_patience": 0.0,
        "read_back": 1.0,
        "batch_messages": 10,
        **limits,
    }
    ends = endpoints(reactor, {"imap": source.imap_port}, {"imap": port or peer.ports["imap"]})
    desk = CopyDesk(store, reactor, ends, PROFILE, CopyLimits(**limits))
    try:
        yield LabRig(source, peer, store, make_account(store), desk)
    finally:
        await turn()
        await source.stop()
        await turn()


def refused(target: Target) -> set[bytes]:
    return {kind.octets for kind in hostile_mail.KINDS if kind.odd in target.refuses}


def expected(rig: LabRig, target: Target) -> Counter[Shown]:
    """What the target is to show: everything that it does not refuse, as it keeps things."""
    gone = refused(target)
    found: Counter[Shown] = Counter()
    for box in rig.old:
        name = box.name if box.name == b"INBOX" else target.prefix + box.name.replace(b"/", target.delimiter)
        for message in box.messages.values():
            if message.octets not in gone:
                flags = {flag.decode() for flag in message.flags}
                arrived = int(message.internal_date.timestamp())
                found[
                    Shown(
                        name,
                        target.keeps(message.octets),
                        tuple(sorted(flag for flag in flags if flag.startswith("\\"))),
                        tuple(sorted(flag for flag in flags if not flag.startswith("\\"))),
                        arrived if arrived < target.dates_below else JUST_NOW,
                    )
                ] += 1
    return found


async def shown(peer: Any) -> Counter[Shown]:
    """What the target shows; moments of this test's own day are `JUST_NOW`."""
    found = await peers.in_thread(read_imap, peer.ports["imap"], OLD, PASSWORD)
    since = time.time() - 86_400
    recent: Counter[Shown] = Counter()
    for one, number in found.items():
        now = since < one.received < since + 2 * 86_400
        recent[one._replace(received=JUST_NOW) if now else one] += number
    return recent


def differences(wanted: Counter[Shown], found: Counter[Shown]) -> list[str]:
    lines = [f"missing {n}x {one._replace(octets=one.octets[:60])}" for one, n in (wanted - found).items()]
    return lines + [
        f"too many {n}x {one._replace(octets=one.octets[:60])}" for one, n in (found - wanted).items()
    ]


def remarked(rig: LabRig, kind: RemarkKind) -> dict[bytes, tuple[int, str | None]]:
    rows = rig.store.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
    return {row.subject: (row.number, row.detail) for row in rows if row.kind is kind}


@pytest.mark.hazard("D2")
@pytest.mark.hazard("D8")
@pytest.mark.hazard("D9")
@pytest.mark.hazard("D26")
async def test_everything_arrives_once_or_is_named(target: Target, peer: Any, lite: Database) -> None:
    async with rig_to(peer, lite) as rig:
        total = hostile_mail.fill(rig.old, *NAMES)
        result = await rig.run()
        left_out = len(refused(target)) * (len(NAMES) + 1)
        assert (result.copied, result.skipped, result.clean) == (total - left_out, left_out, True)
        assert differences(expected(rig, target), await shown(peer)) == []
        assert len(rig.skips()) == left_out
        altered = sum(
            target.keeps(message.octets) != message.octets
            for box in rig.old
            for message in box.messages.values()
            if message.octets not in refused(target)
        )
        assert (result.read_back, result.altered) == (total - left_out, altered)
        assert sum(number for number, _ in remarked(rig, RemarkKind.ALTERED).values()) == altered
        redated = sum(number for one, number in (await shown(peer)).items() if one.received == JUST_NOW)
        assert sum(number for number, _ in remarked(rig, RemarkKind.DATE).values()) == redated
        again = await rig.run()
        assert (again.copied, again.altered, again.clean) == (0, 0, True)
        assert await shown(peer) == expected(rig, target)


@pytest.mark.slow
@pytest.mark.hazard("D2")
async def test_five_hundred_messages_with_one_header_stay_five_hundred(
    target: Target, peer: Any, lite: Database
) -> None:
    async with rig_to(peer, lite, batch_messages=50, read_back=0.0) as rig:
        hostile_mail.same_headers(rig.old, 500)
        assert (await rig.run()).copied == 500
        assert differences(expected(rig, target), await shown(peer)) == []


@pytest.mark.parametrize(
    "at", [pytest.param(700, marks=pytest.mark.slow), 2_500, pytest.param(6_000, marks=pytest.mark.slow)]
)
async def test_a_cut_connection_doubles_nothing_whatever_the_target_alters(
    target: Target, peer: Any, lite: Database, at: int
) -> None:
    """The target's answers are lost: what it keeps must be recognised, altered or not."""
    relay = await FR(
        peer.ports["imap"], *(Fault(Kind.CUT, "to_client", at, talk) for talk in range(2))
    ).start()
    async with rig_to(peer, lite, relay.port, connections=1, batch_messages=7) as rig:
        hostile_mail.fill(rig.old)
        for _ in range(6):
            result = await rig.run()
            if result.clean and not result.unsettled:
                break
            assert result.cause in {None, Cause.TARGET_DOWN}, result.cause_text
        assert relay.struck > 0
        assert differences(expected(rig, target), await shown(peer)) == []
    await relay.stop()
    await turn()
