"""`mailferry serve`."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from mailferry.cli.program import invocation
from mailferry.observe.metrics_dir import share_metrics_in


def serve(
    context: typer.Context,
    role: Annotated[
        Literal["proxy", "copier", "web", "all"],
        typer.Option(help="One role, or all, each a process of its own."),
    ] = "all",
) -> None:
    """Run the service until it is stopped."""
    call = invocation(context)
    settings = call.settings
    state_dir = settings.service.state_dir
    # without a state directory serve() says what is missing
    if state_dir.is_dir() and not share_metrics_in(state_dir / "run" / "metrics"):
        os.execv(sys.executable, [sys.executable, "-m", "mailferry", *sys.argv[1:]])  # noqa: S606
    from mailferry.app.serve import RoleName  # after the metrics' folder was named
    from mailferry.app.serve import serve as run_service

    raise typer.Exit(run_service(settings, str(call.config), RoleName(role)))
