"""All commands, hung on one program; a command's file is loaded when the command is called.

Loading all of them takes a second of start-up, which scripts that ask for one account at a time feel.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from mailferry.cli.program import begin

COMMANDS = {
    "serve": ("mailferry.cli.serve", "serve"),
    "init": ("mailferry.cli.init", "init"),
    "check": ("mailferry.cli.check", "check_all"),
    "demo": ("mailferry.cli.demo", "demo"),
    "domain": ("mailferry.cli.domain", "commands"),
    "account": ("mailferry.cli.account", "commands"),
    "watch": ("mailferry.cli.watch", "watch"),
    "admin": ("mailferry.cli.admin", "commands"),
    "key": ("mailferry.cli.key", "commands"),
    "process": ("mailferry.cli.process", "commands"),
    "db": ("mailferry.cli.database", "commands"),
}
"""Command to the file that holds it and its function, or its group of commands."""


class LazyCommands(TyperGroup):
    """The program's commands, in the order of the table."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as the library calls it
        """Return all names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as the library calls it
        """Load and return one command, None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        found = getattr(import_module(module), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name=cmd_name)(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


_app = typer.Typer(
    cls=LazyCommands, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False
)
_app.callback()(begin)


def program() -> Any:
    """Run the command that the process was called with; returns its status, or raises what it raises."""
    return _app(prog_name="mailferry", standalone_mode=False)
