"""The real commands as real processes on one configuration: `mailferry serve` in the background, others to their end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

READY_SECONDS = 90.0
STOP_SECONDS = 45.0
"""Longer than the parent gives its workers by default."""
COMMAND_SECONDS = 60.0

_PROGRAM = (sys.executable, "-m", "mailferry")


class ServiceBroke(Exception):
    """A command failed or the service did not come up; the message holds its own words."""


@dataclass(slots=True)
class ServiceProcess:
    """The program with one configuration; what `serve` says is added to `log`."""

    config: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to this process's own."""
    own_session: bool = True
    """Whether Ctrl-C on the terminal is only for who started us."""
    ready_seconds: float = READY_SECONDS
    """What `serve` may take until every worker serves."""
    _serve: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of `serve`'s parent, None when it was not started."""
        return None if self._serve is None else self._serve.pid

    def run(
        self, *words: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end. With `check`, raises ServiceBroke when it fails."""
        done = subprocess.run(
            [*_PROGRAM, "--config", self.config, *words],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            check=False,
            env={**os.environ, **self.environment},
        )
        if check and done.returncode != 0:
            told = (done.stderr or done.stdout).strip()
            raise ServiceBroke(f"mailferry {' '.join(words)}: exit status {done.returncode}: {told}")
        return done

    def start(self, words: Sequence[str] = ()) -> None:
        """Run `serve` until it says that every worker serves. Raises ServiceBroke."""
        with (
            tempfile.TemporaryDirectory(
                prefix="notify-"
            ) as place,  # the path of a UNIX socket has 107 octets
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
            self.log.open("ab") as log,
        ):
            notices = f"{place}/socket"
            ready.bind(notices)
            self._serve = subprocess.Popen(
                [*_PROGRAM, "--config", self.config, "serve", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": notices},
                start_new_session=self.own_session,
            )
            self._await_ready(self._serve, ready)

    def kill(self) -> None:
        """End the parent as a power cut would; its workers end with it."""
        if self._serve is not None:
            self._serve.kill()
            self._serve.wait()
            self._serve = None

    def stop(self) -> int:
        """End the service as systemd would, or kill it; return its exit status, 0 when it was not started."""
        serve, self._serve = self._serve, None
        if serve is None:
            return 0
        if serve.poll() is None:
            serve.terminate()
        try:
            return serve.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            serve.kill()
            return serve.wait()

    def last_words(self, lines: int = 12) -> str:
        """Return the end of the service's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _await_ready(self, serve: subprocess.Popen[bytes], ready: socket.socket) -> None:
        ready.settimeout(0.2)
        deadline = time.monotonic() + self.ready_seconds
        while time.monotonic() < deadline:
            if serve.poll() is not None:
                raise ServiceBroke(f"mailferry serve ended:\n{self.last_words()}")
            try:
                if b"READY=1" in ready.recv(4096):
                    return
            except TimeoutError:
                continue
        raise ServiceBroke(
            f"mailferry serve is not ready after {self.ready_seconds:g} s:\n{self.last_words()}"
        )
