"""`mailferry admin`: who may sign in to the console, and as what."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from typing import Annotated

import typer

from mailferry.cli import token
from mailferry.cli.database import open_database
from mailferry.cli.program import WrongUse
from mailferry.cli.secrets import ask_password
from mailferry.cli.showing import AsJson, show_json, show_table
from mailferry.cli.who import operator
from mailferry.roster import sign_ins
from mailferry.roster.rights import AdminRole

commands = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Console sign-ins: add, list, remove; API tokens."
)
commands.add_typer(token.commands, name="token")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with.")]


class _Role(StrEnum):
    """The roles as they are typed: a reader of named domains is a reader with domains."""

    OWNER = AdminRole.OWNER
    DOMAIN_ADMIN = AdminRole.DOMAIN_ADMIN
    READER = AdminRole.READER


@commands.command()
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[
        _Role | None,
        typer.Option(
            metavar="ROLE",
            help="owner, domain-admin or reader; a new one is an owner, one that is there stays as it is.",
        ),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOMAIN", help="Only this domain, for domain-admin and reader; may be repeated."
        ),
    ] = None,
) -> None:
    """Add a sign-in, or give an existing one another password (typed, or read from standard input)."""
    if domain and role in {None, _Role.OWNER}:
        raise WrongUse("--domain goes with --role domain-admin or --role reader; an owner has all domains")
    if role is _Role.DOMAIN_ADMIN and not domain:
        raise WrongUse("--role domain-admin needs --domain")
    password = ask_password(f"Password for {name}")
    with closing(open_database(context)) as database:
        database.upgrade()
        meant = None if role is None else AdminRole(role.value)
        sign_ins.add(database, name, password, who=operator(), role=meant, domains=domain or ())
    typer.echo(f"{name} may sign in at /admin/")


@commands.command(name="list")
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List who may sign in."""
    with closing(open_database(context)) as database:
        found = sign_ins.listing(database)
    if as_json:
        show_json(found)
    else:
        rows = (
            (
                one["name"],
                one["role"],
                "all" if one["domains"] is None else " ".join(one["domains"]) or "none",
                one["added_at"],
            )
            for one in found
        )
        show_table(("name", "role", "domains", "added"), rows)


@commands.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove a sign-in; who is signed in with it is signed out."""
    with closing(open_database(context)) as database:
        sign_ins.remove(database, name, who=operator())
    typer.echo(f"{name} may not sign in any more")
