"""`mailferry serve` where it cannot serve: a line for each fault, the right status, nothing half made."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.place import Place
from tests.cli.program import Program
from tests.kit.tls_files import TlsFiles

KEYS = {"mailferry.key", "log.key", "installation", "serve.lock", "run", "keys", "mailferry.db-turn"}


@pytest.fixture
def place(tmp_path: Path, starter: Program) -> Place:
    return Place(tmp_path, starter)


def test_what_is_missing_on_disk_is_told_at_once_with_its_key(place: Place) -> None:
    shutil.rmtree(place.state)
    place.users.unlink()
    place.tables["tls"] = {"certificate": str(place.folder / "c.pem"), "key": str(place.folder / "k.pem")}
    place.write()
    said = place.run("serve")
    assert said.status == 2
    told = dict(fault.removeprefix(f"{place.config}: ").split(": ", 1) for fault in said.faults)
    assert set(told) == {"service.state_dir", "tls.certificate", "tls.key", "passwords.passwd-file.path"}
    assert f"install -d -m 0700 {place.state}" in told["service.state_dir"]
    assert not place.state.exists()


def test_a_certificate_that_is_none_is_told_before_anything_starts(place: Place) -> None:
    files = TlsFiles(place.folder / "tls")
    ours, other = files.issue("mail.example"), files.issue("mail.example")
    place.listeners[0]["tls"] = "starttls"
    for certificate, key, fault in (
        (ours.certificate, other.key, "is not the key of"),
        (place.users, ours.key, "cannot be used; write the chain"),
    ):
        place.tables["tls"] = {"certificate": str(certificate), "key": str(key)}
        place.write()
        assert fault in place.fails("serve", status=2)
    assert list(place.state.iterdir()) == []


def test_a_state_directory_that_cannot_be_written_is_told_with_its_key(place: Place) -> None:
    place.state.chmod(0o500)
    fault = place.fails("serve", status=2, ordinary=True)
    assert fault == f"{place.config}: service.state_dir: {place.state} cannot be written by this user"


def test_a_port_that_somebody_has_is_named_with_how_to_find_him(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        fault = place.fails("serve")
    assert fault.startswith(f"tcp:{place.port}:interface=127.0.0.1: Address already in use")
    assert f"ss -ltnp sport = :{place.port}" in fault
    assert not place.database.exists()


def test_a_role_without_a_listener_of_its_own_is_named(place: Place) -> None:
    fault = place.fails("serve", "--role", "web")
    assert "[[listen]]" in fault
    assert not place.database.exists()


@pytest.mark.hazard("D19")
@pytest.mark.parametrize("how", ["newer", "no database", "locked", "full disk"])
def test_a_database_that_cannot_be_used_ends_the_start_in_one_line(
    place: Place, stores: Path, how: str
) -> None:
    more = {}
    shutil.copy(stores / "filled.db", place.database)
    with contextlib.closing(sqlite3.connect(place.database, isolation_level=None)) as connection:
        if how == "newer":
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if how == "no database":
            place.database.write_bytes(b"Dear diary, " * 1000)
        if how == "locked":
            connection.execute("BEGIN IMMEDIATE")
        if how == "full disk":
            place.database.unlink()
            more = {"largest_file": 50_000}
        before = place.database.read_bytes() if place.database.exists() else b""
        fault = place.fails("serve", **more)
    wanted = {
        "newer": "install the newer mailferry again",
        "no database": "is not a database of mailferry",
        "locked": "is locked by another process",
        "full disk": "what is free there (df)",
    }
    assert wanted[how] in fault
    if how != "full disk":
        assert place.database.read_bytes() == before
        assert {path.name for path in place.state.iterdir()} <= KEYS | {
            "mailferry.db", "mailferry.db-wal", "mailferry.db-shm",
        }  # fmt: skip


@pytest.fixture
def running(filled: Place) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mailferry", "--config", str(filled.config), "serve", "--role", "proxy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()


def read_until(process: subprocess.Popen[bytes], word: bytes, seconds: float = 60) -> bytes:
    assert process.stdout is not None
    seen = b""
    while word not in seen:
        assert select.select([process.stdout], [], [], seconds)[0], seen
        octets = os.read(process.stdout.fileno(), 65536)
        assert octets, seen
        seen += octets
    return seen


def test_a_second_service_of_the_same_state_directory_leaves_and_the_first_goes_on(
    filled: Place, running: subprocess.Popen[bytes], starter: Program
) -> None:
    read_until(running, b"serving")
    second = Place.second(filled, starter)
    for one, status in ((second.run("serve", "--role", "copier"), 1), (second.run("db", "reconcile"), 1)):
        assert one.status == status
        assert one.fault == (
            f"another mailferry serve works in {filled.state}: stop it first, or give this one "
            "a state_dir of its own"
        )
    with socket.create_connection(("127.0.0.1", filled.port), 10) as client:
        assert client.recv(100).startswith(b"* OK")
    assert len(filled.well("account", "list", "--json").json) == 9
    running.send_signal(signal.SIGTERM)
    assert running.wait(40) == 0
