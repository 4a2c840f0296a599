"""A source that lets nobody in while an account is copied, and later does: the next login lets the copy go on."""

from __future__ import annotations

import pytest

from mailferry.model.access import Protocol
from mailferry.model.account import Phase, State
from mailferry.model.causes import CAUSES, Cause
from mailferry.roster import accounts as roster
from tests.kit.move import USER, Move
from tests.life.conftest import Service
from tests.life.steps import MINUTE, fill, logged_in_once, source_logins

pytestmark = pytest.mark.deadline(120)

DOORS = {
    "imap-off": ("gmail_imap_off", "gmail", Cause.PROTOCOL_DISABLED),
    "expired": ("netease_expired", "netease_qiye", Cause.EXPIRED),
    "referral": ("zimbra_referral", "zimbra", Cause.PERMISSION),
}


@pytest.mark.parametrize(
    ("quirk", "provider", "cause"), [pytest.param(*door, id=key) for key, door in DOORS.items()]
)
async def test_a_copy_that_found_the_door_shut_goes_on_by_itself_after_the_setting_was_changed(
    service: Service, quirk: str, provider: str, cause: Cause
) -> None:
    move = await service(provider=provider)
    fill(move)
    await logged_in_once(move)
    move.source.premises.quirks.add(quirk)
    await move.copy()
    await move.until(lambda: move.phase() is Phase.BLOCKED, within=MINUTE)
    shown = roster.show(move.database, USER)["last_run"]
    assert (move.known().state, move.known().cause) == (State.FAILED, cause)
    assert (shown["who_must_act"], set(shown["advice"])) == (CAUSES[cause].actor.value, {"en", "zh"})
    asked = source_logins(move)
    await move.time.advance(30 * MINUTE, step=10 * MINUTE)
    assert source_logins(move) == asked, "somebody must act, so nobody asks"
    rejected = await move.rejected()
    assert rejected.cause is cause
    assert move.phase() is Phase.BLOCKED

    move.source.premises.quirks.discard(quirk)
    await logged_in_once(move)
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE)
    assert (move.known().cause, move.unlike()) == (None, False)


def knocks(move: Move) -> int:
    """How often the source's IMAP was dialled."""
    return sum(record.protocol == "imap" for record in move.source.premises.records)


async def test_who_reads_over_pop3_does_not_have_the_shut_imap_tried_with_each_look(service: Service) -> None:
    """A mail program looks every minute, and providers count logins that they refuse."""
    move = await service(provider="gmail")
    fill(move)
    await logged_in_once(move)
    move.source.premises.quirks.add("gmail_imap_off")
    await move.copy()
    await move.until(lambda: move.phase() is Phase.BLOCKED, within=MINUTE)
    before = knocks(move)
    for _ in range(4):
        await move.logout(await move.admitted(protocol=Protocol.POP3))
        await move.time.advance(MINUTE)
    assert knocks(move) - before <= 1
    move.source.premises.quirks.discard("gmail_imap_off")
    await move.time.advance(15 * MINUTE, step=5 * MINUTE)
    await move.logout(await move.admitted(protocol=Protocol.POP3))
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE)
    assert not move.unlike()
