"""One process that serves until it is stopped: with a log, a ready probe, and an end that is certain.

Each daemon runs below a small shell that waits on a pipe held by this process. When we stop it, or
die by whatever cause, the pipe ends and the shell ends the daemon: no process is left.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KEEPER = r"""
"$@" </dev/null >>"$KEEPER_LOG" 2>&1 &
child=$!
echo $child
read _
kill -"$KEEPER_SIGNAL" $child 2>/dev/null
n=0
while [ $n -lt 300 ] && kill -0 $child 2>/dev/null; do sleep 0.01; n=$((n+1)); done
kill -KILL $child 2>/dev/null
wait $child
"""


class DaemonDied(RuntimeError):
    """A daemon ended or never got ready; the message holds the end of its log."""


class Daemon:
    """A running process and its log file."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: pwd.struct_passwd | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start `argv`; as `user` when that is given and we are root."""
        self.argv = tuple(argv)
        self.log = log
        environment = {**os.environ, **(env or {})}
        environment["KEEPER_LOG"] = str(log)
        environment["KEEPER_SIGNAL"] = stop_signal.name.removeprefix("SIG")
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "keeper", *argv],
            env=environment,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            user=user.pw_uid if user and os.getuid() == 0 else None,
            group=user.pw_gid if user and os.getuid() == 0 else None,
            extra_groups=[] if user and os.getuid() == 0 else None,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())
        self._keeper.stdout.close()

    @property
    def alive(self) -> bool:
        """Whether the daemon itself still runs."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    def log_text(self) -> str:
        """Return everything the daemon has written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_ready(self, ready: Callable[[], bool], seconds: float = 10.0) -> None:
        """Return once `ready()` is true; raises DaemonDied with the log otherwise."""
        deadline = time.monotonic() + seconds
        death = os.pidfd_open(self.pid) if self.alive else -1
        try:
            while not ready():
                ended = death < 0 or bool(select.select([death], [], [], 0.003)[0])
                if ended or time.monotonic() > deadline:
                    how = "ended" if ended else "was not ready in time"
                    self.stop()
                    raise DaemonDied(f"{self.argv[0]} {how}; its log ends:\n{self.log_text()[-4000:]}")
        finally:
            if death >= 0:
                os.close(death)

    def kill(self) -> None:
        """End the daemon as a power cut would, and everything it started."""
        for pid in (self.pid, *descendants(self.pid)):
            _signal(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End the daemon and wait until it is gone; does nothing the second time."""
        if self._keeper.poll() is not None:
            return
        below = descendants(self.pid)
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait(15)
        for pid, born in below.items():
            known = _parent_and_birth(pid)
            if known is not None and known[1] == born:
                _signal(pid, signal.SIGKILL)


def plain_user() -> pwd.struct_passwd:
    """Return who servers run as: ourselves, or `nobody` when we are root (some refuse to run as root)."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def run_as(
    user: pwd.struct_passwd,
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    octets: bytes = b"",
) -> bytes:
    """Run a command as `plain_user()` and return its output; CalledProcessError carries what it said."""
    ran = subprocess.run(
        argv,
        input=octets,
        capture_output=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        user=user.pw_uid if os.getuid() == 0 else None,
        group=user.pw_gid if os.getuid() == 0 else None,
        extra_groups=[] if os.getuid() == 0 else None,
    )
    if ran.returncode != 0:
        error = subprocess.CalledProcessError(ran.returncode, list(argv), ran.stdout, ran.stderr)
        error.add_note(ran.stderr.decode(errors="replace")[-2000:])
        raise error
    return ran.stdout


def descendants(pid: int) -> dict[int, int]:
    """Return what `pid` started, and what that started: process id -> when it was born (clock ticks)."""
    started: dict[int, dict[int, int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (known := _parent_and_birth(int(entry.name))) is not None:
            parent, born = known
            started.setdefault(parent, {})[int(entry.name)] = born
    found: dict[int, int] = {}
    queue = [pid]
    while queue:
        children = started.pop(queue.pop(), {})
        found.update(children)
        queue.extend(children)
    return found


def _parent_and_birth(pid: int) -> tuple[int, int] | None:
    """Return parent and start time of a process that runs; None for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else (int(fields[1]), int(fields[19]))


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def answers(port: int, *, greeting: bool = True) -> bool:
    """Whether a listener at the loopback port accepts, and greets when it should."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return not greeting or connection.recv(512) != b""
    except OSError:
        return False
