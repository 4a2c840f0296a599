"""`mailferry admin token`: tokens for programs that use the API."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer

from mailferry.cli.database import open_database
from mailferry.cli.showing import AsJson, show_json, show_table
from mailferry.cli.who import operator
from mailferry.roster import tokens
from mailferry.roster.tokens import LONGEST_DAYS, Scope

commands = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Tokens for the API: add, list, remove."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the audit log calls the program.")]


@commands.command()
def add(
    context: typer.Context,
    name: Name,
    scope: Annotated[
        list[Scope],
        typer.Option(
            metavar="SCOPE", help="read, write (and read), or login (a webmail's own login); may be repeated."
        ),
    ],
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Only for this domain; else for all.")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS", min=1, max=LONGEST_DAYS, help="Good for so many days; else until it is removed."
        ),
    ] = None,
) -> None:
    """Make a token and write it to standard output, this once."""
    with closing(open_database(context)) as database:
        database.upgrade()
        token = tokens.add(database, name, scope, domain=domain, days=days, who=operator())
    sys.stdout.write(token.reveal().decode() + "\n")
    typer.echo("This token is not shown again; send it as: Authorization: Bearer TOKEN", err=True)


@commands.command(name="list")
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List the tokens, without their secrets."""
    with closing(open_database(context)) as database:
        found = tokens.listing(database)
    if as_json:
        show_json(found)
        return
    columns = ("name", "scopes", "domain", "added by", "added", "expires", "last used")
    rows = (
        (
            one["name"],
            " ".join(one["scopes"]),
            one["domain"] or "all",
            one["added_by"],
            one["added_at"],
            "expired" if one["expired"] else one["expires_at"] or "never",
            one["used_at"] or "never",
        )
        for one in found
    )
    show_table(columns, rows)


@commands.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name it was made with.")],
) -> None:
    """Remove a token; the next request with it is refused."""
    with closing(open_database(context)) as database:
        tokens.remove(database, name, who=operator())
    typer.echo(f"{name} is removed")
