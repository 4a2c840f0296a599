"""Copies that are read back: what a target alters is found in a sample, said, and never copied again for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mailferry.copying.read_back import chosen
from mailferry.copying.results import Waits
from mailferry.copying.verify import verify_account
from mailferry.copying.verify_findings import Difference, Fault
from mailferry.lab.mailstore import LabMailbox
from mailferry.store import remarks
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D26")]

Altering = Callable[[bytes], bytes]
MESSAGES = 400
HOW: dict[str, tuple[Altering, str]] = {
    "line ends": (lambda octets: octets.replace(b"\r\n", b"\n"), "line ends"),
    "a header of its own": (lambda octets: b"X-Scanned: yes\r\n" + octets, "text"),
    "another encoding": (
        lambda octets: octets.replace(b"8bit", b"quoted-printable").replace(b"\xe9", b"=E9"),
        "text",
    ),
    "8-bit letters": (lambda octets: octets.replace(b"\xe9", b"X"), "8-bit or NUL octets"),
}


def message(number: int) -> bytes:
    return b"Subject: %d\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9t\xe9 %d\r\n" % (number, number)


def let_the_target_alter(monkeypatch: pytest.MonkeyPatch, how: Altering) -> None:
    """The target keeps something else than what it is sent."""
    add = LabMailbox.add

    def altered(box: LabMailbox, octets: bytes, **more: Any) -> Any:
        return add(box, how(octets) if box.uidvalidity >= 9000 else octets, **more)

    monkeypatch.setattr(LabMailbox, "add", altered)


def remarked(rig: LabRig) -> list[tuple[bytes, int, str | None]]:
    found = rig.store.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
    return [(one.subject, one.number, one.detail) for one in found if one.kind is RemarkKind.ALTERED]


@pytest.mark.parametrize("share", [0.01, 1.0], ids=["1 %", "100 %"])
@pytest.mark.parametrize("how", HOW)
async def test_what_a_target_alters_is_found_and_said_and_never_copied_again(
    lite: Database, monkeypatch: pytest.MonkeyPatch, how: str, share: float
) -> None:
    altering, called = HOW[how]
    let_the_target_alter(monkeypatch, altering)
    async with lab(lite, protocols=frozenset({"imap"}), read_back=share) as rig:
        for number in range(MESSAGES):
            rig.old.deliver(message(number))
        first = await rig.run()
        assert (first.copied, first.clean) == (MESSAGES, True)
        assert first.altered == first.read_back
        assert first.read_back == MESSAGES if share == 1 else 1 <= first.read_back <= MESSAGES / 25
        assert remarked(rig) == [(b"INBOX", first.altered, called)]
        for _ in range(3):
            again = await rig.run()
            assert (again.copied, again.deleted, again.read_back, again.clean) == (0, 0, 0, True)
        assert len(rig.new.inbox.messages) == MESSAGES
        assert remarked(rig) == [(b"INBOX", first.altered, called)]
        told: list[Difference] = []
        await verify_account(rig.desk, rig.account_id, told.append, sample=share)
        await turn()
        assert {one.fault for one in told} == {Fault.BODY_DIFFERS}
        assert len(told) == MESSAGES or share < 1


async def test_a_target_that_keeps_what_it_is_sent_is_not_remarked(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"imap"}), read_back=1.0, messages=30) as rig:
        result = await rig.run()
        assert (result.read_back, result.altered, remarked(rig)) == (30, 0, [])


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_a_pass_that_ends_before_it_reads_back_leaves_that_to_the_next(
    lite: Database, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """A large mailbox takes many slices, of which the last may bring a few messages."""
    let_the_target_alter(monkeypatch, HOW["line ends"][0])
    async with lab(
        lite, protocols=frozenset({protocol}), read_back=1.0, batch_messages=1, connections=1
    ) as rig:
        for number in range(12):
            rig.old.deliver(message(number))
        desk = rig.desk
        rig.desk = replace(
            desk, must_wait=lambda: Waits(1.0, "others wait") if rig.new.inbox.messages else None
        )
        first = await rig.run()
        assert (first.read_back, first.waits is not None) == (0, True)
        assert 0 < first.copied < 12
        rig.desk = desk
        second = await rig.run()
        assert (second.read_back, second.altered, second.clean) == (12, 12, True)
        assert [number for _, number, _ in remarked(rig)] == [12]
        assert (await rig.run()).read_back == 0


@pytest.mark.parametrize(
    ("messages", "share", "least"), [(19, 0.0, 0), (20, 1e-9, 1), (400, 0.01, 1), (5, 1.0, 5)]
)
def test_of_twenty_messages_one_is_read_at_least(messages: int, share: float, least: int) -> None:
    marks = [(number, number * 2_654_435_761 % (1 << 32)) for number in range(1, messages + 1)]
    assert len(chosen(marks, share)) >= least
    assert chosen(marks, share) == chosen(marks, share) <= {uid for uid, _ in marks}
    assert share > 0 or not chosen(marks, share)
