"""Whatever is searched for is a text to be found, and never a pattern or a piece of a statement."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, insert, select

from mailferry.model.account import Phase
from mailferry.store import account_listing, account_pages, audit
from mailferry.store.account_listing import AccountFilter
from mailferry.store.account_pages import Sort
from mailferry.store.database import Database
from mailferry.store.schema import accounts
from tests.kit.hostile_sql import PIECES, sql_texts
from tests.store.rows import add_domain

pytestmark = [pytest.mark.slow, pytest.mark.hazard("T25"), pytest.mark.deadline(120)]

DOMAIN = "a.test"
PLAIN = ("zhang", "zh_ng", "100%", "back\\slash", "o'brien", '"two words"')
ADDRESSES = sorted({f"{name.lower()}@{DOMAIN}" for name in (*PLAIN, *PIECES)})


@pytest.fixture
def filled(store: Database) -> Database:
    def fill(conn: Connection) -> None:
        add_domain(conn, DOMAIN)
        row = {"domain": DOMAIN, "phase": Phase.PRECOPY.value, "epoch": 1}
        conn.execute(
            insert(accounts), [{**row, "address": a, "added_at": float(n)} for n, a in enumerate(ADDRESSES)]
        )
        for address in ADDRESSES:
            audit.write(conn, who=address, what="test", subject=address)

    store.run_now("fill", fill)
    return store


def test_a_search_finds_exactly_what_holds_the_text(filled: Database) -> None:
    @settings(max_examples=150, deadline=None, database=None)
    @example(word="%", sort=Sort.ADDRESS)
    @example(word="h_n", sort=Sort.STATE)
    @example(word="\\", sort=Sort.ADDRESS)
    @given(word=sql_texts(), sort=st.sampled_from(Sort))
    def every(word: str, sort: Sort) -> None:
        filled.read_now("look", lambda conn: _look(conn, word, sort))

    every()


def _look(conn: Connection, word: str, sort: Sort) -> None:
    """Ask for the word in every way that somebody may type one."""
    wanted = AccountFilter(search=word)
    page = account_pages.listing(conn, wanted, limit=1000, sort=sort)
    found = {account.address for account in page.accounts}
    assert found == {address for address in ADDRESSES if word.lower() in address}
    assert account_listing.count(conn, wanted) == len(found)
    for nowhere in (AccountFilter(domain=word), AccountFilter(within=frozenset({word}))):
        assert account_listing.count(conn, nowhere) == 0
    assert {row.who for row in audit.listing(conn, by=word, limit=1000)} >= {a for a in found if word in a}
    assert {row.subject for row in audit.listing(conn, subject=word, limit=1000)} <= {word}
    assert audit.listing(conn, within=frozenset({word}), limit=1000) == []
    account_pages.listing(conn, after=word, limit=1000)
    assert conn.execute(select(func.count()).select_from(accounts)).scalar_one() == len(ADDRESSES)
