from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailferry.lab.mail_programs import LoginRefused, Pop3Program, visit_imap
from mailferry.lab.mailstore import differences
from mailferry.lab.passwd_file import write_hash
from mailferry.lab.rehearsal_hosts import HostsBroke, RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from mailferry.lab.sabotage import SABOTAGES, Scene

USER = RehearsalUser("wang@example.test", 'with "quotes" \\', 120)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    with RunningLab(LabPlan(str(tmp_path), [USER])) as running:
        yield running


def trust(lab: RunningLab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(lab.tls / "authority.pem"))


def test_the_programs_read_what_lies_on_the_old_host_and_leave_their_mark(lab: RunningLab) -> None:
    visit = visit_imap(lab.old.ports["imap"], trust(lab), USER.address, USER.password, "777")
    assert differences(lab.old.fingerprint(USER.address), visit.mail) == []
    assert visit.mail.total() == USER.messages
    assert "\\Sent" in visit.subscribed
    assert "\\Junk" not in visit.subscribed
    program = Pop3Program(USER.address, USER.password)
    fresh = program.visit(lab.old.ports["pop3"], trust(lab), "888")
    assert fresh == program.listed == lab.old.uidls(USER.address)
    assert program.visit(lab.old.ports["pop3"], trust(lab), "889") == []
    assert [lab.old.served(mark) for mark in ("777", "888", "889", "999")] == [True, True, True, False]
    assert not lab.new.served("777")
    assert (lab.old.logins(USER.address), lab.old.logins(USER.address, "pop3")) == (3, 2)


def test_the_new_host_is_empty_and_knows_the_password_once_it_stands_in_the_file(lab: RunningLab) -> None:
    port = lab.new.ports["imap"]
    assert lab.new.fingerprint(USER.address).total() == 0
    with pytest.raises(LoginRefused, match="AUTHENTICATIONFAILED"):
        visit_imap(port, trust(lab), USER.address, USER.password, "1")
    write_hash(lab.passwd_file, USER.address, "{PLAIN}" + USER.password)
    assert visit_imap(port, trust(lab), USER.address, USER.password, "1").mail.total() == 0


def test_mail_arrives_when_the_story_says_so(lab: RunningLab) -> None:
    digest = lab.new.deliver(USER.address, b"Subject: x\r\n\r\ny\r\n")
    assert [trait.sha256 for trait in lab.new.fingerprint(USER.address)] == [digest]


def test_quirks_are_switched_from_afar_and_nonsense_is_told(lab: RunningLab) -> None:
    lab.old.quirk("post_cutover_block", on=True)
    with pytest.raises(LoginRefused):
        visit_imap(lab.old.ports["imap"], trust(lab), USER.address, USER.password, "1")
    lab.old.quirk("post_cutover_block", on=False)
    visit_imap(lab.old.ports["imap"], trust(lab), USER.address, USER.password, "1")
    with pytest.raises(HostsBroke, match="nobody"):
        lab.old.fingerprint("nobody")


@pytest.mark.parametrize("kind", ["lose", "twice", "flags"])
def test_a_saboteur_harms_exactly_one_message(lab: RunningLab, kind: str, tmp_path: Path) -> None:
    before = lab.old.fingerprint(USER.address)
    scene = Scene(USER.address, lab.old, tmp_path / "users", tmp_path / "none.db")
    assert SABOTAGES[kind](scene)
    assert (
        lab.old.fingerprint(USER.address).total() - before.total()
        == {"lose": -1, "twice": 1, "flags": 0}[kind]
    )
    assert len(differences(before, lab.old.fingerprint(USER.address))) == (2 if kind == "flags" else 1)


def test_a_lab_that_dies_is_told_in_one_line(tmp_path: Path) -> None:
    lab = RunningLab(LabPlan(str(tmp_path), [USER]))
    lab._process.kill()
    lab._process.wait()
    with pytest.raises(HostsBroke, match="gone"):
        lab.old.uidls(USER.address)
    lab.stop()
