"""Commands about one account's messages: what was left out, what differs, what became of each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailferry.cli.database import open_database
from mailferry.cli.long_work import long_work
from mailferry.cli.program import Failed, WrongUse, invocation
from mailferry.cli.showing import AsJson, JsonReport, one_line, show_json_list, show_table
from mailferry.cli.words import Address
from mailferry.roster import accounts

if TYPE_CHECKING:
    from mailferry.copying.skipped_mail import FetchedMail
    from mailferry.copying.verify_findings import Difference

_COLUMNS = ("mailbox", "uid", "reason", "detail", "size", "tries", "at")


def skipped(
    context: typer.Context,
    address: Address,
    eml: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Fetch them from the source into this folder, each into a file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the messages that were not copied, each with its reason."""
    if eml is not None:
        _fetch(context, address, eml, as_json=as_json)
        return
    pages = accounts.every_skipped(open_database(context), address)
    if as_json:
        show_json_list(row for page in pages for row in page)
        return
    for page in pages:
        show_table(_COLUMNS, ([row.get(column) for column in _COLUMNS] for row in page))


def _fetch(context: typer.Context, address: str, folder: Path, *, as_json: bool) -> None:
    from mailferry.app.fetching_skipped import fetch_one  # loads every role: only when asked for
    from mailferry.cli.in_reactor import in_reactor
    from mailferry.roster.account_views import mailbox_shown

    settings = invocation(context).settings
    report = JsonReport({"address": address, "folder": str(folder)}, "messages") if as_json else None
    counts = {"fetched": 0, "not_had": 0}

    def tell(one: FetchedMail) -> None:
        counts["not_had" if one.file is None else "fetched"] += 1
        shown, file = mailbox_shown(one.mailbox), None if one.file is None else str(one.file)
        if report is not None:
            report.add({"mailbox": shown, "uid": one.source_uid, "file": file, "why": one.why or None})
        else:
            told = "; ".join(word for word in (file or "could not be had", one.why) if word)
            sys.stdout.write(f"{shown} uid {one.source_uid}: {one_line(told)}\n")

    rest = None
    try:
        with long_work(f"{address}: fetching what was skipped"):
            in_reactor(lambda reactor: fetch_one(settings, reactor, address, folder, tell))
        rest = counts
    finally:
        if report is not None:
            report.close(rest)
    if report is None:
        sys.stdout.write(
            f"{address}: {counts['fetched']} in {folder}, {counts['not_had']} could not be had\n"
        )
    if counts["not_had"]:
        raise Failed(f"messages that could not be had: {counts['not_had']}")


def verify(
    context: typer.Context,
    address: Address,
    sample: Annotated[
        str, typer.Option(help="How much is read again: a share such as 1% (one message at least), or all.")
    ] = "all",
    as_json: AsJson = False,
) -> None:
    """Compare source and target message by message and say what differs."""
    share = _share(sample)
    from mailferry.app import verifying  # loads every role: only when asked for
    from mailferry.cli.in_reactor import in_reactor

    settings = invocation(context).settings
    shown = JsonReport({"address": address}, "differences") if as_json else None

    def tell(difference: Difference) -> None:
        if shown is not None:
            shown.add(verifying.as_json(difference))
        else:
            sys.stdout.write(verifying.line_of(difference) + "\n")

    rest = None
    try:
        with long_work(f"{address}: reading both sides"):
            report = in_reactor(lambda reactor: verifying.verify_one(settings, reactor, address, share, tell))
        rest = report.as_json()
    finally:
        if shown is not None:
            shown.close(rest)
    if shown is None:
        for line in report.lines():
            sys.stdout.write(line + "\n")
    if not report.equal:
        raise Failed("the two sides differ")


def _share(sample: str) -> float:
    if sample == "all":
        return 1.0
    try:
        share = float(sample.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise WrongUse("write --sample 1% (up to 100%), or all")
    return share


def receipt(
    context: typer.Context,
    address: Address,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; - writes standard output.")],
) -> None:
    """Write one line a message to a CSV file: copied, already there, or skipped and why."""
    from mailferry.roster.receipt import save_receipt, write_receipt  # other commands need no copier

    database = open_database(context)
    if str(file) == "-":
        write_receipt(database, address, sys.stdout.buffer)
        return
    try:
        with long_work(f"{address}: writing {file}"):
            lines = save_receipt(database, address, file)
    except FileExistsError:
        raise Failed(f"{file} exists already") from None
    typer.echo(f"{file} is written: {lines} messages")
