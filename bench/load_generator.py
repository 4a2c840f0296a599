"""The C programs of the proxy bench, built by it: what makes load, what never logs in, and an empty server.

A generator in Python would measure itself. Each prints JSON that is read into values here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import RunFailed
from tests.kit import debian

HERE = Path(__file__).parent
PASSWORD = "bench-Pa55"
LONGEST_SECONDS = 300.0
_BUILD = "apt-get install gcc libc6-dev libssl-dev"


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator saw of one run; times in seconds."""

    seconds: float
    cpu: float
    """CPU seconds of the generator itself."""
    done: int
    failed: int
    octets: int
    p50: float
    p99: float
    worst: float
    reason: str
    """What the server said last to a command that it refused."""

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.done / self.seconds

    @property
    def busy(self) -> float:
        """The share of one core that the generator used."""
        return self.cpu / self.seconds


@dataclass(frozen=True, slots=True)
class Users:
    """`prefix1@bench.test` to `prefix<count>@bench.test`, logged in one after the other."""

    prefix: str
    count: int

    def addresses(self) -> list[str]:
        """Return all of them."""
        return [f"{self.prefix}{number}@bench.test" for number in range(1, self.count + 1)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where mail programs connect."""

    port: int
    tls: bool


class NullBackend:
    """The server behind every proxy: takes the right password, holds one message, does nothing else."""

    def __init__(self, program: Path, octets: int) -> None:
        self._process = subprocess.Popen(
            [program, PASSWORD, str(octets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def pid(self) -> int:
        """Its only process."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Sessions:
    """Sessions that the generator holds open; `more` opens the next so many."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._first = True

    def more(self) -> int:
        """Open as many sessions as the next of the counts; return how many there are. Raises RunFailed."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        if not self._first:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        self._first = False
        told = json.loads(self._process.stdout.readline() or "{}")
        if not told or told["failed"]:
            raise RunFailed(f"sessions could not be opened: {told}")
        return int(told["open"])


class Generator:
    """The built programs."""

    def __init__(self, folder: Path) -> None:
        """Build into `folder`; raises debian.PeerMissing when this machine has no compiler for it."""
        self._load = build("load", folder, "-pthread", "-lssl", "-lcrypto")
        self._strangers = build("strangers", folder, "-lssl", "-lcrypto")
        self._null_imap = build("null_imap", folder)

    def backend(self, octets: int) -> NullBackend:
        """Start an empty server whose message has so many octets."""
        return NullBackend(self._null_imap, octets)

    def login(
        self, place: Place, users: Users, seconds: float, *, threads: int = 1, rate: float = 0.0
    ) -> Load:
        """Log in, select and log out; `rate` times a second, or as often as all threads can."""
        return self._ran("login", place, users, seconds, threads, rate)

    def noop(self, place: Place, users: Users, seconds: float) -> Load:
        """Measure round trips in one session."""
        return self._ran("noop", place, users, seconds)

    def bulk(self, place: Place, users: Users, seconds: float) -> Load:
        """Fetch the message again and again in one session."""
        return self._ran("bulk", place, users, seconds)

    @contextmanager
    def idle(self, place: Place, users: Users, counts: Sequence[int]) -> Iterator[Sessions]:
        """Give what opens the sessions, stage by stage; all are closed at the end."""
        process = subprocess.Popen(
            self._words("idle", place, users, *counts),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Sessions(process)
        finally:
            process.kill()
            process.communicate()

    def strangers(
        self, plain: Place, secure: Place, count: int, *, over: float, seconds: float
    ) -> dict[str, Any]:
        """Come as so many that never log in, and tell what became of them."""
        words = [plain.port, secure.port, count, over, seconds]
        told: dict[str, Any] = json.loads(_output([self._strangers, *map(str, words)]))
        return told

    def _ran(self, what: str, place: Place, users: Users, *more: float) -> Load:
        load = Load(**json.loads(_output(self._words(what, place, users, *more))))
        if load.failed or not load.done:
            raise RunFailed(f"{what}: {load.failed} of {load.failed + load.done} failed; last: {load.reason}")
        return load

    def _words(self, what: str, place: Place, users: Users, *more: float) -> list[str | Path]:
        where = [str(place.port), str(int(place.tls)), users.prefix, str(users.count), PASSWORD]
        return [self._load, what, *where, *map(str, more)]


def build(name: str, folder: Path, *options: str) -> Path:
    """Compile one of the programs beside this file; raises debian.PeerMissing with what to install."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise debian.PeerMissing(f"no C compiler builds the load generator: {_BUILD}")
    program = folder / name
    ran = subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, HERE / f"{name}.c", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise debian.PeerMissing(f"{name}.c does not compile here; {_BUILD}\n{ran.stderr[-1500:]}")
    return program


def _output(words: Sequence[str | Path]) -> str:
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    if ran.returncode != 0 or not ran.stdout:
        raise RunFailed(f"{words[0]} {words[1]} ended with {ran.returncode}: {ran.stderr[-500:]}")
    return ran.stdout
