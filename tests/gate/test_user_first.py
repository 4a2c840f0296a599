"""The user comes first: the copier leaves the maildrop, or its connections, when a login needs them."""

from __future__ import annotations

import pytest

from mailferry.gate.admission import Rejected
from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase
from mailferry.store import sessions
from tests.gate.conftest import MakeMove
from tests.kit.move import USER, Move

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D20")]


def fill(move: Move, count: int) -> None:
    for number in range(count):
        move.source.mailstore(USER).deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))


def holding(move: Move, protocol: str) -> list[object]:
    """Return the sessions that stand at the source."""
    return [record for record in move.source.premises.logins(USER, protocol) if record.open]


@pytest.mark.parametrize("protocols", [("pop3",), ("imap", "pop3")], ids=["pop3 alone", "beside imap"])
async def test_a_login_that_meets_the_copiers_lock_has_the_maildrop_within_two_seconds(
    begin: MakeMove, protocols: tuple[str, ...]
) -> None:
    move = await begin(source_quirks=frozenset({"pop3_lock"}), source_protocols=protocols)
    fill(move, 30)
    await move.logout(await move.admitted(protocol=Protocol.POP3))
    # what the copier asks first and never gets an answer to, while it holds the lock
    move.source.premises.stalls_at = "RETR 5" if len(protocols) == 1 else "UIDL"
    await move.copy()
    await move.until(lambda: holding(move, "pop3"), within=30)
    began = move.time.seconds
    session = await move.admitted(protocol=Protocol.POP3)
    assert session.side is Side.SOURCE
    assert move.time.seconds - began <= 2.5
    assert len(holding(move, "pop3")) == 1, "the user's own"
    move.source.premises.stalls_at = None
    await move.time.advance(60)
    assert len(holding(move, "pop3")) == 1, "the copier waits until the user is done"
    assert move.known().failed_runs == 0
    await move.logout(session)
    await move.wait_for(Phase.SWITCHED)
    assert not move.unlike() or len(protocols) == 1
    assert len(move.target.mailstore(USER).inbox.messages) == 30


async def test_a_login_that_the_source_turns_away_makes_the_copier_give_its_connections_back(
    begin: MakeMove,
) -> None:
    move = await begin(source_quirks=frozenset({"dovecot_userip"}))
    fill(move, 30)
    await move.logout(await move.admitted())
    move.source.premises.stalls_at = "UIDL"
    move.source.premises.connection_limit = 2  # IMAP and POP3 of the copier's look at the maildrop
    await move.copy()
    await move.until(lambda: holding(move, "pop3"), within=30)
    began = move.time.seconds
    session = await move.admitted()
    assert move.time.seconds - began <= 2.5
    await move.time.advance(20)
    assert move.known().failed_runs == 0
    move.source.premises.stalls_at = None
    move.source.premises.connection_limit = 10
    await move.logout(session)
    await move.wait_for(Phase.SWITCHED)
    assert not move.unlike()


async def test_a_lock_of_somebody_else_is_answered_as_temporary_after_ten_seconds(begin: MakeMove) -> None:
    move = await begin(source_quirks=frozenset({"pop3_lock"}))
    fill(move, 3)
    await move.logout(await move.admitted())
    device = await move.admitted(protocol=Protocol.POP3)
    began = move.time.seconds
    second = await move.login(protocol=Protocol.POP3)
    assert isinstance(second, Rejected)
    assert second.answer.value == "temporary"
    assert 10 <= move.time.seconds - began <= 12
    await move.logout(device)


async def test_who_waits_stands_in_the_store_and_nowhere_else(begin: MakeMove) -> None:
    move = await begin(source_quirks=frozenset({"pop3_lock"}))
    device = await move.admitted(protocol=Protocol.POP3)
    account_id, read = move.known().id, move.database.read_now
    now = move.time.now()
    assert read("waiting", lambda conn: sessions.users_waiting(conn, [account_id], now)) == ([account_id], [])
    assert read("waiting", lambda conn: sessions.users_waiting(conn, [], now)) == ((), ())
    await move.login(protocol=Protocol.POP3)
    found = read("waiting", lambda conn: sessions.users_waiting(conn, [account_id], now))
    assert (list(found[0]), list(found[1])) == ([account_id], [account_id])
    assert read("free?", lambda conn: sessions.holds_maildrop(conn, account_id, now=now, seconds=5.0))
    await move.logout(device)
    later = move.time.now() + 60
    assert not read("free?", lambda conn: sessions.holds_maildrop(conn, account_id, now=later, seconds=5.0))
