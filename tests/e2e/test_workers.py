"""Proxy workers that die and services that stop, while clients connect all the time: nobody is refused for it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from mailferry.lab.rehearsal_hosts import RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from tests.kit.service import Service, free_port, until

pytestmark = [pytest.mark.hazard("D18"), pytest.mark.timeout(500)]

USER = "li@old.test"
PASSWORD = "old Pa55word"
CLIENTS = 4
PATIENCE_SECONDS = 120.0
START_SECONDS = 90.0


@dataclass
class Counts:
    """What became of the connections."""

    served: int = 0
    refused: int = 0
    unheard: int = 0
    """Connected, and closed without a greeting."""
    broken: int = 0
    """Greeted, and cut off."""
    other: list[str] = field(default_factory=list)


class Clients:
    """Clients that connect, log in and leave, again and again, in threads of their own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._guard = threading.Lock()
        self.counts = Counts()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def wait_for(self, more: int) -> None:
        """Return when so many more sessions were served."""
        wanted = self.counts.served + more
        until(lambda: self.counts.served >= wanted, PATIENCE_SECONDS, f"{more} more sessions: {self.counts}")

    def _run(self) -> None:
        while not self._over.is_set():
            said = visit(self._port)
            with self._guard:
                if said in {"served", "refused", "unheard", "broken"}:
                    setattr(self.counts, said, getattr(self.counts, said) + 1)
                else:
                    self.counts.other.append(said)


def visit(port: int) -> str:
    """Log in and leave; tell how it went."""
    heard = b""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
            for wanted, sends in (
                (b"* OK", f'a LOGIN "{USER}" "{PASSWORD}"\r\n'.encode()),
                (b"\r\na OK", b"b LOGOUT\r\n"),
                (b"\r\nb OK", b""),
            ):
                while wanted not in heard or not heard.endswith(b"\n"):
                    octets = client.recv(4096)
                    if not octets:
                        return "broken" if heard else "unheard"
                    heard += octets
                client.sendall(sends)
    except ConnectionRefusedError:
        return "refused"
    except (ConnectionResetError, BrokenPipeError):
        return "broken" if heard else "unheard"
    except TimeoutError:
        return f"nothing came behind {heard!r}"
    return "served"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    users = [RehearsalUser(USER, PASSWORD, 2)]
    with RunningLab(LabPlan(str(tmp_path_factory.mktemp("lab")), users)) as running:
        yield running


def service_in(folder: Path, lab: RunningLab, **more: object) -> Service:
    new, old = lab.new.ports, lab.old.ports
    service = Service(
        folder,
        target_imap=f"imap://127.0.0.1:{new['imap']}?tls=none",
        target_pop3=f"pop3://127.0.0.1:{new['pop3']}?tls=none",
        master_user=lab.master[0],
        master_password=lab.master[1],
        passwd_file=lab.passwd_file,
        processes=2,
        **more,
    )
    service.run("domain", "add", "old.test", "--source", f"imap://127.0.0.1:{old['imap']}?tls=none")
    return service


@pytest.fixture
def service(tmp_path: Path, lab: RunningLab) -> Iterator[Service]:
    made = service_in(tmp_path / "service", lab)
    made.start(["--role", "proxy"])
    yield made
    made.stop()


def refuses(family: int, where: str | tuple[str, int]) -> bool:
    """Whether nobody can connect there any more."""
    with socket.socket(family) as client:
        return client.connect_ex(where) == errno.ECONNREFUSED


def kill(service: Service, pids: list[int]) -> None:
    """End these workers as a power cut would, and wait until others stand in their place."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(
        lambda: len(now := service.workers("proxy")) == 2 and not set(now) & set(pids),
        PATIENCE_SECONDS,
        "each killed worker is replaced",
    )


def test_a_worker_that_dies_is_replaced_and_no_connection_is_refused(service: Service) -> None:
    with Clients(service.imap_port) as clients:
        clients.wait_for(10)
        for number in range(2):
            kill(service, [service.workers("proxy")[number]])
            clients.wait_for(10)
        kill(service, service.workers("proxy"))
        assert visit(service.imap_port) == "served"
        clients.wait_for(10)
    counts = clients.counts
    assert (counts.refused, counts.other) == (0, [])
    assert counts.unheard + counts.broken <= 4 * CLIENTS, "only who was inside a killed worker is cut off"
    assert "worker died and is replaced" in service.log.read_text()


def test_a_stop_lets_sessions_end_and_has_nobody_wait_for_a_greeting_that_never_comes(
    tmp_path: Path, lab: RunningLab
) -> None:
    asked, judge = free_port(), tempfile.mkdtemp(prefix="sasl-")
    extra = (
        f'[[listen]]\nservice = "auth_http"\nendpoint = "tcp:{asked}:interface=127.0.0.1"\n'
        f'[[listen]]\nservice = "sasl"\nendpoint = "unix:{judge}/socket:mode=600"\n'
    )
    service = service_in(tmp_path / "service", lab, extra=extra)
    everybody = [
        *((socket.AF_INET, ("127.0.0.1", port)) for port in (service.imap_port, asked, service.web_port)),
        (socket.AF_UNIX, f"{judge}/socket"),
    ]
    service.start()
    with (
        contextlib.ExitStack() as ends,
        socket.create_connection(("127.0.0.1", service.imap_port), PATIENCE_SECONDS) as busy,
    ):
        ends.callback(shutil.rmtree, judge)
        ends.callback(service.stop)
        assert not any(refuses(*door) for door in everybody)
        busy.sendall(f'a LOGIN "{USER}" "{PASSWORD}"\r\nb APPEND INBOX {{5}}\r\n'.encode())
        heard = b""
        while b"\r\n+ " not in heard:
            heard += busy.recv(4096)
        os.kill(service.parent_pid, signal.SIGTERM)
        until(lambda: "stopping" in service.log.read_text(), PATIENCE_SECONDS, "the service stops")
        began = time.monotonic()
        assert until(lambda: visit(service.imap_port) == "refused", 5, "the door is shut")
        assert until(lambda: all(refuses(*door) for door in everybody), 15, "every listener is shut")
        assert time.monotonic() - began < 20
        busy.sendall(b"hello\r\n")
        while octets := busy.recv(4096):
            heard += octets
    assert b"\r\nb OK" in heard, "the command that had begun was carried out"
    assert b"\r\n* BYE" in heard
    assert service.stop() == 0


PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="imap")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Passed:
    """A service whose door systemd holds: the test's own listening socket is handed to each start."""

    def __init__(self, service: Service, door: socket.socket) -> None:
        self._service = service
        self._door = door
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        before = self._service.log.read_text().count(" serving") if self._service.log.exists() else 0
        command = [sys.executable, "-m", "mailferry", "--config", str(self._service.config)]
        with self._service.log.open("ab") as log:
            self.running = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PASS_ON,
                    str(self._door.fileno()),
                    *command,
                    "serve",
                    "--role",
                    "proxy",
                ],
                pass_fds=[self._door.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(lambda: self._service.log.read_text().count(" serving") > before, START_SECONDS, "it serves")

    def stop(self) -> int:
        running, self.running = self.running, None
        if running is None:
            return 0
        running.terminate()
        try:
            return running.wait(PATIENCE_SECONDS)
        finally:
            running.kill()


@pytest.mark.slow
def test_a_restart_behind_a_socket_of_systemds_refuses_and_loses_nobody(
    tmp_path: Path, lab: RunningLab
) -> None:
    made = service_in(tmp_path / "service", lab)
    with contextlib.ExitStack() as ends:
        door = ends.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        endpoint = f'"tcp:{made.imap_port}:interface=127.0.0.1"'
        passed_on = '"systemd:name=imap"\nplaintext_login = true'
        made.config.write_text(made.config.read_text().replace(endpoint, passed_on))
        assert "systemd:name=imap" in made.config.read_text()
        passed = Passed(made, door)
        ends.callback(passed.stop)
        passed.start()
        with Clients(door.getsockname()[1]) as clients:
            clients.wait_for(10)
            assert passed.stop() == 0
            passed.start()
            clients.wait_for(10)
        counts = clients.counts
        assert (counts.refused, counts.unheard, counts.other) == (0, 0, [])
        assert counts.broken <= CLIENTS, "who was talking when it stopped was sent away"
