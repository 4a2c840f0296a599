"""Keywords at targets with bounds of their own: what they take arrives, what they do not is named, no keyword costs another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from mailferry.copying import batches
from mailferry.model.causes import Cause, Unavailable
from mailferry.remote.imap_client import ImapClient
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.rig import OLD, PASSWORD
from tests.hazards.targets import TARGETS, Target
from tests.hazards.test_targets import SELDOM, remarked, rig_to
from tests.kit import peers
from tests.kit.imap_reading import read_imap

pytestmark = [pytest.mark.deadline(120), pytest.mark.hazard("D8")]

MAKES = [one for one in TARGETS if one.name in {"dovecot", "dovecot maildir", "cyrus", "courier"}]
ROOM = {"cyrus": 100}
"""So many keywords such a target keeps in a mailbox; Cyrus 3.6 says `Too many user flags` to the next."""
LONG = b"k" * 60
"""Longer than Dovecot takes."""
SEVENTY = tuple(b"a%02d" % number for number in range(70))
MESSAGES = (
    SEVENTY,
    (b"$Forwarded", b"TEST:FLAG", LONG),
    (b"\\Seen", b"\\Recent", b"Work"),
    (b"work", b"NonJunk"),
    *((b"$Forwarded", b"own%03d" % number) for number in range(60)),
)
INNOCENT = {b"$Forwarded", b"TEST:FLAG", b"Work", b"NonJunk"}


@pytest.fixture(
    params=[
        pytest.param(one, id=one.name, marks=pytest.mark.slow if one.name in SELDOM else ()) for one in MAKES
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


async def kept(peer: Any) -> dict[bytes, set[bytes]]:
    """Return subject to keywords, as the target shows them."""
    shown = await peers.in_thread(read_imap, peer.ports["imap"], OLD, PASSWORD)
    return {one.octets.split(b"\r\n")[0]: {word.encode() for word in one.keywords} for one in shown}


def expected_losses(found: dict[bytes, set[bytes]], wanted: dict[bytes, tuple[bytes, ...]]) -> Counter[bytes]:
    lost: Counter[bytes] = Counter()
    for subject, flags in wanted.items():
        there = {word.lower() for word in found[subject]}
        words = {flag for flag in flags if not flag.startswith(b"\\")}
        assert there <= {word.lower() for word in words}, "keywords that nobody gave it"
        lost.update(word for word in words if word.lower() not in there)
    return lost


async def test_each_keyword_arrives_or_is_named_and_costs_no_other(
    target: Target, peer: Any, lite: Database
) -> None:
    async with rig_to(peer, lite, read_back=0.0) as rig:
        wanted = {b"Subject: %d" % number: flags for number, flags in enumerate(MESSAGES)}
        for subject, flags in wanted.items():
            rig.old.deliver(subject + b"\r\n\r\ntext\r\n", flags=flags)
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (len(MESSAGES), 0, True)
        found = await kept(peer)
        lost = expected_losses(found, wanted)
        assert lost == result.refused_keywords
        assert {subject: number for subject, (number, _) in remarked(rig, RemarkKind.KEYWORD).items()} == lost
        assert not INNOCENT & set(lost)
        words = {word.lower() for flags in MESSAGES for word in flags if not word.startswith(b"\\")}
        over = max(0, len(words) - ROOM.get(target.name, len(words)))
        assert len(lost) == over + (target.peer == "dovecot")
        assert remarked(rig, RemarkKind.DATE) == {}, "nobody minded the dates"
        again = await rig.run()
        assert (again.copied, again.reflagged, again.clean) == (0, 0, True)


async def test_a_keyword_that_is_set_later_and_refused_costs_no_other_either(
    target: Target, peer: Any, lite: Database
) -> None:
    async with rig_to(peer, lite, read_back=0.0) as rig:
        for number in range(3):
            rig.old.deliver(b"Subject: %d\r\n\r\ntext\r\n" % number)
        await rig.run()
        many = tuple(b"later%03d" % number for number in range(120))
        flags = {1: (b"\\Flagged", b"$Work", LONG), 2: (*many, b"\\Seen"), 3: (b"$Work", b"last")}
        wanted = {b"Subject: %d" % (uid - 1): words for uid, words in flags.items()}
        for uid, words in flags.items():
            rig.old.inbox.reflag(uid, words)
        result = await rig.run()
        assert (result.reflagged, result.clean) == (3, True)
        found = await kept(peer)
        lost = expected_losses(found, wanted)
        assert lost == result.refused_keywords
        assert b"$Work" not in lost
        room = ROOM.get(target.name)
        assert len(lost) == (1 if target.peer == "dovecot" else 0 if room is None else 123 - room)


async def test_keywords_that_a_lost_connection_left_out_follow_in_the_next_pass(
    lite: Database, target: Target, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is there and written down; its keywords are not yet."""
    lost: list[frozenset[bytes]] = []

    async def breaks(client: ImapClient, _: Sequence[int], keywords: frozenset[bytes]) -> frozenset[bytes]:
        lost.append(keywords)
        client.close()
        raise Unavailable(Cause.TARGET_DOWN, "the connection is lost")

    monkeypatch.setattr(batches, "add_keywords", breaks)
    async with rig_to(peer, lite, read_back=0.0, connections=1, lost_connections=0) as rig:
        words = (b"$Forwarded", b"TEST:FLAG", LONG, *(b"x%03d" % number for number in range(100)))
        rig.old.deliver(b"Subject: 0\r\n\r\ntext\r\n", flags=words)
        result = await rig.run()
        if target.name == "courier":
            assert (result.clean, lost) == (True, []), "it takes all of them"
            return
        assert (result.cause, len(lost)) == (Cause.TARGET_DOWN, 1)
        monkeypatch.undo()
        again = await rig.run()
        assert (again.copied, again.clean) == (0, True)
        found = await kept(peer)
        assert len(found) == 1
        assert expected_losses(found, {b"Subject: 0": words}) == again.refused_keywords
        assert len(again.refused_keywords) == (1 if target.peer == "dovecot" else len(words) - 100)
