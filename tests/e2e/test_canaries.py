"""A hundred passwords typed into a running service stand nowhere afterwards, whatever went wrong meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode

import psycopg
import pytest

from mailferry.lab.rehearsal_hosts import RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from mailferry.login.imap_frontend import ImapFrontend
from tests.kit import canary
from tests.kit.break_steps import STEPS, BrokenSteps
from tests.kit.service import Service, until
from tests.kit.stores import empty_database
from tests.login.test_pairs import FORMS

pytestmark = [pytest.mark.slow, pytest.mark.hazard("T31"), pytest.mark.timeout(600)]

CANARIES = 100
MOVED = len(FORMS)
"""Users who log in with their own password, one in each form."""
DOMAIN = "old.test"
AT_ONCE = 10
ANSWER_SECONDS = 180.0
LOOK_SECONDS = 0.2
"""Between two searches through the processes, which else would take the processor from them."""
COPY = {"quiet_seconds": 1, "pass_interval_seconds": 1, "niceness": 0, "freeze_budget_seconds": 25}
"""The copier competes with a search through all processes; a pass that cannot fit its freeze moves nobody."""
DEBUG = {
    "MAILFERRY_LOG__LEVEL": "debug",
    "MAILFERRY_SHIELD__WRONG_PER_ACCOUNT": "100",
    "MAILFERRY_SHIELD__WRONG_PER_SOURCE_MINUTE": "10000",
}


def read_to_the_end(lines: BinaryIO) -> Iterator[bytes]:
    with contextlib.suppress(ConnectionError):
        yield from lines


class Echo(socketserver.StreamRequestHandler):
    """A host that refuses every login and repeats what it read."""

    def handle(self) -> None:
        self.wfile.write(b"* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN] hello\r\n")
        for line in read_to_the_end(self.rfile):
            tag = line.split(maxsplit=1)[0]
            said = line.strip()
            self.wfile.write(b'%s NO [AUTHENTICATIONFAILED] Error in "%s"\r\n' % (tag, said))


class EchoPop3(socketserver.StreamRequestHandler):
    """The same in POP3."""

    def handle(self) -> None:
        self.wfile.write(b"+OK hello\r\n")
        for line in read_to_the_end(self.rfile):
            good = line.upper().startswith(b"USER")
            self.wfile.write(b"+OK\r\n" if good else b"-ERR [AUTH] bad line: " + line)


@contextlib.contextmanager
def hosted(handler: type[socketserver.StreamRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def passwords() -> list[bytes]:
    """A hundred: with quotes and signs of all kinds in UTF-8, the last ten in GBK."""
    made = [canary.canary(f"c{number}").encode() for number in range(CANARIES)]
    return [*made[:-10], *(one.decode().replace("é", "密码").encode("gb18030") for one in made[-10:])]


def tokens(typed: Sequence[bytes]) -> list[bytes]:
    """Return the part of each that only chance makes: where a piece of it stands, this does."""
    return [one.split(b" ")[1] for one in typed]


@dataclass
class Stage:
    """The service, who uses it, and what it showed."""

    service: Service
    database: str
    typed: list[bytes]
    steps: BrokenSteps
    shown: list[bytes] = field(default_factory=list)
    seen_running: list[canary.Sighting] = field(default_factory=list)

    def login(self, form: int, name: str, password: bytes) -> bytes:
        """Log in once in one of the forms and leave; returns what the door said."""
        kind, write = FORMS[form % len(FORMS)]
        imap = kind is ImapFrontend
        octets = write(name.encode(), password)
        assert octets is not None
        port = self.service.imap_port if imap else self.service.pop3_port
        with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as client:
            client.sendall(octets + (b"x LOGOUT\r\n" if imap else b"QUIT\r\n"))
            said = b"".join(iter(lambda: client.recv(4096), b""))
        self.shown.append(said)
        return said

    def fetch(self, path: str, port: int, fields: dict[str, bytes] | None = None) -> bytes:
        """Ask for a page, or send a form; keeps headers and body."""
        url = f"http://127.0.0.1:{port}"
        data = None if fields is None else urlencode(fields).encode()
        request = urllib.request.Request(url + path, data, {"Origin": url})
        try:
            answer = urllib.request.urlopen(request, timeout=ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.shown.append(str(answer.headers).encode() + answer.read())
        return self.shown[-1]

    def look_at_processes(self) -> list[canary.Sighting]:
        """Search arguments and environment of the service's whole tree."""
        pids = tree(self.service.parent_pid)
        assert len(pids) >= 4
        return canary.search_processes(pids, tokens(self.typed))

    def everywhere(self) -> list[canary.Sighting]:
        """Search what the service showed, its processes, its files with the journal, and its tables."""
        wanted = [*self.typed, *tokens(self.typed)]
        metrics = self.fetch("/metrics", self.service.metrics_port)
        assert b"mailferry_logins_total" in metrics
        found = [*self.look_at_processes(), *canary.search_files(self.service.directory, wanted)]
        for number, octets in enumerate(self.shown):
            found += canary.search(octets, wanted, f"answer {number}")
        return [*found, *canary.search(dump(self.database), wanted, "tables")]


def tree(root: int) -> list[int]:
    """Return the process ids of `root` and of all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def dump(database: str) -> bytes:
    """Return every row of a PostgreSQL as text (octets in hex); SQLite's stand in its files."""
    if not database.startswith("postgresql"):
        return b""
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [row[0] for (name,) in names for row in connection.execute(f'SELECT t::text FROM "{name}" t')]
    assert len(rows) > CANARIES
    return "\n".join(rows).encode()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.peer("postgresql")])])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    typed = passwords()
    users = [RehearsalUser(f"u{n}@{DOMAIN}", typed[n].decode(), 2) for n in range(MOVED + len(STEPS) + 3)]
    sqlite = request.param == "sqlite"
    database, gone = ("sqlite", lambda: None) if sqlite else empty_database(request.param, tmp_path)
    steps = BrokenSteps(tmp_path)
    with contextlib.ExitStack() as ends:
        ends.callback(gone)
        (tmp_path / "lab").mkdir()
        lab = ends.enter_context(RunningLab(LabPlan(str(tmp_path / "lab"), users)))
        echo, echo_pop3 = ends.enter_context(hosted(Echo)), ends.enter_context(hosted(EchoPop3))
        new, old = lab.new.ports, lab.old.ports
        service = Service(
            tmp_path / "service",
            target_imap=f"imap://127.0.0.1:{new['imap']}?tls=none",
            target_pop3=f"pop3://127.0.0.1:{new['pop3']}?tls=none",
            master_user=lab.master[0],
            master_password=lab.master[1],
            passwd_file=lab.passwd_file,
            database=database,
            copy=COPY,
            environment={**DEBUG, **steps.environment},
            processes=2,
        )
        secure = f"?ca={lab.tls}/authority.pem"
        domains = tmp_path / "domains.toml"
        domains.write_text(
            domain(
                DOMAIN,
                f"imaps://localhost:{old['imaps']}{secure}",
                f"pop3s://localhost:{old['pop3s']}{secure}",
            )
            + domain(
                "echo.test", f"imap://127.0.0.1:{echo}?tls=none", f"pop3://127.0.0.1:{echo_pop3}?tls=none"
            )
            + domain("closed.test", "imap://127.0.0.1:1?tls=none", "pop3://127.0.0.1:1?tls=none")
        )
        service.run("domain", "apply", str(domains))
        ends.callback(service.stop)
        service.start()
        yield Stage(service, database, typed, steps)


def domain(name: str, imap: str, pop3: str) -> str:
    return f'[[domain]]\nname = "{name}"\nsource = "{imap}"\nsource_pop3 = "{pop3}"\n'


def type_them_all(stage: Stage) -> None:
    """Each password once at least: good ones in every form, wrong ones everywhere and in every form."""
    typed = stage.typed
    good = [(n, f"u{n}@{DOMAIN}", typed[n]) for n in range(MOVED)]
    names = (
        f"u1@{DOMAIN}",
        f"nobody@{DOMAIN}",
        "u1@echo.test",
        "u1@closed.test",
        "u1@nowhere.test",
        "u1*x@y",
    )
    wrong = [
        (number, names[number // len(FORMS) % len(names)], word)
        for number, word in enumerate(typed[MOVED + len(STEPS) :])
    ]
    echoed = [(form, "u2@echo.test", word) for form, word in zip(itertools.count(), typed[-len(FORMS) :])]
    with ThreadPoolExecutor(AT_ONCE) as many:
        answers = list(many.map(lambda one: stage.login(*one), [*good, *wrong, *echoed]))
    for said in answers[:MOVED]:
        assert re.search(rb"^a OK |\+OK.*\+OK", said, re.MULTILINE | re.DOTALL), said
    refused = [said for said in answers[MOVED:] if b"AUTHENTICATIONFAILED" in said or b"[AUTH]" in said]
    assert len(refused) > len(wrong) // 2
    web = stage.service.web_port
    stage.fetch("/", web)
    for word in (typed[MOVED], typed[-1], typed[0]):
        stage.fetch("/sign-in", web, {"address": f"u0@{DOMAIN}".encode(), "password": word})
    page = stage.fetch("/sign-in", web, {"address": typed[0], "password": typed[1]})
    stage.shown.remove(page)  # the name that was typed stands in its own field again


def break_it(stage: Stage) -> None:
    """Force a fault at each step, under a good login of somebody new each time, then under the store."""
    for number, step in enumerate(STEPS, start=MOVED):
        stage.steps.at(step)
        stage.login(0, f"u{number}@{DOMAIN}", stage.typed[number])
        stage.login(7, f"u{number}@{DOMAIN}", stage.typed[number])
    stage.steps.at(None)
    if stage.database == "sqlite":
        with contextlib.closing(sqlite3.connect(stage.service.state_dir / "mailferry.db")) as locked:
            locked.execute("BEGIN EXCLUSIVE")
            stage.login(1, f"u{MOVED + len(STEPS)}@{DOMAIN}", stage.typed[MOVED + len(STEPS)])


def crash_it(stage: Stage) -> None:
    """Have each worker end as a bug in a library would end it; none leaves its memory in a file."""
    service = stage.service

    def workers() -> list[int]:
        return [pid for role in ("proxy", "copier", "web") for pid in service.workers(role)]

    pids = until(lambda: found if len(found := workers()) == 4 else None, 60, "all workers are there")
    before = set(Path.cwd().glob("core*"))  # the service runs in our own folder
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), limits
        os.kill(pid, signal.SIGABRT)
    until(lambda: len(now := workers()) == 4 and not set(now) & set(pids), 60, "each was replaced")
    assert service.log.read_text().count(f"exit_status=-{signal.SIGABRT:d}") == len(pids)
    assert set(Path.cwd().glob("core*")) == before


def test_no_password_stands_anywhere_and_one_that_does_is_found(stage: Stage, tmp_path: Path) -> None:
    service = stage.service
    with ThreadPoolExecutor(1) as beside:
        typing = beside.submit(type_them_all, stage)
        while wait([typing], timeout=LOOK_SECONDS).not_done:
            stage.seen_running += stage.look_at_processes()
        typing.result()
    until(lambda: service.show(f"u0@{DOMAIN}")["phase"] == "SWITCHED", 240, "a user has moved")
    break_it(stage)
    crash_it(stage)
    log = service.log.read_text()
    assert " debug " in log
    forced = [step for step in STEPS if f"forced at {step}" not in log]
    assert forced == [], "these faults were not met"
    assert log.count("Traceback") >= len(STEPS) // 2
    assert "***" in log, "somebody repeated what was sent"
    assert [str(one) for one in (*stage.seen_running, *stage.everywhere())] == []
    assert_planted_ones_are_found(stage, tmp_path)


def assert_planted_ones_are_found(stage: Stage, tmp_path: Path) -> None:
    """Put a canary where each part of the search looks, in one encoding after the other."""
    word = stage.typed[3]
    forms = canary.encodings(word)
    state = stage.service.state_dir
    with stage.service.log.open("ab") as log:
        log.write(b"a login of " + forms["quoted"] + b"\n")
    (state / "leak.pma").write_bytes(forms["base64+1"])
    stage.shown.append(forms["url"])
    places = {"serve.log", "leak.pma", f"answer {len(stage.shown) - 1}"}
    if stage.database == "sqlite":
        with contextlib.closing(sqlite3.connect(state / "mailferry.db")) as other:
            other.execute("PRAGMA wal_autocheckpoint = 0")
            other.execute("UPDATE accounts SET cause_text = ?", [forms["hex"].decode()])
            other.commit()
            places.add("mailferry.db-wal")
            found = stage.everywhere()
    else:
        with psycopg.connect(stage.database.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("UPDATE accounts SET cause_text = %s", [forms["hex"].decode()])
        places.add("tables")
        found = stage.everywhere()
    assert {Path(one.place).name for one in found} == places
    child = subprocess.Popen(
        [sys.executable, "-c", "input(chr(10))", forms["json"].decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"A": forms["quoted"].decode()},
    )
    try:
        assert child.stdout is not None
        child.stdout.read(1)  # the kernel shows arguments a moment after the program has begun
        seen = canary.search_processes([child.pid], stage.typed)
    finally:
        child.communicate(b"\n")
    assert {Path(one.place).name for one in seen} == {"cmdline", "environ"}
