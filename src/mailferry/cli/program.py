"""The command line as a whole: the global options, and how every fault becomes a line and a status.

Exit status: 0 well, 1 the thing asked for failed, 2 wrong use or configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mailferry import __version__
from mailferry.config.faults import BadConfiguration
from mailferry.config.loader import load
from mailferry.config.settings import Settings
from mailferry.wire.server_text import visible

DEFAULT_CONFIG = "/etc/mailferry/mailferry.toml"


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
    from mailferry.app.instance_lock import AlreadyRunning
    from mailferry.app.listeners import CannotListen
    from mailferry.app.worker import CannotStart
    from mailferry.model.causes import RemoteFailure
    from mailferry.passwords.service_key import BadServiceKey
    from mailferry.providers.loader import BadProfile
    from mailferry.roster.refusals import RosterRefusal
    from mailferry.store.faults import StoreRefusal, StoreUnavailable

    try:
        program()
    except BadConfiguration as bad:
        for fault in bad.faults:
            _tell(str(fault))
        return 2
    except BadProfile as bad:
        for line in bad.faults:
            _tell(line)
        return 2
    except WrongUse as error:
        _tell(str(error))
        return 2
    except CannotStart as error:
        for line in str(error).splitlines():
            _tell(line)
        return 1
    except (
        Failed,
        RosterRefusal,
        StoreRefusal,
        StoreUnavailable,
        AlreadyRunning,
        CannotListen,
        RemoteFailure,
        BadServiceKey,
    ) as error:
        _tell(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the reader of a pipe went away
        return 0
    except OSError as error:  # a file or a disk that does not let us: nobody needs our stack for that
        where = "" if error.filename is None else f"{error.filename}: "
        _tell(f"{where}{error.strerror or error}")
        return 1
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"mailferry: {visible(line)}\n")
