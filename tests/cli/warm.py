"""A process that has loaded the program and forks for each command: `python -m tests.cli.warm`.

A command is what it would be in a fresh interpreter (its own process, arguments, environment, standard
streams, exit status) without the second that loading takes; so hundreds of them can be tried. Each line
on standard input is a request, each line on standard output the exit status, both JSON.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import sys
from typing import Any

LATER = tuple(
    f"mailferry.app.{name}"
    for name in ("checking", "listeners", "preflight", "probing", "verifying", "worker")
)
"""What commands load only when they need it."""


def serve() -> None:
    """Answer requests until standard input ends."""
    from mailferry.__main__ import main

    for name in LATER:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules, "a command installs the reactor of its own process"
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            _run(main)
        _, status = os.waitpid(pid, 0)
        answers.write(json.dumps(os.waitstatus_to_exitcode(status)) + "\n")
        answers.flush()


def _become(request: dict[str, Any]) -> None:
    """Take on the request's streams, arguments, folder and environment."""
    for number, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_WRONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        opened = os.open(request[name], flags)
        os.dup2(opened, number)
        os.close(opened)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        octets = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
        setattr(sys, name, io.TextIOWrapper(octets, encoding="utf-8", line_buffering=number == 2))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["mailferry", *request["words"]]


def _run(main: Any) -> None:
    status = 1
    try:
        main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
