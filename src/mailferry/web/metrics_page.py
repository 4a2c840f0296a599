"""`/metrics` on a listener of its own: all processes together, and the facts that only the store knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import FastAPI, Response

from mailferry.config.plaintext_rule import in_clear
from mailferry.model.account import State
from mailferry.model.server_url import parse_server_url
from mailferry.observe import metrics
from mailferry.store import account_listing, domains, leases
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreUnavailable
from mailferry.web.heads import Heads
from mailferry.web.health import Address, health_routes

_WINDOW_DAYS = (1, 3, 7, 30)
_DAY = 86400.0


def metrics_app(
    database: Database, render: Callable[[], bytes] = metrics.render, *, doors: Sequence[Address] = ()
) -> FastAPI:
    """Return the application of the metrics listener, with health as on the web listener."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Heads)
    app.include_router(health_routes(database, doors))

    @app.get("/metrics")
    def show() -> Response:
        try:
            state_the_store(database)
        except StoreUnavailable:
            pass  # the other numbers are wanted most when the store is down
        return Response(render(), media_type=metrics.CONTENT_TYPE)

    return app


def state_the_store(database: Database) -> None:
    """Put what is counted in the store into the gauges."""
    counts = database.read_now("accounts by state", account_listing.counts_by_state)
    for state in State:
        metrics.ACCOUNTS.put(counts.get(state, 0), state=state.value)
    metrics.COPY_QUEUE.put(database.read_now("queue", leases.queue_length))
    now, found = database.read_now("windows", lambda conn: (db_now(conn), domains.listing(conn)))
    for days in _WINDOW_DAYS:
        ending = sum(now <= domain.window_ends_at < now + days * _DAY for domain in found)
        metrics.WINDOWS_ENDING.put(ending, days=str(days))
    metrics.DOMAINS_IN_CLEAR.put(sum(map(_in_clear, found)))


def _in_clear(domain: Domain) -> bool:
    urls = (domain.source_imap, domain.source_pop3, domain.target_imap, domain.target_pop3)
    return any(in_clear(parse_server_url(url)) for url in urls if url)
