"""The command line as a whole: the global options, and how every fault becomes a line and a status.

Exit status: 0 well, 1 the thing asked for failed, 2 wrong use or configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailferry import __version__

if TYPE_CHECKING:
    from mailferry.config.settings import Settings
from mailferry.wire.server_text import visible

DEFAULT_CONFIG = "/etc/mailferry/mailferry.toml"
_INTERRUPTED = 130


class Failed(Exception):
    """What was asked for failed; the message says what to do. Exit status 1."""


class WrongUse(Exception):
    """The command cannot mean anything; the message says what to write instead. Exit status 2."""


class Invocation:
    """One call of the program: where its configuration is, read when first asked for."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings; raises BadConfiguration with every fault."""
        if self._settings is None:
            from mailferry.config.loader import load  # --help and --version need no configuration

            self._settings = load(self.config)
        return self._settings


def invocation(context: typer.Context) -> Invocation:
    """Return the call that `context` belongs to."""
    found = context.find_object(Invocation)
    assert found is not None
    return found


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mailferry {__version__}")
        raise typer.Exit


def begin(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help=f"Configuration; else $MAILFERRY_CONFIG, else {DEFAULT_CONFIG}.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Move a company's mail to a new host without its users noticing."""
    del version
    path = config or Path(os.environ.get("MAILFERRY_CONFIG") or DEFAULT_CONFIG)
    context.obj = Invocation(path)


def run(program: Callable[[], Any]) -> int:
    """Run `program` and turn what it raises into one clear line (or one per fault) and a status."""
    try:
        try:
            status = program()
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _say_no_more()
        return 0
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # the library's answer to a reader that left
            _say_no_more()
            return 0
        raise
    except Exception as error:  # loop edge: what is not foreseen goes on as a traceback
        told = _told(error)
        if told is None:
            raise
        return told
    return status if isinstance(status, int) else 0


def _say_no_more() -> None:
    """Drop what is still to be written: its reader went away, or its disk is full."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)


def _told(error: Exception) -> int | None:
    """Tell the operator what was foreseen and return the exit status; None for anything else."""
    from mailferry.config.faults import BadConfiguration

    if isinstance(error, typer.TyperException):
        return _told_usage(error)
    if isinstance(error, typer.Abort):
        return _told_abort(error)
    if isinstance(error, BadConfiguration):
        for fault in error.faults:
            _tell(str(fault))
        return 2
    if isinstance(error, UnicodeEncodeError) and any(map(_is_no_text, sys.argv)):
        _tell("a word of the command is no text in this character set; try it under LC_ALL=C.UTF-8")
        return 2
    if isinstance(error, WrongUse):
        _tell(str(error))
        return 2
    if isinstance(error, OSError):  # a file or a disk that does not let us
        where = "" if error.filename is None else f"{error.filename}: "
        _tell(f"{where}{error.strerror or error}")
        _say_no_more()
        return 1
    from mailferry.app.instance_lock import AlreadyRunning
    from mailferry.app.listeners import CannotListen
    from mailferry.app.worker import CannotStart
    from mailferry.model.causes import RemoteFailure
    from mailferry.passwords.service_key import BadServiceKey
    from mailferry.providers.loader import BadProfile
    from mailferry.roster.refusals import RosterRefusal
    from mailferry.store.faults import StoreRefusal, StoreUnavailable

    if isinstance(error, BadProfile):
        for line in error.faults:
            _tell(line)
        return 2
    if isinstance(error, CannotStart):
        for line in str(error).splitlines():
            _tell(line)
        return 1
    foreseen = (
        Failed,
        RosterRefusal,
        StoreRefusal,
        StoreUnavailable,
        AlreadyRunning,
        CannotListen,
        RemoteFailure,
        BadServiceKey,
    )
    if not isinstance(error, foreseen):
        return None
    _tell(str(error))
    return 1


def _is_no_text(word: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in word)


def _told_usage(error: typer.TyperException) -> int:
    """Tell what is wrong with the words, and where the right ones are listed."""
    said = error.format_message().strip()
    if "\n" in said:  # a group without a command: its help
        sys.stderr.write(f"{said}\n")
    elif said:
        context: typer.Context | None = getattr(error, "ctx", None)
        command = "mailferry" if context is None else context.command_path
        _tell(f"{said.rstrip('.')}; see {command} --help")
    return error.exit_code


def _told_abort(error: typer.Abort) -> int:
    """Tell why a question stays without its answer."""
    if not isinstance(error.__context__, EOFError):
        return _INTERRUPTED
    _tell("standard input ended before the last answer; nothing was changed")
    return 1


def _tell(line: str) -> None:
    sys.stderr.write(f"mailferry: {visible(line)}\n")
