"""`mailferry demo`: the main job on embedded mail hosts, told step by step, every claim checked."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mailferry.cli.program import WrongUse


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the story.")] = False,
    provider: Annotated[
        str, typer.Option(metavar="ID", help="Rehearse with a provider's quirks.")
    ] = "generic",
    quirk: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One quirk more; may be repeated.")
    ] = None,
    dovecot: Annotated[
        bool, typer.Option("--dovecot", help="Two real Dovecot servers instead of our own hosts.")
    ] = False,
    sabotage: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Break the promise on purpose: the story must notice."),
    ] = None,
    messages: Annotated[int, typer.Option(min=20, max=20_000, help="How much mail the user has.")] = 400,
) -> None:
    """Tell and check the story of one move; leaves the service open until Ctrl-C."""
    from mailferry.lab.story import Terms, WrongTerms, rehearse  # the lab is for rehearsals only

    with tempfile.TemporaryDirectory(prefix="mailferry-demo-") as folder:
        terms = Terms(
            folder=Path(folder),
            provider=provider,
            quirks=tuple(quirk or ()),
            dovecot=dovecot,
            sabotage=sabotage,
            messages=messages,
        )
        try:
            status = rehearse(terms, typer.echo, None if once else _until_interrupted)
        except WrongTerms as error:
            raise WrongUse(str(error)) from None
    raise typer.Exit(status)


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        typer.echo("")
