"""`mailferry check`: one line for each thing that the service needs, with the fix."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailferry.cli.program import Failed, invocation
from mailferry.cli.showing import AsJson, show_json
from mailferry.cli.words import an_address

if TYPE_CHECKING:
    from mailferry.app.checking import Line

_SIGNS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def check_all(
    context: typer.Context,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", callback=an_address, help="Log in to this mailbox at the target as its master."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at configuration, certificates, database, target and password backend."""
    from mailferry.app.checking import Sign, check  # loads every role: only when asked for
    from mailferry.cli.in_reactor import in_reactor

    call = invocation(context)
    settings = call.settings

    async def work(reactor: Any) -> list[Line]:
        lines = []
        async for line in check(settings, str(call.config), reactor, account=account):
            lines.append(line)
            if not as_json:
                typer.echo(_shown(line))
        return lines

    lines = in_reactor(work)
    if as_json:
        show_json([dataclasses.asdict(line) for line in lines])
    faults = sum(line.sign is Sign.FAULT for line in lines)
    if faults:
        raise Failed(f"faults: {faults}; nothing was changed")


def _shown(line: Line) -> str:
    fix = f"\n      -> {line.fix}" if line.fix else ""
    return f"{_SIGNS[line.sign.value]} {line.what}: {line.found}{fix}"
