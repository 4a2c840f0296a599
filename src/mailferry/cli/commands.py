"""All commands, hung on one program."""

from __future__ import annotations

import typer

from mailferry.cli import account, database, domain
from mailferry.cli.check import check_all
from mailferry.cli.demo import demo
from mailferry.cli.init import init
from mailferry.cli.program import begin
from mailferry.cli.serve import serve
from mailferry.cli.watch import watch

_app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
_app.callback()(begin)
_app.command()(serve)
_app.command()(init)
_app.command(name="check")(check_all)
_app.command()(demo)
_app.add_typer(domain.commands, name="domain")
_app.add_typer(account.commands, name="account")
_app.command()(watch)
_app.add_typer(database.commands, name="db")


def program() -> None:
    """Run the command that the process was called with; leaves by SystemExit or raises what it raises."""
    _app(prog_name="mailferry")
