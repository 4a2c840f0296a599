"""Pages of accounts: every order and filter gives each account once, and never walks past what it shows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from mailferry.model.account import STATES, Phase, State
from mailferry.model.causes import Actor, Cause
from mailferry.store import account_listing, account_pages
from mailferry.store.account_listing import AccountFilter
from mailferry.store.account_pages import BadKey, Sort
from mailferry.store.database import Database
from mailferry.store.schema import accounts
from tests.store.rows import add_domain

CAUSES = (Cause.EXPIRED, Cause.BAD_CREDENTIALS, Cause.SERVER_DOWN)
FILTERS: list[dict[str, Any]] = [
    {},
    {"domain": "a.test"},
    {"state": State.IN_PROGRESS},
    {"domain": "b.test", "state": State.FAILED},
    {"within": frozenset({"a.test", "b.test"})},
    {"within": frozenset()},
    {"within": frozenset({"a.test"}), "state": State.DONE, "search": "u"},
    {"cause": Cause.EXPIRED},
    {"actor": Actor.USER},
    {"search": "U1"},
    {"search": "no such"},
]


def fill(conn: Connection) -> None:
    for name in ("a.test", "b.test", "c.test"):
        add_domain(conn, name)
    rows = []
    for number in range(90):
        phase = list(Phase)[number % len(Phase)]
        failed = phase in {Phase.BLOCKED, Phase.STALLED}
        rows.append(
            {
                "address": f"{'Uu'[number % 2]}{number:02}@{'abc'[number % 3]}.test",
                "domain": f"{'abc'[number % 3]}.test",
                "phase": phase.value,
                "epoch": 1,
                "added_at": float(number % 7),
                "total": number % 5 * 10,
                "copied": number % 5 * (number % 9),
                "last_run_ended_at": float(number % 4) if number % 2 else None,
                "cause": CAUSES[number % 3].value if failed else None,
            }
        )
    conn.execute(insert(accounts), rows)


@pytest.mark.parametrize("only", FILTERS, ids=lambda only: "-".join(only) or "all")
def test_every_order_gives_each_account_of_a_filter_once_forwards_and_backwards(
    store: Database, only: dict[str, Any]
) -> None:
    store.run_now("fill", fill)
    wanted = AccountFilter(**only)
    count = store.read_now("count", lambda conn: account_listing.count(conn, wanted))
    orders = {}
    for sort in Sort:
        for descending in (False, True):
            seen: list[str] = []
            after: str | None = None
            while True:

                def read(conn: Connection, after=after, sort=sort, descending=descending):
                    return account_pages.listing(
                        conn, wanted, after=after, limit=4, sort=sort, descending=descending
                    )

                page = store.read_now("page", read)
                seen += [account.address for account in page.accounts]
                after = page.next_after
                if after is None:
                    break
            assert len(seen) == len(set(seen)) == count, (sort, descending)
            orders[sort, descending] = seen
    assert orders[Sort.ADDRESS, True] == orders[Sort.ADDRESS, False][::-1]


def test_pages_are_in_the_order_that_was_asked_for(store: Database) -> None:
    store.run_now("fill", fill)

    def phases(descending: bool) -> list[Phase]:
        page = store.read_now(
            "page",
            lambda conn: account_pages.listing(conn, limit=1000, sort=Sort.STATE, descending=descending),
        )
        return [account.phase for account in page.accounts]

    assert phases(False) == sorted(phases(False), key=list(Phase).index)
    assert phases(True) == phases(False)[::-1]
    page = store.read_now(
        "page",
        lambda conn: account_pages.listing(conn, limit=1000, sort=Sort.PERCENT, descending=True),
    )
    done = [STATES[account.phase] is State.DONE for account in page.accounts]
    assert done == sorted(done, reverse=True)
    page = store.read_now(
        "page",
        lambda conn: account_pages.listing(conn, limit=1000, sort=Sort.ACTIVITY),
    )
    moments = [
        account.added_at if account.last_run_ended_at is None else account.last_run_ended_at
        for account in page.accounts
    ]
    assert moments == sorted(moments)


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sort", [Sort.PERCENT, Sort.ACTIVITY])
def test_sqlite_reads_the_table_in_its_own_order_where_many_accounts_are_sorted(
    store: Database, sort: Sort
) -> None:
    store.run_now("fill", fill)
    for wanted in (
        AccountFilter(state=State.IN_PROGRESS),
        AccountFilter(within=frozenset({"a.test", "b.test"})),
    ):
        assert any(step == "SCAN accounts" for step in plan(store, wanted, sort)), wanted


def test_postgresql_looks_for_a_part_of_an_address_once_and_sorts_what_it_found(store: Database) -> None:
    store.run_now("fill", fill)
    steps = "\n".join(plan(store, AccountFilter(search="u1", state=State.DONE), Sort.ADDRESS))
    assert ("CTE Scan on found" in steps) is (store.place.sqlite_path is None)


def plan(store: Database, wanted: AccountFilter, sort: Sort) -> list[str]:
    """Return what the database says that it does for the page's first statement."""

    def read(conn: Connection) -> list[str]:
        asked: list[tuple[Any, Any]] = []

        def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        event.listen(conn, "before_cursor_execute", hear)
        account_pages.listing(conn, wanted, sort=sort)
        event.remove(conn, "before_cursor_execute", hear)
        explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
        statement, parameters = asked[0]
        return [str(row[-1]) for row in conn.exec_driver_sql(explain + statement, parameters)]

    return store.read_now("plan", read)


@pytest.mark.parametrize(
    ("sort", "key"), [(Sort.STATE, "NOWHERE a@a.test"), (Sort.PERCENT, "much a@a.test"), (Sort.ACTIVITY, "")]
)
def test_a_key_that_no_page_gave_is_refused(store: Database, sort: Sort, key: str) -> None:
    with pytest.raises(BadKey):
        store.read_now("page", lambda conn: account_pages.listing(conn, after=key, sort=sort))


def test_troubles_and_counts_by_domain_agree_with_the_lists(store: Database) -> None:
    store.run_now("fill", fill)
    counted = store.read_now("counts", account_listing.counts_by_domain)
    assert sum(number for _, _, number in counted) == 90
    troubles = store.read_now("troubles", account_listing.troubles)
    for cause in CAUSES:
        listed = store.read_now(
            "count", lambda conn, cause=cause: account_listing.count(conn, AccountFilter(cause=cause))
        )
        assert sum(one.accounts for one in troubles if one.cause is cause) == listed
