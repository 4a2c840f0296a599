"""A source that takes a made-up password proves nothing: its domain is blocked by itself (T21)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from mailferry.model.access import Protocol, Secret
from mailferry.model.account import Phase
from mailferry.model.causes import Answer, Cause, Refused, Unavailable
from mailferry.passwords import source_word
from mailferry.passwords.source_word import note_check
from mailferry.store import audit, domains, source_checks
from mailferry.store.accounts import Account
from mailferry.store.domains import Domain
from tests.passwords.world import World

pytestmark = pytest.mark.deadline(60)


@dataclass
class Source:
    """What the source does with a made-up password."""

    says: Exception | None = field(default_factory=lambda: Refused(Cause.BAD_CREDENTIALS, "no"))
    tried: list[tuple[str, Protocol]] = field(default_factory=list)

    async def try_made_up(self, account: Account, domain: Domain, protocol: Protocol) -> None:
        self.tried.append((account.address, protocol))
        if self.says is not None:
            raise self.says


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def world(world: World, source: Source) -> Iterator[World]:
    world.try_made_up = source.try_made_up
    world.keeper = world.fresh_keeper()
    return world


async def test_the_first_push_of_a_domain_tries_one_made_up_password(world: World, source: Source) -> None:
    account = world.account()
    await world.login_before_flip(account, b"one")
    await world.settled()
    await world.login_before_flip(account, b"two")
    await world.settled()
    assert world.target_takes(b"two")
    assert source.tried == [(account.address, Protocol.IMAP)]
    world.keeper = world.fresh_keeper()  # another process reads what was found out
    await world.login_before_flip(account, b"three")
    await world.settled()
    assert world.target_takes(b"three")
    assert len(source.tried) == 1
    (check,) = world.store.read_now("checks", lambda conn: source_checks.current(conn, "a.test"))
    assert (check.protocol, check.server, check.refuses) == (Protocol.IMAP, "imaps://old.test", True)


@pytest.mark.hazard("T21")
@pytest.mark.parametrize("phase", [Phase.PRECOPY, Phase.IDLE, Phase.SWITCHED])
async def test_a_source_that_takes_it_blocks_the_domain_and_nothing_is_set(
    world: World, source: Source, phase: Phase
) -> None:
    account = world.account(phase)
    source.says = None
    if phase is Phase.PRECOPY:
        await world.login_before_flip(account, b"anything")
        await world.settled()
    else:
        trust = await world.login_after_flip(account, b"anything")
        assert (trust.in_place, trust.answer, trust.cause) == (
            False,
            Answer.TEMPORARY,
            Cause.SOURCE_TAKES_ANY_PASSWORD,
        )
    assert world.domain.blocked
    assert world.target_takes(b"first")
    record = world.record(account)
    assert (record.sealed, record.verifier, record.verified_at) == (None, None, None)
    log = world.store.read_now("audit", lambda conn: audit.listing(conn, subject="a.test"))
    assert [row.what for row in log] == ["domain.block"]


@pytest.mark.hazard("T21")
async def test_a_blocked_domain_records_pushes_and_proves_nothing(world: World, source: Source) -> None:
    account = world.account()
    source.says = None
    await world.login_before_flip(account, b"one")
    await world.settled()
    await world.login_before_flip(account, b"two")
    await world.settled()
    assert len(source.tried) == 1
    assert world.record(account).verified_at is None
    assert not (await world.login_after_flip(account, b"two")).in_place
    assert world.target_takes(b"first")


@pytest.mark.hazard("T21")
async def test_what_was_proved_at_the_target_before_stays(world: World, source: Source) -> None:
    account = world.account()
    await world.login_before_flip(account, b"good")
    await world.settled()
    block(world, refuses=False)
    assert world.record(account).proved_at is not None
    assert await world.keeper.sealed_password(account, world.domain) == Secret(b"good")
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert trust.cause is Cause.SOURCE_TAKES_ANY_PASSWORD


@pytest.mark.hazard("T21")
async def test_the_block_ends_when_the_source_is_seen_to_refuse_or_another_is_named(
    world: World, source: Source
) -> None:
    account = world.account()
    block(world, refuses=False)
    block(world, refuses=True)
    await world.login_before_flip(account, b"one")
    await world.settled()
    assert world.target_takes(b"one")
    log = world.store.read_now("audit", lambda conn: audit.listing(conn, subject="a.test"))
    assert sorted(row.what for row in log) == ["domain.block", "domain.unblock"]
    block(world, refuses=False)
    world.store.run_now(
        "source", lambda conn: domains.set_rules(conn, "a.test", source_imap="imaps://another.test")
    )
    assert not world.domain.blocked
    await world.login_before_flip(account, b"two")
    await world.settled()
    assert world.target_takes(b"two")
    assert len(source.tried) == 1, "the new server is asked itself"


async def test_each_protocol_is_found_out_by_itself(world: World, source: Source) -> None:
    world.account()
    world.store.run_now(
        "pop3", lambda conn: domains.set_rules(conn, "a.test", source_pop3="pop3s://old.test")
    )

    def note(protocol: Protocol, server: str, *, refuses: bool) -> None:
        world.store.run_now(
            "note",
            lambda conn: note_check(conn, "a.test", protocol, server, refuses=refuses, who="test"),
        )

    note(Protocol.IMAP, "imaps://old.test", refuses=True)
    assert not world.domain.blocked
    note(Protocol.POP3, "pop3s://old.test", refuses=False)
    assert world.domain.blocked
    note(Protocol.IMAP, "imaps://old.test", refuses=True)
    assert world.domain.blocked, "the other one still takes anything"
    note(Protocol.POP3, "pop3s://old.test", refuses=True)
    assert not world.domain.blocked


async def test_a_source_that_cannot_be_asked_puts_the_push_off_and_is_left_alone_for_a_while(
    world: World, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    source.says = Unavailable(Cause.SERVER_DOWN, "connection refused")
    for octets in (b"one", b"two"):
        await world.login_before_flip(account, octets)
        await world.settled()
    assert len(source.tried) == 1
    assert world.target_takes(b"first")
    assert not world.domain.blocked
    assert (await world.keeper.push_and_prove(account, world.domain)).cause is Cause.SERVER_DOWN
    source.says = Refused(Cause.AMBIGUOUS_REFUSAL, "one of five reasons")
    monkeypatch.setattr(source_word, "ASK_AGAIN_SECONDS", 0.0)
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert trust.in_place
    assert world.target_takes(b"two")


@pytest.mark.hazard("T21")
@pytest.mark.parametrize(
    "says",
    [
        Unavailable(Cause.RATE_LIMITED, "slow down"),
        Unavailable(Cause.TLS_ERROR, "expired"),
        Refused(Cause.OAUTH_REQUIRED, "LOGINDISABLED"),
    ],
    ids=["rate_limited", "tls_error", "oauth_required"],
)
async def test_what_keeps_the_source_from_being_asked_is_told_as_it_is_and_proves_nothing(
    world: World, source: Source, says: Exception
) -> None:
    """A source that takes no password at all has not refused this one: it may take any tomorrow."""
    account = world.account()
    source.says = says
    await world.login_before_flip(account, b"one")
    await world.settled()
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert (trust.in_place, trust.answer, trust.cause) == (False, Answer.TEMPORARY, says.cause)
    assert says.text in trust.text
    assert world.target_takes(b"first")
    assert world.store.read_now("checks", lambda conn: source_checks.current(conn, "a.test")) == []


async def test_what_the_preflight_saw_of_variants_stays_when_nobody_looks_again(world: World) -> None:
    world.account()

    def note(variants: tuple[str, ...] | None) -> None:
        world.store.run_now(
            "note",
            lambda conn: note_check(
                conn, "a.test", Protocol.IMAP, "imaps://old.test", refuses=True, who="test", variants=variants
            ),
        )

    seen = []
    for variants in (None, ("longer", "case"), None, ()):
        note(variants)
        (check,) = world.store.read_now("checks", lambda conn: source_checks.current(conn, "a.test"))
        seen.append(check.variants)
    assert seen == [None, ("longer", "case"), ("longer", "case"), ()]


def block(world: World, *, refuses: bool) -> None:
    world.store.run_now(
        "check",
        lambda conn: note_check(
            conn, "a.test", Protocol.IMAP, "imaps://old.test", refuses=refuses, who="domain test"
        ),
    )
    assert world.domain.blocked is not refuses
