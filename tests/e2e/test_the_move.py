"""The whole promise on real servers: two Dovecots, real mail programs, before, during and after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.programs import Programs
from tests.e2e.stage import DOMAIN, OLD, USER, Stage

pytestmark = [pytest.mark.peer("dovecot", "fetchmail", "mbsync", "curl"), pytest.mark.timeout(400)]


@pytest.fixture(params=["maildir", pytest.param("sdbox", marks=pytest.mark.slow)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    opened = Stage(tmp_path, location=request.param, messages=2000)
    yield opened
    opened.close()


@pytest.mark.hazard("D1")
@pytest.mark.hazard("D13")
def test_a_move_that_no_mail_program_notices(stage: Stage, tmp_path: Path) -> None:
    service, programs = stage.service, Programs(stage, tmp_path)
    service.run("domain", "pause", DOMAIN)
    service.start()

    # before: everybody is served by the source with the old password
    programs.read(stage.source)
    client = stage.imap()
    client.select("INBOX")
    client.store("1", "+FLAGS", r"(\Flagged $Forwarded)")
    client.logout()
    shown = service.show(USER)
    assert (shown["phase"], shown["messages"]["copied"]) == ("PRECOPY", 0)

    # during: mail reaches both hosts, and everybody is served by the source
    service.run("domain", "resume", DOMAIN)
    copied = stage.wait_until_copying()
    stage.deliver(stage.source)
    stage.deliver(stage.target)
    programs.read(stage.source)
    stage.wait_until_copying(more_than=copied)

    # the flip: whoever logs in is served, by the source until then and by the target from then on
    stage.widen()
    stage.wait_until_done(programs.look)
    stage.deliver(stage.source)
    programs.look()
    stage.wait_for_late_mail()

    # after: everything is on the target, once, as it was
    assert service.show(USER)["state"] == "done"
    stage.assert_same_mail()
    programs.meet_new_uids()
    programs.forget_uids()
    programs.read(stage.target)
    verdicts = programs.verdicts()
    assert verdicts == sorted(verdicts), "the source served somebody after the flip"
    assert set(verdicts) == {"side=source verdict=accepted", "side=target verdict=accepted"}
    assert OLD not in service.log.read_text()
