"""Each behaviour of real source systems from the first login to the switch, and what heals by itself."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailferry.lab.behaviours import BEHAVIOURS
from mailferry.lab.certificates import make_certificates
from mailferry.model.account import Phase, State
from mailferry.model.causes import CAUSES, Answer, Cause
from mailferry.providers.loader import load_profiles
from mailferry.providers.sentences import advice, client_sentence
from tests.kit.clocked import WorldTime
from tests.kit.move import OLD, OTHER, USER, Move
from tests.life.conftest import Service
from tests.life.source_flows import FLOWS, HOUR, Flow
from tests.life.steps import MINUTE, letter

pytestmark = pytest.mark.deadline(120)

PECULIAR = (b"&ZeVThg-", b"Contacts")
"""Exchange's calendar and contacts."""


def lay(move: Move, flow: Flow) -> None:
    """Mail as people have it: some of it old, one message big, one with control characters and dots."""
    store = move.source.mailstore(USER)
    for number in range(3):
        letter(move.source, f"letter {number}")
    store.deliver(b"Subject: big\r\nMessage-ID: <big@x.test>\r\n\r\n" + (b"x" * 70 + b"\r\n") * 400)
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=90)
    store.deliver(b"Subject: old\r\n\r\n..dots and \x01\r\n", internal_date=old)
    if "imap" not in flow.protocols:
        return
    names = [b"Projects", b"Other\tname", "文件".encode("gb18030"), b'Two words \\ "three" ', b"&", *PECULIAR]
    for name in names if "list_no_separator" in flow.quirks else [*names, b"&UXZO1mWHTvZZOQ-/Ours"]:
        store.create(name)
        store.deliver(b"Subject: in %d\r\n\r\nHi\r\n" % len(name), mailbox=name)
    parent = store.find(b"&UXZO1mWHTvZZOQ-")
    if parent is not None:
        parent.selectable = False


def host(move: Move, flow: Flow) -> Any:
    return move.target if flow.at_target else move.source


def change_setting(move: Move, flow: Flow) -> None:
    """The provider, or whoever may do so there, changes what stood in the way."""
    host(move, flow).premises.quirks.difference_update(flow.quirks)


def left_out(flow: Flow) -> tuple[str, ...]:
    """Mailboxes that hold no mail."""
    return load_profiles()[flow.provider].skip_mailboxes


def arrived(move: Move, flow: Flow) -> bool:
    """Whether the target has all the mail, and each message once."""
    sides = (move.source.mailstore(USER).fingerprint(), move.target.mailstore(USER).fingerprint())
    mails = [[t for t in side.elements() if t.mailbox not in left_out(flow)] for side in sides]
    if flow.digests_alone:
        return Counter(t.sha256 for t in mails[0]) == Counter(t.sha256 for t in mails[1])
    old, new = (Counter(t[1:] for t in mail) for mail in mails)
    return old == new


def told(cause: Cause) -> tuple[Answer, str]:
    """What a mail program is told: the reason only where the password was judged."""
    answer = CAUSES[cause].answer
    return answer, client_sentence(cause if answer is Answer.REFUSED else Cause.UNKNOWN, "en")


async def log_in(move: Move, flow: Flow) -> None:
    """The user's first logins, up to the one that is let in."""
    if flow.wrong is not None:
        rejected = await move.rejected(OTHER, protocol=flow.protocol)
        assert (rejected.answer, rejected.text) == told(flow.wrong)
    if flow.refused is not None:
        rejected = await move.rejected(protocol=flow.protocol)
        assert (rejected.answer, rejected.text) == told(flow.refused)
        account = move.account()
        assert account is None or account.state is State.NOT_STARTED
        change_setting(move, flow)
        await move.time.advance(15 * MINUTE, step=MINUTE)
    await move.logout(await move.admitted(protocol=flow.protocol))


async def see_it_held(move: Move, flow: Flow) -> None:
    """The copy gets as far as the host lets it, and says what it waits for."""
    await move.copy()
    if flow.held is not None:
        await move.time.until(lambda: move.known().cause is flow.held, within=10 * MINUTE)
        shown = move.known()
        assert shown.state in {State.IN_PROGRESS, State.FAILED}
        assert shown.cause_text
        assert set(advice(flow.held)) == {"en", "zh"}
    if flow.hidden or flow.skipped:
        await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=30 * MINUTE, step=10.0)
        assert move.known().skipped == flow.skipped
        mail = [
            t for t in move.source.mailstore(USER).fingerprint().elements() if t.mailbox not in left_out(flow)
        ]
        assert move.target.mailstore(USER).count() == len(mail) - flow.hidden - flow.skipped


QUICK = {flow.provider: flow for flow in reversed(FLOWS)}
"""One flow of each profile is among the quick tests, the rest are slow ones."""


def named(flow: Flow) -> Any:
    quick = flow is QUICK[flow.provider] or "coremail_letter" in flow.quirks
    name = "-".join((*flow.quirks, flow.provider, flow.protocol.value))
    return pytest.param(flow, id=name, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("flow", [named(flow) for flow in FLOWS])
async def test_a_user_of_such_a_host_is_moved(
    service: Service, time: WorldTime, tmp_path: Path, flow: Flow
) -> None:
    move = await service(
        provider=flow.provider,
        source_protocols=flow.protocols,
        source_tls=make_certificates(tmp_path / "tls") if flow.tls else None,
        copy={"early_switch_after_hours": 0},
    )
    lay(move, flow)
    host(move, flow).premises.quirks.update(flow.quirks)
    for name, value in flow.premises.items():
        setattr(host(move, flow).premises, name, value)
    if flow.refused is not None and not flow.lifted:
        for password in (OLD, OTHER):
            rejected = await move.rejected(password, protocol=flow.protocol)
            assert (rejected.answer, rejected.text) == told(flow.refused)
        assert move.account() is None
        return
    await log_in(move, flow)
    await see_it_held(move, flow)
    if flow.lifted:
        change_setting(move, flow)
    await time.until(
        lambda: move.phase() is Phase.SWITCHED and arrived(move, flow),
        within=flow.within,
        step=max(30.0, flow.within / 200) if flow.within > 5 * MINUTE else None,
    )
    shown = move.known()
    assert (shown.state, shown.cause, shown.skipped) == (State.DONE, None, 0)


async def test_a_locked_account_waits_and_goes_on_when_the_lock_is_lifted(
    service: Service, time: WorldTime
) -> None:
    flow = Flow("aliyun_lock", ("aliyun_lock",), "aliyun_qiye")
    move = await service(provider=flow.provider)
    lay(move, flow)
    await log_in(move, flow)
    move.source.premises.quirks.add("aliyun_lock")
    move.source.premises.wrong_tries[USER] = 5  # somebody tried at the old host's own door
    await move.copy()
    await time.until(lambda: move.known().phase is Phase.BLOCKED, within=MINUTE)
    assert move.known().cause is Cause.BAD_CREDENTIALS, "the host says nothing else"
    assert (await move.rejected()).text == told(Cause.BAD_CREDENTIALS)[1]
    move.source.premises.wrong_tries.clear()
    await time.advance(15 * MINUTE, step=MINUTE)
    await move.logout(await move.admitted())
    await time.until(lambda: move.phase() is Phase.SWITCHED and arrived(move, flow), within=5 * MINUTE)


@pytest.mark.slow
@pytest.mark.parametrize("at_target", [False, True], ids=["source", "target"])
async def test_a_host_that_dies_at_each_command_in_turn_neither_loses_nor_doubles(
    service: Service, time: WorldTime, at_target: bool
) -> None:
    flow = Flow("restart_points", ("restart_points",), at_target=at_target)
    move = await service()
    lay(move, flow)
    await log_in(move, flow)
    host(move, flow).premises.quirks.add("restart_points")
    await move.copy()
    await time.until(
        lambda: move.phase() is Phase.SWITCHED and arrived(move, flow), within=2 * HOUR, step=30.0
    )
    assert host(move, flow).premises.spent["restart_points"] > 10


SPECIAL = {"aliyun_lock", "restart_points"}
"""Behaviours with a test of their own here."""
ELSEWHERE = {
    "pop3_no_last_line_end": "copying/test_pop3_pass.py",  # the octets that must come out of it are counted
    "pop3_no_stuffing": "copying/test_pop3_pass.py",
    "netease_unknown_user": "life/test_unknown_users.py",  # there is nobody to be moved
}


def test_every_behaviour_has_a_flow_and_every_quirk_of_it_too() -> None:
    played = {quirk for flow in FLOWS for quirk in flow.quirks} | SPECIAL
    assert [row.name for row in BEHAVIOURS if row.name not in {f.behaviour for f in FLOWS} | SPECIAL] == []
    unplayed = {quirk for row in BEHAVIOURS for quirk in row.quirks if quirk not in played}
    assert unplayed == set(ELSEWHERE)
    tests = Path(__file__).parents[1]
    assert [q for q, file in ELSEWHERE.items() if f'"{q}"' not in (tests / file).read_text()] == []
