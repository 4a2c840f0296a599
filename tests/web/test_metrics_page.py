from __future__ import annotations

import socket

import pytest
from sqlalchemy import Connection

from mailferry.observe import metrics
from mailferry.store import domains
from mailferry.store.database import Database
from mailferry.web.metrics_page import metrics_app, state_the_store
from tests.web.browser import Browser


@pytest.mark.hazard("T6")
def test_domains_with_a_server_that_is_spoken_to_in_clear_are_counted(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Level:
        said = -1.0

        def put(self, value: float) -> None:
            self.said = value

    level = Level()
    monkeypatch.setattr(metrics, "DOMAINS_IN_CLEAR", level)
    state_the_store(store)
    assert level.said == 0

    def fill(conn: Connection) -> None:
        domains.add(conn, "tls.test", source_imap="imap://mail.tls.test", source_pop3="pop3s://mail.tls.test")
        domains.add(conn, "here.test", source_imap="imap://127.0.0.1:1143?tls=none")
        clear = {"source_imap": "imaps://mail.clear.test", "accept_plaintext": True}
        domains.add(conn, "clear.test", **clear, source_pop3="pop3://mail.clear.test?tls=none")
        domains.add(conn, "target.test", **clear, target_imap="imap://new.test?tls=none")

    store.run_now("fill", fill)
    state_the_store(store)
    assert level.said == 2


def test_health_stands_beside_the_numbers(store: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        open_door = ("127.0.0.1", door.getsockname()[1])
        browser = Browser(metrics_app(store, lambda: b"up 1\n", doors=[open_door]))
        for method in ("GET", "HEAD"):
            for path in ("/metrics", "/healthz", "/readyz"):
                assert browser.ask(method, path).status_code == 200
        assert browser.get("/metrics").text == "up 1\n"
    closed = browser.get("/readyz")
    assert (closed.status_code, closed.text) == (503, f"127.0.0.1:{open_door[1]}: Connection refused\n")
    assert browser.get("/healthz").status_code == 200
