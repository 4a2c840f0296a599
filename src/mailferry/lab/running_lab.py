"""The two hosts of a rehearsal as the story holds them: blocking calls to the process they run in."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

from mailferry.lab.hosts_process import NEW, OLD
from mailferry.lab.mailstore import Trait
from mailferry.lab.rehearsal_hosts import HostsBroke, RehearsalUser

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LabPlan:
    """What the hosts are made of."""

    folder: str
    users: Sequence[RehearsalUser]
    quirks: Sequence[str] = ()
    master_user: str = "mailferry"
    master_password: str = "master secret"  # noqa: S105 - of a rehearsal's own host
    delimiter: str = "."
    seed: int = 2024


class HostHandle:
    """One of the two hosts."""

    def __init__(self, lab: RunningLab, name: str) -> None:
        self._lab = lab
        self._name = name
        self.ports: dict[str, int] = self._ask("ports")

    def fingerprint(self, address: str) -> Counter[Trait]:
        """Return the multiset of the account's messages."""
        rows = self._ask("fingerprint", address=address)
        found: Counter[Trait] = Counter()
        for mailbox, sha256, flags, keywords, date, count in rows:
            found[Trait(mailbox, sha256, tuple(flags), tuple(keywords), date)] += count
        return found

    def uidls(self, address: str) -> list[str]:
        """Return the POP3 UIDLs in order."""
        found: list[str] = self._ask("uidls", address=address)
        return found

    def deliver(self, address: str, octets: bytes) -> str:
        """Let a message arrive in INBOX; return its digest."""
        digest: str = self._ask("deliver", address=address, octets=base64.b64encode(octets).decode())
        return digest

    def served(self, mark: str) -> bool:
        """Say whether a session in which this mark was sent reached this host."""
        return bool(self._ask("served", mark=mark))

    def logins(self, address: str, protocol: str | None = None) -> int:
        """Return how often the account was logged in to, ours included."""
        count: int = self._ask("logins", address=address, protocol=protocol)
        return count

    def spoil(self, address: str, how: str) -> str:
        """Harm one message of INBOX: lose, twice or flags."""
        digest: str = self._ask("spoil", address=address, how=how)
        return digest

    def quirk(self, name: str, *, on: bool) -> None:
        """Switch a quirk."""
        self._ask("quirk", name=name, on=on)

    def _ask(self, do: str, **facts: object) -> Any:
        return self._lab.ask({"host": self._name, "do": do, **facts})


class RunningLab:
    """The process of the two hosts; a context manager that ends it."""

    def __init__(self, plan: LabPlan) -> None:
        self.plan = plan
        self.passwd_file.write_text("".join(f"{user.address}:\n" for user in plan.users))
        self._log = Path(plan.folder, "lab.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mailferry.lab.hosts_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C on the terminal is for who started us
            )
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self.ask(asdict(plan))
            self.old = HostHandle(self, OLD)
            self.new = HostHandle(self, NEW)
            undo.pop_all()

    @property
    def tls(self) -> Path:
        """The folder of the certificates."""
        return Path(self.plan.folder, "tls")

    @property
    def passwd_file(self) -> Path:
        """Where the new host looks passwords up."""
        return Path(self.plan.folder, "users")

    @property
    def master(self) -> tuple[str, str]:
        """The new host's master user."""
        return self.plan.master_user, self.plan.master_password

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, request: dict[str, Any]) -> Any:
        """Send one request and return its answer. Raises HostsBroke."""
        to, back = _pipe(self._process.stdin), _pipe(self._process.stdout)
        try:
            to.write(json.dumps(request).encode() + b"\n")
            to.flush()
            line = back.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise HostsBroke(f"the mail hosts are gone: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise HostsBroke(answer["error"])
        return answer["answer"]

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):  # it died by itself with a request unread
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()

    def _last_words(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return text.splitlines()[-1] if text else "they said nothing"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
