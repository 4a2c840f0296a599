"""The guessing shield before a lab host: what reaches the source, and what is answered without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred

from mailferry.app.gate_building import make_penalty
from mailferry.gate.admission import LoginAttempt
from mailferry.gate.judges import Judgement
from mailferry.gate.penalty import Penalty
from mailferry.gate.place import find_place
from mailferry.gate.refusal_times import BEAT_SECONDS
from mailferry.model.access import Credentials, Protocol, Secret, Side
from mailferry.model.causes import Answer, Cause
from mailferry.observe import metrics
from mailferry.plan.routing import Outcome
from mailferry.roster import account_changes
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.faults import Held
from mailferry.store.schema import wrong_tries as table
from mailferry.wire.proxy_header import Endpoint
from tests.gate.conftest import MakeMove
from tests.kit.move import CLIENT, OLD, OTHER, USER, Move

pytestmark = [pytest.mark.deadline(30), pytest.mark.hazard("T29")]

HELD = (Outcome.UNAVAILABLE, Cause.RATE_LIMITED)
WRONG = (Outcome.REFUSED, Cause.BAD_CREDENTIALS)
STRANGER = "nobody@old.test"


async def asking(
    move: Move,
    password: bytes,
    *,
    name: str = USER,
    shield: Penalty | None = None,
    protocol: Protocol = Protocol.IMAP,
    client: Endpoint = CLIENT,
    **more: Any,
) -> Judgement:
    """Ask the source through the shield and close what it gives."""
    attempt = LoginAttempt(protocol, Credentials(name, Secret(password)), client, "test")
    place = await move.database.read("place", lambda conn: find_place(conn, name))
    assert place is not None
    judged = await (shield or move.penalty).ask_source(place, attempt, **more)
    if judged.session is not None:
        judged.session.carrier.abort()
    return judged


async def ask(move: Move, password: bytes, **more: Any) -> Judgement:
    """The same, while the time passes that it takes."""
    return await move.done(asking(move, password, **more))


async def spray(move: Move, guesses: Sequence[bytes], **more: Any) -> list[tuple[Outcome, Cause | None]]:
    """Ask for all of them at once."""
    return await move.done(spraying(move, guesses, **more))


async def spraying(move: Move, guesses: Sequence[bytes], **more: Any) -> list[tuple[Outcome, Cause | None]]:
    asked = [Deferred.fromCoroutine(asking(move, guess, **more)) for guess in guesses]
    said = [(one.outcome, one.cause) for one in await defer.gatherResults(asked)]
    await move.penalty.settled()
    return said


def guesses(count: int) -> list[bytes]:
    return [b"guess %d" % number for number in range(count)]


def asked(move: Move) -> int:
    """How many connections the source has seen."""
    return len(move.source.premises.records)


def held_in_metrics() -> float:
    for line in metrics.render().decode().splitlines():
        name, _, value = line.partition(" ")
        if name == metrics.GUESSES_HELD.name:
            return float(value)
    return 0.0


def tries(move: Move) -> list[Any]:
    return list(move.database.read_now("tries", lambda conn: conn.execute(table.select()).all()))


async def first_login(move: Move) -> None:
    await move.logout(await move.admitted())
    await move.parts.keeper.settled()
    await move.penalty.settled()


async def test_two_hundred_guesses_at_once_reach_the_source_five_times(begin: MakeMove) -> None:
    move = await begin()
    said = await spray(move, guesses(200))
    assert asked(move) == 5
    assert sorted(set(said)) == sorted({HELD, WRONG})
    assert said.count(WRONG) == 5


async def test_one_guess_after_the_other_reaches_the_source_five_times(begin: MakeMove) -> None:
    move = await begin()
    before = held_in_metrics()
    said = [await ask(move, guess) for guess in guesses(20)]
    assert [(one.outcome, one.cause) for one in said] == [WRONG] * 5 + [HELD] * 15
    assert asked(move) == 5
    assert held_in_metrics() == before + 15


async def test_an_account_nobody_knows_is_counted_as_well(begin: MakeMove) -> None:
    move = await begin()
    said = await spray(move, guesses(40), name=STRANGER)
    assert (asked(move), said.count(HELD)) == (5, 35)
    assert move.account(STRANGER) is None


async def test_all_processes_share_the_limit(begin: MakeMove) -> None:
    move = await begin()
    others = [make_penalty(move.parts, move.proxy.gate.judges) for _ in range(3)]
    both = [spraying(move, guesses(30), shield=other) for other in others]
    said = await move.done(defer.gatherResults([Deferred.fromCoroutine(one) for one in both]))
    for other in others:
        await other.settled()
    assert asked(move) == 5
    assert sum(one.count(HELD) for one in said) >= 3 * 30 - 3 * 5


async def test_the_owners_good_password_works_during_the_spray(begin: MakeMove) -> None:
    move = await begin()
    await first_login(move)
    before = asked(move)
    attack = Deferred.fromCoroutine(spraying(move, guesses(100)))
    for _ in range(4):
        assert (await ask(move, OLD)).outcome is Outcome.ACCEPTED
    await move.done(attack)
    for _ in range(4):
        assert (await ask(move, OLD)).outcome is Outcome.ACCEPTED
    assert asked(move) == before + 5 + 8
    assert len(tries(move)) == 5


async def test_a_good_password_without_its_sealed_form_is_known_by_its_verifier(begin: MakeMove) -> None:
    move = await begin()
    await first_login(move)
    account = move.account()
    assert account is not None
    move.parts.keyring.destroy(account.domain, move.domain().window_number)
    await spray(move, guesses(6))
    assert (await ask(move, OLD)).outcome is Outcome.ACCEPTED
    assert (await ask(move, b"one more guess")).cause is Cause.RATE_LIMITED


async def test_a_device_that_repeats_one_old_password_costs_one_try(begin: MakeMove) -> None:
    move = await begin()
    said = await spray(move, [b"old"] * 12) + await spray(move, [b"old"] * 12, protocol=Protocol.POP3)
    assert said == [WRONG] * 24
    assert (asked(move), len(tries(move))) == (1, 1)
    assert (await ask(move, OLD)).outcome is Outcome.ACCEPTED


async def test_a_known_password_that_was_changed_at_the_source_is_asked_once_and_counts_nowhere(
    begin: MakeMove,
) -> None:
    move = await begin()
    await first_login(move)
    before = asked(move)
    object.__setattr__(move.source.premises.accounts[USER], "password", OTHER)
    assert (await ask(move, OLD)).cause is Cause.BAD_CREDENTIALS
    await move.penalty.settled()
    assert await spray(move, [OLD] * 8) == [WRONG] * 8
    assert asked(move) == before + 1
    assert await spray(move, guesses(4)) == [WRONG] * 4
    assert (await ask(move, OTHER)).outcome is Outcome.ACCEPTED


async def test_a_known_password_is_unseen_under_another_name_at_the_source(begin: MakeMove) -> None:
    move = await begin()
    await first_login(move)
    place = await move.database.read("place", lambda conn: find_place(conn, USER))
    assert place is not None
    assert place.account is not None
    other = replace(place, account=replace(place.account, source_login="boss@old.test"))
    attempt = LoginAttempt(Protocol.IMAP, Credentials(USER, Secret(OLD)), CLIENT, "test")
    assert (await move.penalty.ask_source(other, attempt)).cause is Cause.BAD_CREDENTIALS
    await move.penalty.settled()
    assert len(tries(move)) == 1


async def test_many_first_logins_at_once_with_a_good_password_all_pass(begin: MakeMove) -> None:
    move = await begin()
    said = await spray(move, [OLD] * 8)
    assert said == [(Outcome.ACCEPTED, None)] * 8
    assert tries(move) == []


async def test_the_source_as_a_whole_has_a_limit_too(begin: MakeMove) -> None:
    move = await begin(shield={"wrong_per_source_minute": 7})
    said = []
    for number in range(12):
        stranger = Endpoint(f"192.0.2.{number}", 40000)
        judged = await ask(move, b"spring2024", name=f"user{number}@old.test", client=stranger)
        said.append(judged.outcome)
    assert (asked(move), said.count(Outcome.UNAVAILABLE)) == (6, 6)  # the seventh is kept for known networks


async def test_a_good_password_passes_a_source_that_is_at_its_limit(begin: MakeMove) -> None:
    move = await begin(shield={"wrong_per_source_minute": 2})
    await first_login(move)
    await spray(move, guesses(3), name=STRANGER)
    assert (await ask(move, b"unseen")).cause is Cause.RATE_LIMITED
    assert (await ask(move, OLD)).outcome is Outcome.ACCEPTED


async def test_after_a_retry_the_next_try_is_asked_again(begin: MakeMove) -> None:
    move = await begin()
    await first_login(move)
    await spray(move, guesses(9))
    before = asked(move)
    account_changes.retry(move.database, USER, who="test")
    assert (await ask(move, b"guess 0")).cause is Cause.BAD_CREDENTIALS
    assert (await ask(move, b"unseen")).cause is Cause.BAD_CREDENTIALS
    assert asked(move) == before + 2


async def test_a_retry_that_has_nothing_else_to_do_forgets_the_tries_too(begin: MakeMove) -> None:
    move = await begin()
    account_changes.mark_local(move.database, USER, who="test")
    await spray(move, guesses(5))
    with pytest.raises(RosterRefusal):
        account_changes.retry(move.database, USER, who="test")
    assert (await ask(move, OLD)).outcome is Outcome.ACCEPTED


async def test_what_could_not_be_asked_never_counts(begin: MakeMove) -> None:
    move = await begin()
    move.source.premises.quirks.add("greeting_bye")
    said = await spray(move, guesses(12))
    assert {outcome for outcome, _ in said} == {Outcome.UNAVAILABLE}
    assert tries(move) == []
    move.source.premises.quirks.discard("greeting_bye")
    assert (await ask(move, b"guess 0")).cause is Cause.BAD_CREDENTIALS


async def test_an_ambiguous_refusal_counts_but_is_not_remembered(begin: MakeMove) -> None:
    move = await begin(source_quirks=frozenset({"tencent_five_causes"}))
    said = [(await ask(move, b"the same")).cause for _ in range(7)]
    assert said == [Cause.AMBIGUOUS_REFUSAL] * 5 + [Cause.RATE_LIMITED] * 2
    assert asked(move) == 5


async def test_a_guess_whose_client_leaves_before_the_answer_counts(begin: MakeMove) -> None:
    move = await begin()
    for guess in guesses(9):
        question = Deferred.fromCoroutine(asking(move, guess))
        seen = asked(move)
        await until(lambda seen=seen, question=question: asked(move) > seen or question.called)
        question.addErrback(lambda failure: failure.trap(defer.CancelledError))
        question.cancel()
        await question
        await move.penalty.settled()
    assert asked(move) == 5
    assert {one.cause for one in tries(move)} <= {Cause.UNKNOWN.value, Cause.BAD_CREDENTIALS.value}


async def test_a_login_that_is_held_before_it_dials_costs_no_try(begin: MakeMove) -> None:
    move = await begin()

    async def held() -> None:
        raise Held(0.0, 0.0)

    with pytest.raises(Held):
        await ask(move, b"guess", before=held)
    await move.penalty.settled()
    assert (asked(move), tries(move)) == (0, [])


async def test_nothing_readable_is_stored(begin: MakeMove) -> None:
    move = await begin()
    await ask(move, b"a very readable guess")
    await ask(move, b"a very readable guess", name=STRANGER)
    await move.penalty.settled()
    one, other = tries(move)
    assert (len(one.account_key), len(one.password_key)) == (16, 16 + 8)
    assert one.account_key != other.account_key
    assert one.password_key != other.password_key
    assert not any(word in repr((one, other)) for word in ("readable", "nobody", "li@", "old.test"))


# --- through the gate


async def until(condition: Any) -> None:
    from twisted.internet import reactor, task

    while not condition():
        await task.deferLater(reactor, 0.005, lambda: None)


async def test_the_gate_answers_guesses_with_the_same_words_in_the_same_time(begin: MakeMove) -> None:
    move = await begin(shield={"wrong_per_account": 2})
    first = await move.rejected(b"guess 0")
    began = move.time.seconds
    both = [move.admit(b"guess 0"), move.admit(b"guess 0", name=STRANGER)]
    again, unknown = await move.done(defer.gatherResults(both))
    assert move.time.seconds - began == BEAT_SECONDS
    assert again == unknown == first
    assert first.answer is Answer.REFUSED
    assert asked(move) == 2
    await move.rejected(b"guess 1")
    held = await move.rejected(b"guess 2")
    await move.source.stop()
    assert held == await move.rejected(b"guess 0", name="other@old.test")
    assert held.answer is Answer.TEMPORARY


async def test_the_target_is_asked_though_the_source_is_shielded(begin: MakeMove) -> None:
    move = await begin(target_hash="{PLAIN}" + OTHER.decode())
    await spray(move, guesses(5))
    before = asked(move)
    admission = await move.admitted(OTHER)
    assert (admission.side, asked(move)) == (Side.TARGET, before)
    assert move.account() is None
    await move.logout(admission)
