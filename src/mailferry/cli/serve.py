"""`mailferry serve`."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from mailferry.cli.program import Failed, invocation
from mailferry.config.faults import BadConfiguration
from mailferry.config.on_disk import faults_on_disk
from mailferry.config.settings import Settings
from mailferry.observe.metrics_dir import share_metrics_in


def serve(
    context: typer.Context,
    role: Annotated[
        Literal["proxy", "copier", "web", "all"],
        typer.Option(metavar="ROLE", help="proxy, copier, web, or all (each a process of its own)."),
    ] = "all",
) -> None:
    """Run the service until it is stopped."""
    call = invocation(context)
    settings = call.settings
    faults = faults_on_disk(settings, str(call.config))
    if faults:
        raise BadConfiguration(faults)
    try:
        status = _serve(settings, str(call.config), role)
    except OSError as error:
        where = error.filename or settings.service.state_dir
        raise Failed(f"{where}: {error.strerror}; see who owns it and what is free there (df)") from error
    raise typer.Exit(status)


def _serve(settings: Settings, config_file: str, role: str) -> int:
    if not share_metrics_in(settings.service.state_dir / "run" / "metrics"):
        os.execv(sys.executable, [sys.executable, "-m", "mailferry", *sys.argv[1:]])  # noqa: S606
    from mailferry.app.serve import RoleName  # after the metrics' folder was named
    from mailferry.app.serve import serve as run_service

    return run_service(settings, config_file, RoleName(role))
