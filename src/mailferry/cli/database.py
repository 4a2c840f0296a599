"""`mailferry db`: the store's schema, its state, and its agreement with `flips.log`."""

from __future__ import annotations

import dataclasses

import typer

from mailferry.cli.program import invocation
from mailferry.cli.showing import AsJson, show_json
from mailferry.store import flips_log
from mailferry.store.database import Database

commands = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The store: upgrade, status, reconcile."
)


def open_database(context: typer.Context) -> Database:
    """Return the configured database, for blocking use."""
    return Database(invocation(context).settings.service.database_url.reveal().decode())


@commands.command()
def upgrade(context: typer.Context) -> None:
    """Make the tables or bring them to the newest version; `serve` does this by itself."""
    database = open_database(context)
    before = database.upgrade()
    after = database.status().versions
    database.close()
    typer.echo(f"{database.place.shown}: version {after.present}, before {before.present or 'none'}")


@commands.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show where the store is, its version and its size."""
    database = open_database(context)
    found = database.status()
    database.close()
    if as_json:
        show_json(dataclasses.asdict(found))
        return
    typer.echo(f"{found.kind} at {found.place} ({found.server_version})")
    typer.echo(f"schema version {found.versions.present or 'none'}, newest {found.versions.newest}")
    typer.echo(f"{found.octets:,} bytes")


@commands.command()
def reconcile(context: typer.Context) -> None:
    """After a back-up was restored: bring the store up to flips.log, stopped service only."""
    from mailferry.app.instance_lock import take_instance_lock

    state_dir = invocation(context).settings.service.state_dir
    take_instance_lock(state_dir, patience=0)
    database = open_database(context)
    missing = flips_log.reconcile(database, state_dir / flips_log.LOG_FILE)
    database.close()
    for flip in missing:
        typer.echo(f"{flip.address}: on the target since epoch {flip.epoch}")
    typer.echo(f"{len(missing)} flips were missing" if missing else "nothing was missing")
