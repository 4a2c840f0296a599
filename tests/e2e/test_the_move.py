"""The whole promise on real servers: two Dovecots, real mail programs, before, during and after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import OLD, USER, Stage
from tests.kit import oracle
from tests.kit.peer_curl import curl
from tests.kit.peer_fetchmail import Fetchmail
from tests.kit.peer_mbsync import Mbsync
from tests.kit.service import until

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.timeout(400)]

LATE = b"From: a@new.test\r\nSubject: to the new host\r\nMessage-ID: <mx@new.test>\r\n\r\nHello\r\n"
ARRIVES = b"From: b@old.test\r\nSubject: to the old host\r\nMessage-ID: <old@old.test>\r\n\r\nHello\r\n"


@pytest.fixture(params=["maildir", "sdbox"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    opened = Stage(tmp_path, location=request.param, messages=2000)
    yield opened
    opened.close()


@pytest.mark.peer("fetchmail")
@pytest.mark.peer("mbsync")
@pytest.mark.peer("curl")
@pytest.mark.hazard("D13")
def test_a_move_that_no_mail_program_notices(stage: Stage, tmp_path: Path) -> None:
    service = stage.service
    service.run("domain", "pause", "old.test")
    service.start()
    imap, pop3 = service.imap_port, service.pop3_port

    # before: everybody is served by the source with the old password
    fetchmail = Fetchmail(tmp_path / "fetchmail", port=pop3, user=USER, password=OLD)
    assert fetchmail.fetched_by(fetchmail.command().run_now(120))
    assert len(fetchmail.fetched) == stage.inbox
    known = stage.uidls()
    assert len(set(known)) == stage.inbox
    listed = curl(f"imap://127.0.0.1:{imap}/", USER, OLD).run_now()
    assert listed.code == 0, listed.text
    assert curl(f"pop3://127.0.0.1:{pop3}/1", USER, OLD).run_now().code == 0
    mbsync = Mbsync(tmp_path / "mbsync", port=imap, user=USER, password=OLD)
    pulled = mbsync.command().run_now(120)
    assert pulled.code == 0, pulled.text
    client = stage.imap()
    client.select("INBOX")
    client.store("1", "+FLAGS", r"(\Flagged $Forwarded)")
    client.logout()
    assert service.show(USER)["phase"] == "PRECOPY"

    # during: mail still reaches the old host, new mail reaches the new one, and the user looks again
    service.run("domain", "resume", "old.test")
    stage.source.save(USER, ARRIVES)
    stage.target.save(USER, LATE)
    for _ in range(3):
        client = stage.imap()
        assert client.select("INBOX", readonly=True)[0] == "OK"
        client.logout()

    # after: everything is on the target, once, as it was
    shown = stage.wait_until_done()
    assert shown["state"] == "done"
    stage.imap().logout()  # a login fetches what reached the source after the flip
    until(lambda: stage.has(stage.target, ARRIVES), 30, "late mail arrives")
    stage.assert_same_mail(LATE)
    after = stage.uidls()
    assert after[: len(known)] == known
    assert len(after) == len(known) + 2
    already = len(fetchmail.fetched)
    assert fetchmail.fetched_by(fetchmail.command().run_now(120))
    assert len(fetchmail.fetched) == already + 2, "only the two new messages are new"
    assert not fetchmail.fetched_by(fetchmail.command().run_now(120))
    client = stage.imap()
    assert client.select("INBOX")[1] == [str(stage.inbox + 2).encode()]
    client.logout()
    again = mbsync.command().run_now(120)
    assert "UIDVALIDITY" in again.text or again.code == 0, again.text
    log = service.log.read_text()
    assert "side=target verdict=accepted" in log
    assert OLD not in log


@pytest.mark.hazard("D1")
def test_a_message_read_through_the_target_after_the_move_is_byte_equal(stage: Stage) -> None:
    stage.service.start()
    pop3 = stage.pop3()
    before = [b"\r\n".join(pop3.retr(n)[1]) for n in range(1, 31)]
    pop3.quit()
    stage.wait_until_done()
    pop3 = stage.pop3()
    assert [b"\r\n".join(pop3.retr(n)[1]) for n in range(1, 31)] == before
    pop3.quit()
    assert len(oracle.read(stage.target, USER)) == 2000
