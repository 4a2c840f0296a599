"""`mailferry account`: where each account stands, and what an operator may do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mailferry.cli import account_mail
from mailferry.cli.database import open_database
from mailferry.cli.long_work import long_work
from mailferry.cli.program import Failed, WrongUse, invocation
from mailferry.cli.secrets import ask_password
from mailferry.cli.showing import AsJson, show_facts, show_json, show_table
from mailferry.cli.who import operator
from mailferry.cli.words import Address
from mailferry.roster import account_changes, account_files, accounts, switching
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.database import Database
from mailferry.store.flips_log import LOG_FILE

commands = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Accounts: list, show, retry, import, verify, ..."
)


@commands.command(name="list")
def list_all(
    context: typer.Context,
    domain: Annotated[str | None, typer.Option(help="Only this domain.")] = None,
    state: Annotated[
        str | None, typer.Option(help="not_started, in_progress, done, failed or not_migrating.")
    ] = None,
    cause: Annotated[str | None, typer.Option(help="Only accounts that failed by this cause.")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the address.")] = None,
    verified: Annotated[
        bool | None,
        typer.Option(
            "--verified/--never-verified",
            help="Only those of which the old host took a password, or took none.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List accounts, by address."""
    try:
        only = accounts.wanted(domain=domain, state=state, cause=cause, search=search, verified=verified)
    except RosterRefusal as error:  # no such state, no such cause
        raise WrongUse(str(error)) from None
    found = accounts.every(open_database(context), only)
    if as_json:
        show_json(list(found))
        return
    rows = (
        (
            one["address"],
            one["state"],
            one["phase"],
            f"{one['percent']:.0f} %",
            one["messages"]["remaining"],
            one["messages"]["skipped"],
            one.get("cause") or one.get("last_run", {}).get("cause"),
        )
        for one in found
    )
    show_table(("address", "state", "phase", "copied", "left", "skipped", "cause"), rows)


@commands.command()
def show(context: typer.Context, address: Address, as_json: AsJson = False) -> None:
    """Show one account: state, counts, what went wrong, and who must act."""
    found = accounts.show(open_database(context), address)
    if as_json:
        show_json(found)
        return
    show_facts(dict(_flat(found)))


def _flat(value: dict[str, Any], before: str = "") -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            facts += _flat(inner, f"{before}{name}.")
        elif name == "remarks":
            for one in inner:
                words = (one["subject"], str(one["number"]), one["detail"])
                facts.append((f"remark.{one['kind']}", " ".join(word for word in words if word)))
        else:
            facts.append((before + name, inner))
    return facts


@commands.command()
def log(
    context: typer.Context,
    address: Address,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest changes only.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the changes of phase of one account, newest first."""
    rows = accounts.log(open_database(context), address, limit=limit)
    if as_json:
        show_json(rows)
        return
    columns = ("at", "event", "from", "to", "cause", "detail", "who")
    show_table(columns, ([row.get(column) for column in columns] for row in rows))


commands.command()(account_mail.skipped)


def _act(context: typer.Context, address: str, change: Callable[..., object], word: str, **more: Any) -> None:
    change(open_database(context), address, who=operator(), **more)
    typer.echo(f"{address}: {word}")


@commands.command()
def retry(context: typer.Context, address: Address) -> None:
    """Try again now what failed."""
    _act(context, address, account_changes.retry, "is tried again")


@commands.command()
def approve(context: typer.Context, address: Address) -> None:
    """Let what is held go on: deletions that wait, or a copy that seems incomplete."""
    _act(context, address, account_changes.approve, "is approved")


@commands.command()
def pause(context: typer.Context, address: Address) -> None:
    """Copy nothing for the account until it is resumed; logins go on."""
    _act(context, address, account_changes.pause, "is paused")


@commands.command()
def resume(context: typer.Context, address: Address) -> None:
    """Go on copying."""
    _act(context, address, account_changes.resume, "goes on")


@commands.command()
def reset(context: typer.Context, address: Address) -> None:
    """Take a target-only account for one that has not started its move yet."""
    _act(context, address, account_changes.reset, "may start its move")


@commands.command()
def exclude(context: typer.Context, address: Address) -> None:
    """Take an account for one that has nothing to move: the new host serves it from the first login on."""
    _act(context, address, account_changes.mark_local, "is not migrating")


@commands.command()
def switch(
    context: typer.Context,
    address: Address,
    force: Annotated[bool, typer.Option(help="Also when the password was never set at the target.")] = False,
) -> None:
    """Serve the account from the target now; what is not copied yet follows."""
    flips = invocation(context).settings.service.state_dir / LOG_FILE
    _act(context, address, switching.switch, "lives on the target now", flips_file=flips, force=force)


@commands.command()
def password(context: typer.Context, address: Address) -> None:
    """Give the old password once more, for the copy; it is never set at the target by this."""
    secret = ask_password("Password at the old host")
    ring = _ring(context)
    account_changes.password(open_database(context), ring, address, secret, who=operator())
    typer.echo(f"{address}: the password is kept for the copy")


def _ring(context: typer.Context) -> Any:
    from mailferry.app.parts import key_ring  # loads every role: only where passwords are sealed

    return key_ring(invocation(context).settings)


@commands.command(name="import")
def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; - reads standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in accounts from a CSV file; with one wrong row nothing is taken."""
    octets = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
    database: Database = open_database(context)
    with long_work("taking in accounts"):
        report = account_files.import_accounts(
            database, _ring(context), octets, who=operator(), dry_run=dry_run
        )
    if as_json:
        import dataclasses

        shown = dataclasses.asdict(dataclasses.replace(report, first=()))  # those hold passwords
        shown.pop("first")
        show_json(shown)
    else:
        name = "standard input" if str(file) == "-" else str(file)
        for fault in report.faults:
            typer.echo(f"{name}, line {fault.line}: {fault.message}", err=True)
        word = "that would be added" if dry_run else "added"
        if not report.faults:
            told = f"rows: {report.rows}; accounts {word}: {report.added}; passwords: {report.passwords}"
            typer.echo(told)
            for domain in report.only_listed:
                typer.echo(
                    f"{domain.name} moves listed accounts only: {domain.listed} of this file, {domain.others} that "
                    "are there beside it; every other address is not migrating"
                )
            for address in report.left_alone:
                typer.echo(f"  {address} has started its move and is left as it is")
    if report.faults:
        raise Failed(f"wrong rows: {len(report.faults)}; nothing was taken in")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WrongUse(f"{file}: {error.strerror}") from error


@commands.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; - writes standard output.")],
    domain: Annotated[str | None, typer.Option(help="Only this domain.")] = None,
) -> None:
    """Write accounts to a CSV file, without passwords; an existing file is not overwritten."""
    database: Database = open_database(context)
    only = accounts.wanted(domain=domain)
    if str(file) == "-":
        sys.stdout.buffer.write(account_files.export_accounts(database, only))
        return
    from mailferry.copying.new_file import NewFile  # other commands need no copier

    try:
        with long_work(f"writing {file}"), NewFile(file) as new:
            new.stream.write(account_files.export_accounts(database, only))
            new.keep()
    except FileExistsError:
        raise Failed(f"{file} exists already") from None
    typer.echo(f"{file} is written")


commands.command()(account_mail.verify)
commands.command()(account_mail.receipt)
