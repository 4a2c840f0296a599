"""The program as a whole: a real interpreter, wrong words, the configuration it reads, pipes that close."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailferry import __version__
from mailferry.model.account import Phase
from tests.cli.place import DOMAIN, Place, address
from tests.cli.program import Program

NOBODY = 65534
HEAVY = {
    "alembic",
    "argon2",
    "fastapi",
    "jinja2",
    "passlib",
    "prometheus_client",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "structlog",
    "twisted.internet.base",
    "twisted.internet.reactor",
    "uvicorn",
}
"""What a command that only reads the store does without."""
COMMANDS = ("serve", "init", "check", "demo", "domain", "account", "watch", "admin", "db")


def test_the_installed_program_and_the_module_are_the_same(filled: Place) -> None:
    script = Path(sys.executable).with_name("mailferry")
    words = ("--config", str(filled.config), "account", "show", address(Phase.BLOCKED), "--json")
    for argv in ((str(script),), (sys.executable, "-m", "mailferry")):
        done = subprocess.run([*argv, *words], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert f'"address": "{address(Phase.BLOCKED)}"' in done.stdout


def test_a_command_loads_what_it_needs_and_nothing_heavier(filled: Place) -> None:
    words = ("--config", str(filled.config), "account", "list")
    argv = (sys.executable, "-X", "importtime", "-m", "mailferry", *words)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"mailferry.store.accounts", "sqlalchemy.dialects.sqlite"} <= loaded
    assert not loaded & HEAVY


def test_it_tells_its_version_and_its_commands(program: Program) -> None:
    assert program.run("--version").out == f"mailferry {__version__}\n"
    said = program.run("--help")
    assert said.status == 0
    for command in COMMANDS:
        assert f" {command} " in said.out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("frobnicate",),
        ("domain",),
        ("domain", "frobnicate"),
        ("account",),
        ("db",),
        ("serve", "--role", "x"),
        ("serve", "now"),
        ("domain", "add", "old.test"),
        ("domain", "show"),
        ("domain", "extend", DOMAIN, "--days", "0"),
        ("account", "show"),
        ("account", "log", "a@old.test", "--limit", "0"),
        ("account", "list", "--colour"),
        ("watch", "now"),
        ("db", "upgrade", "now"),
        ("init", "--directory"),
        ("demo", "--messages", "1"),
        ("demo", "--once", "--sabotage", "everything"),
        ("demo", "--once", "--provider", "nobody"),
        ("demo", "--once", "--quirk", "nothing"),
        ("demo", "--once", "--dovecot", "--quirk", "no_uidplus"),
    ],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_words_that_mean_nothing_are_wrong_use(program: Program, words: tuple[str, ...]) -> None:
    said = program.run("--config", "/nowhere/mailferry.toml", *words)
    assert said.status == 2, str(said)
    assert "Traceback" not in said.err
    assert said.err or "Usage: mailferry" in said.out


def test_a_system_that_no_password_opens_is_not_rehearsed_but_explained(program: Program) -> None:
    said = program.run("demo", "--once", "--provider", "m365")
    assert said.status == 2
    assert "there is no move to rehearse: Microsoft 365 cannot be moved by the users' passwords" in said.err
    assert "basic authentication is off" in said.err
    assert "Use Microsoft's own export" in said.err


def test_every_fault_of_a_configuration_is_told_with_file_key_and_the_nearest_name(bare: Place) -> None:
    bare.tables["servise"] = {}
    bare.tables["service"]["proxy_proceses"] = 2
    bare.tables["service"]["database"] = "mysql://x"
    bare.tables["copy"] = {"quiet_seconds": 0}
    bare.tables["target"]["imap"] = "imap://new.example?tls=none"
    bare.tables["target"]["master_password"] = {"file": "nix"}
    bare.listeners[0]["endpoint"] = "udp:1"
    bare.write()
    environment = {"MAILFERRY_COPY__BATCH_MESSAGE": "3", "MAILFERRY_LOG__LEVEL": "loud"}
    for words in (("check",), ("serve",), ("domain", "list"), ("db", "upgrade")):
        said = bare.run(*words, environment=environment)
        assert said.status == 2
        faults = dict(fault.removeprefix(f"{bare.config}: ").split(": ", 1) for fault in said.faults)
        assert {
            "servise", "service.proxy_proceses", "service.database", "copy.quiet_seconds", "target.imap",
            "target.master_password", "listen[1].endpoint",
        } <= set(faults)  # fmt: skip
        assert "proxy_processes" in faults["service.proxy_proceses"]
        assert "service" in faults["servise"]
        assert any("MAILFERRY_COPY__BATCH_MESSAGE" in f and "batch_messages" in f for f in said.faults)
        assert any("MAILFERRY_LOG__LEVEL" in f for f in said.faults)
    assert list(bare.state.iterdir()) == []


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (None, "there is no such file; `mailferry init` writes one"),
        (b"[service\n", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
    ],
    ids=["missing", "no TOML", "no UTF-8"],
)
def test_a_configuration_that_cannot_be_read_is_named(bare: Place, octets: bytes | None, fault: str) -> None:
    bare.config.unlink()
    if octets is not None:
        bare.config.write_bytes(octets)
    told = bare.fails("account", "list", status=2)
    assert told.startswith(f"{bare.config}: ")
    assert fault in told


def test_the_configuration_is_named_by_option_else_environment_else_at_its_usual_place(
    filled: Place, program: Program
) -> None:
    environment = {"MAILFERRY_CONFIG": str(filled.config)}
    assert program.run("domain", "list", environment=environment).status == 0
    said = program.run("--config", "/nowhere/x.toml", "domain", "list", environment=environment)
    assert said.fault.startswith("/nowhere/x.toml: there is no such file")
    if not Path("/etc/mailferry/mailferry.toml").exists():
        assert program.run("domain", "list").fault.startswith("/etc/mailferry/mailferry.toml: ")


def test_a_key_of_the_environment_wins(filled: Place) -> None:
    elsewhere = filled.folder / "elsewhere"
    elsewhere.mkdir()
    environment = {"MAILFERRY_SERVICE__STATE_DIR": str(elsewhere)}
    assert str(elsewhere) in filled.fails("domain", "list", environment=environment)


def test_a_reader_that_leaves_early_is_no_fault(filled: Place) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    said = filled.run("account", "list", "--json", out=Path(f"/proc/{os.getpid()}/fd/{writing}"))
    os.close(writing)
    assert (said.status, said.err) == (0, "")


def test_a_disk_that_takes_no_more_is_one_line(filled: Place) -> None:
    said = filled.run("account", "list", "--json", out=Path("/dev/full"))
    assert said.status == 1
    assert said.fault == "No space left on device"


@pytest.mark.hazard("D19")
def test_a_state_directory_of_somebody_else_is_one_line_and_changes_nothing(filled: Place) -> None:
    filled.state.chmod(0o500)
    before = filled.database.read_bytes()
    for words in (("domain", "pause", DOMAIN), ("account", "password", address(Phase.BLOCKED))):
        said = filled.run(*words, ordinary=True, stdin="x\n")
        assert said.status == 1, str(said)
        assert str(filled.state) in said.fault
    filled.state.chmod(0o700)
    assert filled.database.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_belongs_to_whom_the_state_directory_belongs_to(bare: Place) -> None:
    os.chown(bare.state, NOBODY, NOBODY)
    bare.well("domain", "add", "a.example", "--source", "imaps://old.example")
    bare.well("account", "import", "-", stdin="target,password\nx@a.example,y\n")
    bare.well("db", "reconcile")
    made = list(bare.state.rglob("*"))
    assert {path.name for path in made} >= {"mailferry.db", "mailferry.key", "keys", "serve.lock"}
    assert {path.stat().st_uid for path in made} == {NOBODY}
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
