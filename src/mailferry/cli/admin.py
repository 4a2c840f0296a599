"""`mailferry admin`: who may sign in to the console."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from mailferry.cli.database import open_database
from mailferry.cli.secrets import ask_password
from mailferry.cli.showing import AsJson, show_json, show_table
from mailferry.cli.who import operator
from mailferry.roster import sign_ins

commands = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Console sign-ins: add, list, remove."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with.")]


@commands.command()
def add(context: typer.Context, name: Name) -> None:
    """Add a sign-in, or give an existing one another password (typed, or read from standard input)."""
    password = ask_password(f"Password for {name}")
    with closing(open_database(context)) as database:
        database.upgrade()
        sign_ins.add(database, name, password, who=operator())
    typer.echo(f"{name} may sign in at /admin/")


@commands.command(name="list")
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List who may sign in."""
    with closing(open_database(context)) as database:
        found = sign_ins.listing(database)
    if as_json:
        show_json(found)
    else:
        show_table(("name", "added"), [(one["name"], one["added_at"]) for one in found])


@commands.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove a sign-in; who is signed in with it is signed out."""
    with closing(open_database(context)) as database:
        sign_ins.remove(database, name, who=operator())
    typer.echo(f"{name} may not sign in any more")
