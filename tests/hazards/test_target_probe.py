"""What `check` finds out about a target: at real servers of every make, and at one that loses, alters and lies."""

from __future__ import annotations

import imaplib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mailferry.app.checking import Line, Sign, about_target
from mailferry.copying.target_probe import NAME, PLAIN, SAMPLES, Kept, probe_target
from mailferry.lab import append_quirks, imap_append
from mailferry.lab.host import LabHost
from mailferry.lab.imap_session import No
from mailferry.lab.mailstore import LabMailbox, Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.causes import Refused, Unavailable
from mailferry.remote.imap_client import ImapClient
from tests.copying.rig import OLD, PASSWORD, endpoints, turn
from tests.hazards.targets import TARGETS, Target
from tests.kit import peers
from tests.kit.fault_relay import FR, Fault, Kind
from tests.kit.imap_reading import read_imap

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D26"), pytest.mark.hazard("D10")]

Opening = Callable[[], Awaitable[ImapClient]]
REFUSED_AS = {"NUL": "NUL", "line feeds": "bare line feeds", "empty": "no octets", "header": "no header"}
"""What the table of targets calls it, and what the probe does."""
AT_ONCE = {"dovecot", "dovecot without UIDPLUS", "bare dovecot", "cyrus"}
"""Tried each time; the others with the slow tests."""


def opening_at(port: int) -> Opening:
    from twisted.internet import reactor

    return endpoints(reactor, {}, {"imap": port}).target_imap


@pytest.fixture(
    params=[
        pytest.param(one, id=one.name, marks=() if one.name in AT_ONCE else pytest.mark.slow)
        for one in TARGETS
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


def mailboxes(port: int) -> list[str]:
    with imaplib.IMAP4("127.0.0.1", port) as session:
        session.login(OLD, PASSWORD)
        return [line.decode() for line in session.list()[1] if isinstance(line, bytes)]


async def test_each_make_of_target_is_known_for_what_it_is_and_nothing_stays(
    target: Target, peer: Any
) -> None:
    before = await peers.in_thread(mailboxes, peer.ports["imap"])
    traits = await probe_target(opening_at(peer.ports["imap"]), b"0123456789ab")
    assert set(traits.kinds(Kept.REFUSED)) == {REFUSED_AS[odd] for odd in target.refuses}
    altered = {
        sample.kind
        for sample in SAMPLES
        if traits.kept[sample.kind] is not Kept.REFUSED and target.keeps(sample.octets) != sample.octets
    }
    assert set(traits.kinds(Kept.ALIKE)) == altered
    assert traits.kinds(Kept.OTHER, Kept.LOST) == []
    assert traits.exactly_once
    assert traits.tells_uids == ("UIDPLUS" in traits.extensions)
    assert (traits.keeps_flags, traits.keeps_keywords, traits.keeps_dates) == (True, True, True)
    assert traits.left is None
    assert await peers.in_thread(mailboxes, peer.ports["imap"]) == before
    assert not await peers.in_thread(read_imap, peer.ports["imap"], OLD, PASSWORD)


# --- a target that does not


class Lab:
    """A lab host as the target; `opening` opens sessions of the account."""

    def __init__(self, host: LabHost) -> None:
        self.host = host
        self.opening = opening_at(host.imap_port)

    @property
    def names(self) -> list[bytes]:
        return [box.name for box in self.host.mailstore(OLD)]

    async def lines(self) -> dict[str, list[Line]]:
        found: dict[str, list[Line]] = {}
        for line in about_target(await probe_target(self.opening, b"0123456789ab")):
            found.setdefault(line.what, []).append(line)
        return found


async def with_lab(work: Callable[[Lab], Awaitable[None]], *quirks: str) -> None:
    from twisted.internet import reactor

    host = LabHost(
        reactor, "new", accounts={OLD: LabAccount(PASSWORD.encode(), Mailstore())}, quirks=set(quirks)
    )
    await host.start()
    try:
        lab = Lab(host)
        before = lab.names
        await work(lab)
        assert lab.names == before, "our mailbox stayed"
    finally:
        await turn()
        await host.stop()
        await turn()


async def test_a_target_that_keeps_everything_is_well() -> None:
    async def work(lab: Lab) -> None:
        found = await lab.lines()
        assert {line.sign for lines in found.values() for line in lines} == {Sign.WELL}
        assert set(found) == {"target.octets", "target.exactly_once", "target.flags"}

    await with_lab(work)


async def test_what_it_does_not_keep_of_flags_is_said() -> None:
    async def work(lab: Lab) -> None:
        (line,) = (await lab.lines())["target.flags"]
        assert (line.sign, line.found) == (Sign.NOTE, "does not keep keywords")

    await with_lab(work, "no_keywords", "no_multiappend", "no_uidplus")


@pytest.mark.parametrize(
    ("change", "became"),
    [
        (lambda octets: b"X-Checked: yes\r\n" + octets, Kept.OTHER),
        (lambda octets: octets.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r"), Kept.ALIKE),
    ],
    ids=["a header of its own", "line ends"],
)
async def test_a_target_that_alters_messages_is_told_by_whether_a_crash_would_double_them(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes], became: Kept
) -> None:
    adds = LabMailbox.add
    monkeypatch.setattr(LabMailbox, "add", lambda box, octets, **more: adds(box, change(octets), **more))

    async def work(lab: Lab) -> None:
        traits = await probe_target(lab.opening, b"0123456789ab")
        assert traits.kept["bare line feeds"] is became
        assert traits.exactly_once is (became is Kept.ALIKE)
        found = await lab.lines()
        assert found["target.octets"][0].sign is Sign.NOTE
        assert found["target.exactly_once"][0].sign is (Sign.WELL if became is Kept.ALIKE else Sign.NOTE)

    await with_lab(work)


async def test_a_target_that_removes_duplicates_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    adds = LabMailbox.add

    def once(box: LabMailbox, octets: bytes, **more: Any) -> Any:
        same = [message for message in box.messages.values() if message.octets == octets]
        return same[0] if same else adds(box, octets, **more)

    monkeypatch.setattr(LabMailbox, "add", once)

    async def work(lab: Lab) -> None:
        found = await lab.lines()
        assert Sign.FAULT in {line.sign for line in found["target.octets"]}

    await with_lab(work)


async def test_a_target_that_acknowledges_and_keeps_nothing_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adds = LabMailbox.add

    def forgetful(box: LabMailbox, octets: bytes, **more: Any) -> Any:
        message = adds(box, octets, **more)
        if b"\0" in octets:
            box.remove([message.uid])
        return message

    monkeypatch.setattr(LabMailbox, "add", forgetful)

    async def work(lab: Lab) -> None:
        traits = await probe_target(lab.opening, b"0123456789ab")
        assert traits.kinds(Kept.LOST) == ["NUL"]
        assert (await lab.lines())["target.octets"][0].sign is Sign.FAULT

    await with_lab(work)


async def test_wrong_places_told_by_appenduid_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    tells = imap_append.uid_ranges
    monkeypatch.setattr(imap_append, "uid_ranges", lambda uids: tells([uid + 1 for uid in uids]))

    async def work(lab: Lab) -> None:
        signs = [line.sign for line in (await lab.lines())["target.exactly_once"]]
        assert Sign.FAULT in signs

    await with_lab(work)


async def test_a_target_that_refuses_everything_is_a_fault_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise No("[OVERQUOTA] Quota exceeded")

    monkeypatch.setattr(append_quirks, "check", full)

    async def work(lab: Lab) -> None:
        line = (await lab.lines())["target.octets"][0]
        assert line.sign is Sign.FAULT
        assert PLAIN in line.found
        assert "Quota exceeded" in line.found

    await with_lab(work)


@pytest.mark.parametrize("at", [400, 2_000, 60_000])
async def test_a_connection_that_breaks_leaves_no_mailbox_behind(at: int) -> None:
    async def work(lab: Lab) -> None:
        relay = await FR(lab.host.imap_port, Fault(Kind.CUT, "to_server", at, 0)).start()
        with pytest.raises(Unavailable):
            await probe_target(opening_at(relay.port), b"0123456789ab")
        assert relay.struck
        await relay.stop()

    await with_lab(work)


async def test_a_mailbox_of_that_name_is_not_touched() -> None:
    async def work(lab: Lab) -> None:
        store = lab.host.mailstore(OLD)
        store.create(NAME + b"0123456789ab")
        with pytest.raises(Refused):
            await probe_target(lab.opening, b"0123456789ab")
        assert NAME + b"0123456789ab" in lab.names
        store.delete(NAME + b"0123456789ab")

    await with_lab(work)
