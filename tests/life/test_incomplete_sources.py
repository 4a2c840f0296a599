"""Sources that do not show everything, on the clock: the flip waits, and goes on by itself once they do."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mailferry.model.access import Secret
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Cause
from mailferry.roster import account_changes
from mailferry.store import accounts, mailboxes, skipped
from tests.kit.move import DOMAIN, OLD, USER, Move
from tests.life.conftest import Service
from tests.life.steps import DAY, HOUR, MINUTE, logged_in_once, source_logins

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D25")]


def fill(move: Move) -> None:
    for number in range(3):
        octets = b"Subject: %d\r\n\r\n%s\r\n" % (number, b"body " * 1000)
        move.source.mailstore(USER).deliver(octets)


def waits(move: Move) -> bool:
    return move.known().cause is Cause.INCOMPLETE


async def test_bodies_that_the_provider_restores_on_the_second_day_come_by_themselves_and_the_account_moves(
    service: Service,
) -> None:
    move = await service(source_quirks=frozenset({"header_only"}), provider="net263")
    fill(move)
    await logged_in_once(move)
    await move.copy()
    await move.until(lambda: waits(move))
    account = move.known()
    assert (account.phase, account.copied, account.skipped, account.completeness) == (
        Phase.PRECOPY, 0, 3, "poor",
    )  # fmt: skip
    assert account.cause_text == "INBOX: 3 messages came without their bodies"
    assert len(move.target.mailstore(USER).inbox.messages) == 3, "kept for want of better"
    await move.time.advance(26 * HOUR, step=26 * HOUR / 4)
    assert waits(move)
    assert len(move.target.mailstore(USER).inbox.messages) == 3
    move.source.premises.quirks.discard("header_only")
    await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=3 * DAY, step=6 * HOUR)
    assert not move.unlike()
    assert move.known().skipped == 0


async def test_a_header_of_a_message_that_pop3_alone_shows_is_no_copy_and_the_rest_comes_by_itself(
    service: Service,
) -> None:
    quirks = frozenset({"imap_window_30d", "pop3_header_only"})
    move = await service(source_quirks=quirks, provider="net263")
    fill(move)
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=90)
    octets = b"Subject: old\r\n\r\n%s\r\n" % (b"body " * 1000)
    move.source.mailstore(USER).deliver(octets, internal_date=old)
    await logged_in_once(move)
    await move.copy()
    await move.until(lambda: waits(move))
    account = move.known()
    assert (account.phase, account.copied, account.skipped, account.completeness) == (
        Phase.PRECOPY, 3, 1, "poor",
    )  # fmt: skip
    assert "(POP3 only): 1 messages came without their bodies" in (account.cause_text or "")
    assert len(move.target.mailstore(USER).inbox.messages) == 4, "its header is kept for want of better"
    await move.time.advance(DAY, step=6 * HOUR)
    for _ in range(3):
        await move.time.advance(5 * MINUTE, step=MINUTE)
        assert (waits(move), move.known().completeness) == (True, "poor"), "between two looks as well"
    assert move.known().copied == 3

    move.source.premises.quirks.discard("pop3_header_only")
    await move.time.until(lambda: move.known().copied == 4, within=3 * DAY, step=6 * HOUR)
    await move.time.advance(HOUR, step=10 * MINUTE)
    assert (waits(move), move.known().completeness) == (True, "suspect"), "IMAP still hides it"
    move.source.premises.quirks.discard("imap_window_30d")
    await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=3 * DAY, step=6 * HOUR)
    held = Counter(t.sha256 for t in move.target.mailstore(USER).fingerprint().elements())
    assert held == Counter(t.sha256 for t in move.source.mailstore(USER).fingerprint().elements())


async def test_an_administrator_may_take_what_there_is_and_the_rest_still_comes_later(
    service: Service,
) -> None:
    move = await service(source_quirks=frozenset({"header_only"}), provider="net263")
    fill(move)
    await logged_in_once(move)
    await move.copy()
    await move.until(lambda: waits(move))
    account_changes.approve(move.database, USER, who="test")
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=HOUR)
    rows = move.database.read_now("skips", lambda conn: skipped.listing(conn, move.known().id))
    assert {row.reason for row in rows} == {"header_only_at_source"}
    move.source.premises.quirks.discard("header_only")
    await move.time.until(lambda: not move.unlike(), within=3 * DAY, step=6 * HOUR)
    kept = move.database.read_now("kept", lambda conn: mailboxes.incomplete(conn, move.known().id))
    assert list(kept) == [b"INBOX"]


@pytest.mark.parametrize("at_target", [False, True], ids=["source", "target"])
async def test_an_account_whose_mail_is_refused_in_masses_is_not_switched_before_somebody_says_so(
    service: Service, at_target: bool
) -> None:
    """Whoever refuses: the account would be done with nothing copied, and nobody would know."""
    move = await service()
    fill(move)
    host = move.target if at_target else move.source
    host.premises.append_limit = 100
    host.premises.quirks.add("append_limit" if at_target else "fetch_refused")
    await logged_in_once(move)
    await move.copy()
    await move.until(lambda: move.known().cause is not None)
    await move.time.advance(HOUR, step=50.0)
    account = move.known()
    assert (account.phase, account.copied, account.skipped) == (Phase.PRECOPY, 0, 3)
    assert (account.cause, account.completeness, account.cause_text) == (
        (Cause.TARGET_REFUSES_MAIL, "suspect", "the target refuses 3 of 3 messages")
        if at_target
        else (Cause.BODIES_REFUSED, "poor", "the source lists 3 of 3 messages and does not give them")
    )
    account_changes.approve(move.database, USER, who="test")
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=HOUR)
    assert move.known().skipped == 3, "approved, not forgotten"


async def test_a_few_bad_messages_among_many_hold_nobody(service: Service) -> None:
    move = await service(source_quirks=frozenset({"fetch_refused"}))
    move.source.premises.troubled = frozenset({1, 2})
    fill(move)
    await logged_in_once(move)
    await move.copy()
    await move.until(lambda: move.phase() is Phase.SWITCHED)
    assert (move.known().skipped, move.known().completeness) == (2, "good")


async def test_an_imported_account_is_copied_before_the_dns_changes_and_nothing_comes_twice(
    service: Service,
) -> None:
    """Nothing is set and nothing is switched, for days; then its user logs in through us."""
    move = await service()
    fill(move)
    move.database.run_now("import", lambda conn: accounts.ensure(conn, USER, DOMAIN))
    account_changes.password(move.database, move.parts.keyring, USER, Secret(OLD), who="test")
    users = move.users.read_bytes()
    await move.copy()
    await move.until(lambda: move.known().copied == 3)
    move.source.mailstore(USER).deliver(b"Subject: while it waits\r\n\r\nx\r\n")
    await move.time.advance(2 * DAY, step=8 * HOUR)
    account = move.known()
    assert (account.phase, account.trigger, account.copied) == (Phase.PRECOPY, Trigger.IMPORT, 4)
    assert move.users.read_bytes() == users
    began = account.first_trigger_at
    await logged_in_once(move)
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=HOUR)
    assert move.users.read_bytes() != users
    assert not move.unlike()
    assert len(move.target.mailstore(USER).inbox.messages) == 4
    account = move.known()
    assert (account.trigger, account.first_trigger_at) == (Trigger.IMPORT, began), "fixed for ever"
    assert source_logins(move) > 0


async def test_somebody_who_still_uses_the_old_host_directly_is_noticed(service: Service) -> None:
    move = await service(source_quirks=frozenset({"header_only"}))
    fill(move)
    move.source.mailstore(USER).deliver(b"Subject: no body\r\n\r\n")
    await logged_in_once(move)
    await move.copy()
    await move.until(lambda: waits(move))
    await move.time.advance(2 * HOUR, step=HOUR)
    assert move.known().bypass_changes == 0, "our own session is no bypass"
    move.source.mailstore(USER).inbox.remove([4])
    await move.until(lambda: move.known().bypass_changes == 1, within=HOUR)
    assert move.known().bypass_last_at is not None
