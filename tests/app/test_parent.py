"""The parent with real forks: it runs in a process of its own and tells what it does line by line."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, time
import mailferry.app.parent
from mailferry.app.children import Job
from mailferry.app.parent import Parent

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may stand under nohup

def tell(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n"); sys.stdout.flush()

class Log:
    def info(self, event, **facts):
        tell("info", event)
        if "stop early" in sys.argv and event == "worker started" and facts["worker"] == "proxy":
            os.kill(os.getpid(), signal.SIGTERM)
    def error(self, event, **facts): tell("error", event)

def work(name):
    def run(pipe):
        signal.signal(signal.SIGTERM, lambda *_: (tell("ended", name), os._exit(0)))
        tell("worker", name, os.getpid())
        while True:
            os.write(pipe, b".")
            time.sleep(0.05)
    return run

def after_death(pid):
    tell("void", pid)
    if os.path.exists(sys.argv[1]):
        os.unlink(sys.argv[1])
        sys.exit(1)

mailferry.app.parent.VOID_AGAIN_SECONDS = 0.2
jobs = [Job("proxy", 0, work("proxy")), Job("copier", 0, work("copier"))]
parent = Parent(jobs, log=Log(), after_death=after_death, on_ready=lambda: tell("ready"))
code = parent.run()
assert "twisted.internet.reactor" not in sys.modules
sys.exit(code)
"""


class Lines:
    """The lines a process prints, waited for with a limit."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._rest = b""

    def until(self, beginning: str, seconds: float = 15.0) -> str:
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.2)
            if ready:
                octets = os.read(self.process.stdout.fileno(), 65536)
                if not octets:
                    break
                *lines, self._rest = (self._rest + octets).split(b"\n")
                self.seen += [line.decode() for line in lines]
            for number, line in enumerate(self.seen):
                if line.startswith(beginning):
                    del self.seen[number]
                    return line
        raise AssertionError(f"no line {beginning!r}; seen: {self.seen}")


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Lines]]:
    script = tmp_path / "parent.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "fails")], stdout=subprocess.PIPE)
    yield process, Lines(process)
    if process.poll() is None:
        process.kill()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    return not alive(pid)


def test_a_killed_worker_is_voided_and_replaced_and_the_others_stay(
    parent: tuple[subprocess.Popen[bytes], Lines],
) -> None:
    process, lines = parent
    first = int(lines.until("worker proxy").split()[2])
    copier = int(lines.until("worker copier").split()[2])
    lines.until("ready")
    os.kill(first, signal.SIGKILL)
    assert lines.until("void") == f"void {first}"
    second = int(lines.until("worker proxy").split()[2])
    assert second != first
    assert alive(copier)
    process.send_signal(signal.SIGTERM)
    lines.until("ended")
    assert process.wait(10) == 0
    assert not alive(second)
    assert not alive(copier)


@pytest.mark.hazard("D19")
def test_what_could_not_be_voided_is_voided_later(
    parent: tuple[subprocess.Popen[bytes], Lines], tmp_path: Path
) -> None:
    process, lines = parent
    proxy = int(lines.until("worker proxy").split()[2])
    lines.until("ready")
    (tmp_path / "fails").write_text("once")
    os.kill(proxy, signal.SIGKILL)
    assert lines.until("void") == f"void {proxy}"
    assert lines.until("void") == f"void {proxy}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_workers_end_when_the_parent_is_killed(parent: tuple[subprocess.Popen[bytes], Lines]) -> None:
    process, lines = parent
    proxy = int(lines.until("worker proxy").split()[2])
    copier = int(lines.until("worker copier").split()[2])
    process.kill()
    process.wait(10)
    assert gone(proxy)
    assert gone(copier)


@pytest.mark.hazard("D18")
def test_a_hangup_of_a_service_without_a_terminal_ends_nothing(
    parent: tuple[subprocess.Popen[bytes], Lines],
) -> None:
    process, lines = parent
    proxy = int(lines.until("worker proxy").split()[2])
    lines.until("ready")
    os.kill(proxy, signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    assert "a restart" in lines.until("info SIGHUP changes nothing")
    assert alive(proxy)
    process.send_signal(signal.SIGTERM)
    lines.until("ended proxy")  # had the first signal ended it, another would tell this without being asked
    assert process.wait(10) == 0
    assert not any(line.startswith("error") for line in lines.seen)


def test_a_terminal_that_is_closed_ends_its_service_in_order(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(SCRIPT)
    ours, theirs = os.openpty()
    argv = [sys.executable, str(script), str(tmp_path / "fails")]
    with subprocess.Popen(argv, stdin=theirs, stdout=subprocess.PIPE) as process:
        lines = Lines(process)
        lines.until("ready")
        process.send_signal(signal.SIGHUP)
        lines.until("ended")
        assert process.wait(10) == 0
    os.close(ours)
    os.close(theirs)


def test_a_stop_that_comes_while_workers_are_started_ends_them_all(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(SCRIPT)
    argv = [sys.executable, str(script), str(tmp_path / "fails"), "stop early"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        lines = Lines(process)
        lines.until("info stopping")
        assert process.wait(10) == 0


SHARING = """
import gc, os, signal, sys, time
from mailferry.app.children import Job
from mailferry.app.parent import Parent

class Log:
    def info(self, event, **facts): pass
    error = info

def own():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))

def run(pipe):
    before = own()
    gc.collect()
    sys.stdout.write(f"{own() - before}\\n"); sys.stdout.flush()
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)

kept = [(number,) for number in range(20_000)]
for number in range(0, len(kept), 10):
    kept[number] = None  # Python keeps what these stood on in a list of its own, a few on each page
sys.exit(Parent([Job("proxy", 0, run)], log=Log(), after_death=id, on_ready=id).run())
"""


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="nothing tells whose memory is whose"
)
def test_a_worker_that_looks_for_garbage_keeps_the_memory_that_it_shares() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SHARING], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(ran.stdout) < 300, "KiB"
