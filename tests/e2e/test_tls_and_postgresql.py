"""The same move with everything encrypted that can be, and PostgreSQL as the store of several processes."""

from __future__ import annotations

import imaplib
from pathlib import Path

import pytest

from tests.e2e.programs import Programs
from tests.e2e.stage import USER, Stage
from tests.kit import peers
from tests.kit.tls_files import TlsFiles

pytestmark = [
    pytest.mark.peer("dovecot", "postgresql", "fetchmail", "mbsync", "curl"),
    pytest.mark.timeout(300),
]


@pytest.mark.hazard("T4")
def test_a_move_over_starttls_with_postgresql(tmp_path: Path) -> None:
    postgresql = peers.start("postgresql", tmp_path)
    tls, database = TlsFiles(tmp_path / "tls"), postgresql.url("postgres")
    stage = Stage(tmp_path, messages=150, tls=tls, database=database)
    try:
        stage.service.start()
        plain = imaplib.IMAP4("127.0.0.1", stage.service.imap_port)
        assert "LOGINDISABLED" in plain.capabilities
        with pytest.raises(imaplib.IMAP4.error):
            plain.login(USER, "anything")
        plain.shutdown()
        programs = Programs(stage, tmp_path)
        programs.read(stage.source)
        stage.widen()
        stage.wait_until_done()
        stage.assert_same_mail()
        programs.forget_uids()
        programs.read(stage.target)
    finally:
        stage.close()
        postgresql.stop()
