"""`mailferry key`: the service key, under which the keys of the domains' windows are encrypted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailferry.cli.database import open_database
from mailferry.cli.program import Failed, WrongUse, invocation
from mailferry.cli.who import operator

if TYPE_CHECKING:
    from mailferry.passwords.rotation import Rotated
    from mailferry.passwords.service_key import ServiceKey
    from mailferry.store.database import Database

commands = typer.Typer(add_completion=False, no_args_is_help=True, help="The service key: rotate.")

KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, help="A file with the other key."),
]


@commands.callback()
def key() -> None:
    """Keep `rotate` a word of its own."""


@commands.command()
def rotate(context: typer.Context, to: KeyFile = None, former: KeyFile = None) -> None:
    """Change the service key and encrypt the keys of all windows anew; the service goes on meanwhile.

    A key that the service made itself is replaced in one go. One that the configuration names changes in three
    steps: `key rotate --to NEW` lets everything open under both, then service.key names the new one and the service
    is restarted, then `key rotate --former OLD` ends the old one.
    """
    from mailferry.app.parts import KEYS_FOLDER  # loads every role: only where keys are at hand
    from mailferry.passwords import rotation
    from mailferry.passwords.service_key import ServiceKey

    settings = invocation(context).settings.service
    folder = settings.state_dir / KEYS_FOLDER
    configured = settings.key
    if to is not None and former is not None:
        raise WrongUse("either --to or --former")
    if configured is None and (to is not None or former is not None):
        raise WrongUse("the service made its key itself: key rotate replaces it without a file")
    if configured is not None and to is None and former is None:
        raise WrongUse("service.key names the key: key rotate --to NEW, then change it there and restart")
    with closing(open_database(context)) as database:
        domains = _domains(database)
        if configured is None:
            done = rotation.rotate_own(settings.state_dir, folder, domains)
            said = f"{done.files} windows' keys are encrypted under a new service key"
        elif to is not None:
            done = rotation.wrap_for(folder, domains, ServiceKey(configured), _key_in(to))
            said = (
                f"{done.files} windows' keys open under both keys; now let service.key name the new one, restart "
                "the service, and run key rotate --former with the file of the present one"
            )
        else:
            assert former is not None
            done = rotation.leave_behind(folder, domains, ServiceKey(configured), _key_in(former))
            said = f"{done.files} windows' keys open under the configured key alone"
        _audit(database, said)
    typer.echo(said)
    _tell_unopened(done)


def _domains(database: Database) -> list[str]:
    """Return the names of all domains that ever had a window."""
    from mailferry.store import domains

    return database.read_now("names of domains", domains.names_ever)


def _audit(database: Database, said: str) -> None:
    from mailferry.store import audit

    who = operator()
    database.run_now(
        "key rotate",
        lambda conn: audit.write(conn, who=who, what="key.rotate", subject="service key", detail=said),
    )


def _key_in(path: Path) -> ServiceKey:
    from mailferry.model.access import Secret
    from mailferry.passwords.service_key import BadServiceKey, ServiceKey

    octets = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    try:
        return ServiceKey(Secret(octets))
    except BadServiceKey as error:
        raise Failed(f"{path}: {error}") from None


def _tell_unopened(done: Rotated) -> None:
    if done.unopened:
        raise Failed(f"these open under neither key and stay as they are: {', '.join(done.unopened)}")
