"""A process that has loaded the program and forks for each command: `python -m tests.cli.warm MODULE...`.

A command is what it would be in a fresh interpreter (its own process, arguments, environment, standard
streams, exit status) without the second that loading takes; so hundreds of them can be tried. Each line
on standard input is a request, each line on standard output the exit status, both JSON.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import json
import os
import resource
import sys
from typing import Any


def serve() -> None:
    """Load the named modules and answer requests until standard input ends."""
    from mailferry.__main__ import main
    from mailferry.cli.commands import COMMANDS

    for name in (*dict(COMMANDS.values()), *sys.argv[1:]):
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
    """Take on the request's streams, arguments, folder, environment and limits."""
    encoding = request["environment"].get("PYTHONIOENCODING", "utf-8")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        opened = os.open(request[name], os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        octets = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
        setattr(sys, name, io.TextIOWrapper(octets, encoding=encoding, line_buffering=number == 2))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
    if request["ordinary"]:
        _give_up_privileges()
    sys.argv = ["mailferry", *request["words"]]


def _give_up_privileges() -> None:
    """Obey the modes of files as everybody does, even as root (capset(2), all sets empty)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


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
