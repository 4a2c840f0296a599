from __future__ import annotations

import pytest
from sqlalchemy import Connection

from mailferry.observe import metrics
from mailferry.store import domains
from mailferry.store.database import Database
from mailferry.web.metrics_page import state_the_store


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
