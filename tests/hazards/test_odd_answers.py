"""Servers that say NO to what they kept, and of what is gone: each message ends once, and under its right name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mailferry.lab import append_quirks, fetch_quirks
from mailferry.lab.imap_session import No
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.hazards.test_settling import fill

pytestmark = pytest.mark.deadline(60)


class KeepsAndRefuses:
    """A target that keeps the messages of a batch up to the one that it refuses (against RFC 3502)."""

    def __init__(self, rig: LabRig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refusals = 0
        self._rig = rig
        self._batch: list[bytes] = []
        monkeypatch.setattr(append_quirks, "check", self.check)
        monkeypatch.setattr(append_quirks, "kept", lambda _: self._batch.clear())

    def check(self, _: object, octets: bytes) -> None:
        if b"\0" not in octets:
            self._batch.append(octets)
            return
        for one in self._batch:
            self._rig.new.inbox.add(one)
        self._batch.clear()
        self.refusals += 1
        raise No("Message contains NUL characters")


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("more", [set(), {"no_uidplus"}], ids=["", "no UIDs told"])
async def test_what_a_target_kept_of_a_batch_that_it_refused_is_not_sent_again(
    lite: Database, monkeypatch: pytest.MonkeyPatch, more: set[str]
) -> None:
    async with lab(lite, new=more, connections=1, batch_messages=8) as rig:
        for number in range(24):
            end = b"\0" if number in {5, 12} else b"x"
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number // 2, end))
        target = KeepsAndRefuses(rig, monkeypatch)
        result = await rig.run()
        assert target.refusals > 2
        assert (len(rig.skips()), result.clean) == (2, True)
        assert result.copied + result.already == 22
        kept = sorted(m.octets for m in rig.new.inbox.messages.values())
        assert kept == sorted(m.octets for m in rig.old.inbox.messages.values() if b"\0" not in m.octets)
        again = await rig.run()
        assert (again.copied, again.deleted, again.clean) == (0, 0, True)


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("words", [b"something broke", b"[SERVERBUG] something broke"])
async def test_a_message_that_was_kept_and_refused_is_not_sent_again(
    lite: Database, monkeypatch: pytest.MonkeyPatch, words: bytes
) -> None:
    async with lab(lite, new={"no_multiappend"}, connections=1, batch_messages=4) as rig:
        fill(rig, 9)

        def kept(_: object) -> None:
            if len(rig.new.inbox.messages) in {3, 7}:
                raise No(words.decode())

        monkeypatch.setattr(append_quirks, "kept", kept)
        for _ in range(3):
            result = await rig.run()
        assert (result.clean, rig.skips()) == (True, [])
        assert rig.unlike() == []
        appends = rig.commands(rig.target, "APPEND") or [
            c for c in rig.commands(rig.target, "") if " APPEND " in c
        ]
        assert len(appends) == 9


@pytest.mark.hazard("D7")
@pytest.mark.parametrize("status", [b"NO", b"BAD"])
async def test_a_message_that_is_refused_because_it_is_gone_is_vanished_and_not_skipped(
    lite: Database, monkeypatch: pytest.MonkeyPatch, status: bytes
) -> None:
    """`[EXPUNGEISSUED]` (RFC 5530) to a batch, then to the one message that somebody removed."""
    async with lab(lite, connections=1) as rig:
        fill(rig, 6)

        def removed(session: Any) -> None:
            asked = rig.commands(rig.source, "")[-1]
            words = re.search(r"UID FETCH (\d+)(?::(\d+))? .*BODY\.PEEK\[\]", asked)
            if words is not None and int(words[1]) <= 4 <= int(words[2] or words[1]):
                rig.old.inbox.remove([4])
                raise No("[EXPUNGEISSUED] Some messages were already expunged", status)

        monkeypatch.setattr(fetch_quirks, "throttled", removed)
        result = await rig.run()
        assert rig.old.inbox.messages.keys() == {1, 2, 3, 5, 6}
        assert any(" 4 (UID BODY.PEEK[])" in asked for asked in rig.commands(rig.source, ""))
        assert (result.copied, result.skipped, result.clean) == (5, 0, True)
        assert rig.skips() == []
        assert rig.unlike() == []
