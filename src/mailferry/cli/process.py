"""`mailferry process`: our processes on all machines, and what to do about one that is gone for good."""

from __future__ import annotations

from typing import Annotated

import typer

from mailferry.cli.database import open_database
from mailferry.cli.showing import AsJson, show_json, show_table
from mailferry.cli.who import operator
from mailferry.roster import overview

commands = typer.Typer(add_completion=False, no_args_is_help=True, help="Our processes: list, declare-dead.")
_COLUMNS = ("id", "role", "host", "pid", "started_at", "renewed_at")


@commands.command(name="list")
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List our processes on all machines."""
    found = overview.processes(open_database(context))
    if as_json:
        show_json(found)
        return
    rows = ([*(one[column] for column in _COLUMNS), "silent" if one["silent"] else "alive"] for one in found)
    show_table((*_COLUMNS, "state"), rows)


@commands.command(name="declare-dead")
def declare_dead(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", min=1, help="Its id on the list.")],
) -> None:
    """Say that a silent process is dead, so that its sessions no longer hold up accounts."""
    overview.declare_dead(open_database(context), number, who=operator())
    typer.echo(f"process {number} no longer holds up anything")
