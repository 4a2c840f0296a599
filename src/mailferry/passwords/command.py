"""A program of the site's own that sets one password, told on its standard input.

Nothing secret is ever in its arguments or environment. It gets one JSON object and ends with an exit
status of sysexits.h; what it prints is read by nobody, because it may print what it was given. It
cannot be asked what stands at the target, so it compares nothing: `passwords/holding` asks the target
by a login whether the last password that was set still works there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence

from mailferry.model.causes import Cause, Unavailable
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.schemes import UnfitPassword
from mailferry.passwords.work_threads import WorkThreads

SET = 0
REFUSED_BY_POLICY = os.EX_DATAERR
NO_SUCH_ACCOUNT = os.EX_NOUSER
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Command:
    """One program. `hashed` gives it the hash in place of the password; `create` lets it make accounts."""

    name = "command"
    pushes = True
    readable = False

    def __init__(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        threads: WorkThreads,
        hashed: bool = False,
        create: bool = False,
    ) -> None:
        self._argv = tuple(argv)
        self._seconds = seconds
        self._threads = threads
        self._hashed = hashed
        self._create = create

    async def current(self, address: str) -> str | None:  # noqa: ARG002 - the interface's word
        """Return None: what the target holds cannot be known."""
        return None

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:  # noqa: ARG002 - same
        """Run the program; `expected` cannot be compared."""
        told = self._told(address, new)
        return await self._threads.run(lambda: self._run(told))

    def _told(self, address: str, new: NewPassword) -> bytes:
        said: dict[str, object] = {"address": address, "create": self._create}
        if self._hashed:
            said["hash"] = new.stored
        else:
            try:
                said["password"] = new.secret.reveal().decode()
            except UnicodeDecodeError:
                raise UnfitPassword(
                    "not UTF-8, so JSON cannot carry it to the command; let it take hashes"
                ) from None
        return json.dumps(said).encode() + b"\n"

    def _run(self, told: bytes) -> PushResult:
        try:
            program = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                Cause.TARGET_DOWN, f"password command {self._argv[0]}: {error.strerror}"
            ) from error
        try:
            program.communicate(told, timeout=self._seconds)
        except subprocess.TimeoutExpired:
            _end(program)
            raise Unavailable(
                Cause.TARGET_DOWN,
                f"password command {self._argv[0]}: not done within {self._seconds:g} s, ended",
            ) from None
        status = program.returncode
        if status == SET:
            return PushResult.DONE
        if status == NO_SUCH_ACCOUNT:
            return PushResult.MISSING
        if status == REFUSED_BY_POLICY:
            raise UnfitPassword("the password command says that the new host does not take this password")
        how = f"exit status {status}" if status > 0 else f"ended by signal {-status}"
        raise Unavailable(Cause.TARGET_DOWN, f"password command {self._argv[0]}: {how}")


def _end(program: subprocess.Popen[bytes]) -> None:
    """End the program with everything that it started, so that nothing is set any later."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)  # not reaped yet: the number is still its own
    program.wait()
    if program.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            program.stdin.close()
