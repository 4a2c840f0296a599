"""`mailferry init`: asks on a terminal or on standard input, and what it writes is a configuration."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mailferry.cli import init
from mailferry.config.domains import load_domains
from mailferry.config.loader import load
from mailferry.config.settings import TargetLogin
from mailferry.lab.rehearsal_hosts import RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from mailferry.model.access import Protocol
from tests.cli.program import Program

MASTER_PASSWORD = 'geheim "quoted" \\ back'


def answers(*, port: int = 0, master: str = "boss", users: str = "", certificate: str = "") -> list[str]:
    """Return what somebody types, in the order of the questions."""
    typed = ["127.0.0.1", str(port), master]
    if master:
        typed.append(MASTER_PASSWORD)
    typed += [users, "old.example", "127.0.0.1", certificate]
    return [*typed, "/etc/ssl/key.pem"] if certificate else typed


def words(folder: Path) -> tuple[str, ...]:
    return ("init", "--directory", str(folder / "etc"), "--state-dir", str(folder / "state"))


def test_what_was_answered_is_written_found_and_accepted(tmp_path: Path, program: Program) -> None:
    users = tmp_path / 'users "odd" \\ name'
    users.write_text("")
    with RunningLab(LabPlan(str(tmp_path), [RehearsalUser("li@old.example", "x", 1)])) as lab:
        said = program.run(
            *words(tmp_path),
            stdin="\n".join(answers(port=lab.new.ports["imap"], users=str(users))) + "\n",
        )
        assert said.status == 0, str(said)
        assert f"new host: imap://127.0.0.1:{lab.new.ports['imap']} answers" in said.out
        assert MASTER_PASSWORD not in said.out
        config, domains = tmp_path / "etc/mailferry.toml", tmp_path / "etc/domains.toml"
        assert said.out.splitlines()[-2:] == [
            f"  mailferry --config {config} check",
            f"  mailferry --config {config} domain apply {domains}",
        ]
        settings = load(config, {})
        assert settings.target.login is TargetLogin.DOVECOT_MASTER
        assert settings.target.master_password is not None
        assert settings.target.master_password.reveal() == MASTER_PASSWORD.encode()
        assert settings.target.imap.port == lab.new.ports["imap"]
        assert settings.passwords.passwd_file is not None
        assert settings.passwords.passwd_file.path == users
        secret = tmp_path / "etc/master.secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        (domain,) = load_domains(domains)
        assert domain.name == "old.example"
        (tmp_path / "state").mkdir(mode=0o700)
        assert program.run("--config", config, "domain", "apply", domains).out == "old.example: added\n"
        checked = program.run("--config", config, "check")
        assert f"ok    target.imap: imap://127.0.0.1:{lab.new.ports['imap']} answers" in checked.out
        assert "ok    database" in checked.out
        assert "ok    passwords.backend" in checked.out

    again = program.run(*words(tmp_path))
    assert again.status == 1
    assert "exists already" in again.fault
    assert load(config, {}) == settings


def test_hosts_that_do_not_answer_and_no_master_are_written_as_they_should_be(
    tmp_path: Path, program: Program
) -> None:
    typed = answers(master="", certificate="/etc/ssl/cert.pem")
    said = program.run(*words(tmp_path), stdin="\n".join(typed) + "\n")
    assert said.status == 0, str(said)
    settings = load(tmp_path / "etc/mailferry.toml", {})
    assert settings.target.login is TargetLogin.USER
    assert settings.tls is not None
    assert {listener.endpoint.port for listener in settings.listen} == {143, 110, 993, 995, 8025, 9025}
    assert not (tmp_path / "etc/master.secret").exists()
    assert load_domains(tmp_path / "etc/domains.toml")


@pytest.mark.parametrize("typed", ["", "new.example\n143\n", "new.example\nnot a port\n"])
def test_somebody_who_leaves_in_the_middle_has_written_nothing(
    tmp_path: Path, program: Program, typed: str
) -> None:
    said = program.run(*words(tmp_path), stdin=typed)
    assert said.status == 1
    assert "Traceback" not in said.err
    assert not (tmp_path / "etc").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, program: Program) -> None:
    (tmp_path / "etc").write_text("a file")
    said = program.run(*words(tmp_path), stdin="\n".join(answers(master="")) + "\n")
    assert said.status == 1
    assert said.fault.startswith(f"{tmp_path}/etc: ")


ON_ITS_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid()\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'mailferry', *sys.argv[1:]])\n"
)
"""Makes the terminal on standard input the program's own, as a shell does."""


def test_on_a_terminal_the_password_is_not_shown(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *words(tmp_path)], stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    shown = b""
    typed = iter(answers())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            shown += os.read(ours, 4096) if select.select([ours], [], [], 0.5)[0] else b""
        except OSError:
            break  # the program has left its terminal
        answer = next(typed, None) if shown.endswith(b": ") else None
        if answer is not None:
            os.write(ours, answer.encode() + b"\n")
            shown += b"<typed>"
    os.close(ours)
    assert asking.wait(10) == 0, shown.decode()
    assert b"mailferry.toml check" in shown
    assert b"boss" in shown, "other answers are shown as they are typed"
    assert MASTER_PASSWORD.encode() not in shown
    assert load(tmp_path / "etc/mailferry.toml", {}).target.master_user == "boss"


async def test_the_ports_behind_us_that_the_readme_names_are_tried_at_the_new_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twisted.internet import reactor

    with RunningLab(LabPlan(str(tmp_path), [RehearsalUser("li@old.example", "x", 1)])) as lab:
        behind = (lab.new.ports["imap"], lab.new.ports["pop3"])
        monkeypatch.setattr(init, "BEHIND_US", behind)
        new, old = await init._probe(reactor, "127.0.0.1", 0, "127.0.0.1")
        named, _ = await init._probe(reactor, "127.0.0.1", behind[0], "127.0.0.1")
    assert (new[Protocol.IMAP].port, new[Protocol.POP3].port) == behind
    assert named == new, "the POP3 port is found beside the one that was typed"
    assert not {server.port for server in old.values()} & set(behind)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert all(f"port = {port}\n" in readme for port in (10143, 10110))
