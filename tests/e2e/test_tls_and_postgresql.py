"""The same move with everything encrypted that can be, and PostgreSQL as the store of several processes."""

from __future__ import annotations

import imaplib
from pathlib import Path

import pytest

from tests.e2e.stage import OLD, USER, Stage
from tests.kit import peers
from tests.kit.peer_curl import curl
from tests.kit.peer_fetchmail import Fetchmail
from tests.kit.tls_files import TlsFiles

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.timeout(300)]


@pytest.mark.peer("postgresql")
@pytest.mark.peer("fetchmail")
@pytest.mark.hazard("T4")
def test_a_move_over_starttls_with_postgresql(tmp_path: Path) -> None:
    postgresql = peers.start("postgresql", tmp_path)
    tls = TlsFiles(tmp_path / "tls")
    stage = Stage(tmp_path, messages=150, tls=tls, database=postgresql.url("postgres"))
    try:
        stage.service.start()
        plain = imaplib.IMAP4("127.0.0.1", stage.service.imap_port)
        assert "LOGINDISABLED" in plain.capabilities
        with pytest.raises(imaplib.IMAP4.error):
            plain.login(USER, "anything")
        plain.shutdown()
        fetchmail = Fetchmail(
            tmp_path / "f", host="localhost", port=stage.service.pop3_port, user=USER, password=OLD, ca=tls.ca
        )
        assert fetchmail.fetched_by(fetchmail.command().run_now(120))
        known = stage.uidls()
        seen = curl(
            f"imap://127.0.0.1:{stage.service.imap_port}/", USER, OLD, ca=tls.ca, starttls=True
        ).run_now()
        assert seen.code == 0, seen.text
        stage.wait_until_done()
        stage.assert_same_mail()
        assert stage.uidls() == known
        assert not fetchmail.fetched_by(fetchmail.command().run_now(120))
    finally:
        stage.close()
        postgresql.stop()
