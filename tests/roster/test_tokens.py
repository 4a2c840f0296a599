"""Tokens of programs: shown once, known by a digest, good for a purpose and a time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import update

from mailferry.model.access import Secret
from mailferry.roster import domains, overview, tokens
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import AdminRole
from mailferry.roster.tokens import USED_SECONDS, Scope
from mailferry.store import api_tokens
from mailferry.store.database import Database, db_now
from mailferry.store.schema import api_tokens as table
from tests.roster.rows import WHO, audited, ring, with_domain


def made(store: Database, *scopes: Scope, **other) -> Secret:
    return tokens.add(store, "robot", scopes or (Scope.READ,), who=WHO, **other)


def set_column(store: Database, **values) -> None:
    store.run_now("turn", lambda conn: conn.execute(update(table).values(**values)))


@pytest.mark.hazard("T31")
def test_a_token_is_known_by_its_digest_alone(store: Database) -> None:
    token = made(store)
    text = token.reveal().decode()
    assert text.startswith("mailferry_")
    assert len(text) == len("mailferry_") + 43
    kept = store.read_now("tokens", api_tokens.listing)[0]
    assert kept.digest == hashlib.sha256(text.encode()).digest()
    assert text not in repr(kept) + repr(tokens.listing(store)) + repr(overview.audit_log(store))
    assert made_twice_differs(store, text)


def made_twice_differs(store: Database, text: str) -> bool:
    return tokens.add(store, "other", [Scope.READ], who=WHO).reveal().decode() != text


@pytest.mark.parametrize(
    ("scopes", "of_domain", "role"),
    [
        ((Scope.READ,), False, AdminRole.READER),
        ((Scope.READ,), True, AdminRole.DOMAIN_READER),
        ((Scope.WRITE,), False, AdminRole.OWNER),
        ((Scope.WRITE,), True, AdminRole.DOMAIN_ADMIN),
        ((Scope.LOGIN,), False, AdminRole.READER),
        ((Scope.LOGIN, Scope.WRITE), True, AdminRole.DOMAIN_ADMIN),
    ],
)
def test_a_scope_says_what_the_bearer_may_do(
    store: Database, scopes: tuple[Scope, ...], of_domain: bool, role: AdminRole
) -> None:
    with_domain(store)
    found = tokens.bearer(store, made(store, *scopes, domain="A.test." if of_domain else None))
    assert found is not None
    assert (found.rights.role, found.rights.audited) == (role, "api:robot")
    assert found.rights.domains == (frozenset({"a.test"}) if of_domain else None)
    assert found.scopes == {*scopes, *((Scope.READ,) if Scope.WRITE in scopes else ())}


@pytest.mark.hazard("T40")
def test_what_is_no_token_of_ours_opens_nothing(store: Database) -> None:
    text = made(store).reveal().decode()
    wrong = [
        "",
        "mailferry_",
        text[:-1],
        text + "A",
        text.upper(),
        f"{text}\n",
        "mailferry_" + "A" * 43,
        "\0",
        "é",
    ]
    assert [tokens.bearer(store, Secret(word.encode() or b" ")) for word in wrong] == [None] * len(wrong)
    assert tokens.bearer(store, Secret(text.encode())) is not None


def test_a_token_expires(store: Database) -> None:
    token = made(store, days=1)
    assert tokens.bearer(store, token) is not None
    assert not tokens.listing(store)[0]["expired"]
    set_column(store, expires_at=store.read_now("now", db_now) - 1)
    assert tokens.bearer(store, token) is None
    assert tokens.listing(store)[0]["expired"]


def test_a_removed_token_is_good_no_longer(store: Database) -> None:
    token = made(store)
    tokens.remove(store, "robot", who=WHO)
    assert tokens.bearer(store, token) is None
    assert [what for _, what, _ in audited(store)] == ["token.add", "token.remove"]
    with pytest.raises(RosterRefusal):
        tokens.remove(store, "robot", who=WHO)


def test_a_token_goes_with_its_domain(store: Database, tmp_path: Path) -> None:
    with_domain(store)
    token = made(store, domain="a.test")
    domains.remove(store, ring(tmp_path), "a.test", who=WHO)
    assert tokens.bearer(store, token) is None
    assert tokens.listing(store) == []


def test_the_last_use_is_noted_once_an_hour(store: Database) -> None:
    token = made(store)
    assert tokens.listing(store)[0]["used_at"] is None
    tokens.bearer(store, token)
    now = store.read_now("now", db_now)
    assert tokens.listing(store)[0]["used_at"] is not None
    lately = now - USED_SECONDS / 2
    set_column(store, used_at=lately)
    tokens.bearer(store, token)
    assert store.read_now("tokens", api_tokens.listing)[0].used_at == lately
    set_column(store, used_at=now - USED_SECONDS - 1)
    tokens.bearer(store, token)
    used = store.read_now("tokens", api_tokens.listing)[0].used_at
    assert used is not None
    assert used >= now


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "an na"},
        {"name": ""},
        {"scopes": ()},
        {"days": 0},
        {"days": 4000},
        {"domain": "nowhere.test"},
        {"name": "taken"},
    ],
    ids=str,
)
def test_what_can_be_no_token_is_refused_and_leaves_no_row(store: Database, wrong: dict) -> None:
    tokens.add(store, "taken", [Scope.READ], who=WHO)
    with pytest.raises(RosterRefusal):
        tokens.add(store, **{"name": "robot", "scopes": [Scope.READ], "who": WHO, **wrong})
    assert [one["name"] for one in tokens.listing(store)] == ["taken"]
