"""A source that takes any password: what its users are told at the gate, and that nothing follows from its word (T21)."""

from __future__ import annotations

import pytest

from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase
from mailferry.model.causes import Answer
from mailferry.passwords.source_word import note_check
from mailferry.store import passwords
from mailferry.store.passwords import PasswordRecord
from tests.gate.conftest import MakeMove
from tests.kit.move import DOMAIN, OLD, OTHER, Move

pytestmark = [
    pytest.mark.deadline(60),
    pytest.mark.hazard("T21"),
    pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True),
]


def block(move: Move, *, refuses: bool = False) -> None:
    """Let it be known what the source does with a made-up password."""
    server = move.domain().source_imap
    assert server is not None
    move.database.run_now(
        "block", lambda conn: note_check(conn, DOMAIN, Protocol.IMAP, server, refuses=refuses, who="test")
    )
    assert move.domain().blocked is not refuses


def record(move: Move) -> PasswordRecord:
    return move.database.read_now("row", lambda conn: passwords.get(conn, move.known().id))


async def test_a_new_user_is_told_to_come_again_and_the_source_is_not_asked(begin: MakeMove) -> None:
    move = await begin()
    block(move)
    before = move.users.read_bytes()
    for octets in (OLD, b"anything"):
        assert (await move.rejected(octets)).answer is Answer.TEMPORARY
    await move.time.settle()
    assert not move.source.premises.records
    assert move.account() is None
    assert move.users.read_bytes() == before


async def test_who_has_a_password_at_the_target_is_served_there_and_nothing_begins(begin: MakeMove) -> None:
    move = await begin(target_hash="{PLAIN}" + OTHER.decode())
    block(move)
    admission = await move.admitted(OTHER)
    assert admission.side is Side.TARGET
    assert move.phase() in {None, Phase.IDLE}
    await move.logout(admission)


async def test_who_is_served_by_the_source_goes_on_and_no_password_is_taken_over(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted(OLD))
    await move.time.settle()
    block(move)
    known, before = record(move), move.users.read_bytes()
    object.__setattr__(move.source.premises.accounts["li@old.test"], "password", OTHER)
    admission = await move.admitted(OTHER)
    assert (admission.side, move.phase()) == (Side.SOURCE, Phase.PRECOPY)
    await move.logout(admission)
    await move.time.settle()
    assert (record(move), move.users.read_bytes()) == (known, before)

    block(move, refuses=True)  # the provider checks passwords again, and domain test saw it
    await move.logout(await move.admitted(OTHER))
    await move.time.settle()
    assert record(move).password_epoch == known.password_epoch + 1
    assert move.users.read_bytes() != before


async def test_a_moved_user_is_served_by_the_target_and_the_sources_word_changes_nothing(
    begin: MakeMove,
) -> None:
    move = await begin()
    await move.logout(await move.admitted(OLD))
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    block(move)
    known, before = record(move), move.users.read_bytes()
    asked = len(move.source.premises.records)
    object.__setattr__(move.source.premises.accounts["li@old.test"], "password", OTHER)
    assert (await move.rejected(OTHER)).answer is Answer.TEMPORARY, "nobody can say whether it is wrong"
    served = await move.admitted(OLD)
    assert served.side is Side.TARGET
    await move.logout(served)
    await move.time.settle()
    assert (record(move), move.users.read_bytes()) == (known, before)
    assert len(move.source.premises.records) == asked
