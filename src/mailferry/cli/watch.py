"""`mailferry watch`: the move's progress in the terminal, drawn anew every second."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mailferry.cli.database import open_database
from mailferry.cli.showing import one_line
from mailferry.roster import accounts, domains
from mailferry.store import account_listing
from mailferry.store.database import Database

REDRAW_SECONDS = 1.0
PLAIN_SECONDS = 10.0
ROWS = 20


def watch(
    context: typer.Context,
    domain: Annotated[str | None, typer.Option(help="Only this domain.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Show the present state and leave.")] = False,
) -> None:
    """Show live progress until Ctrl-C; plain lines where there is no terminal."""
    database = open_database(context)
    if domain is not None:
        domain = domains.find(database, domain).name
    if once or not sys.stdout.isatty():
        while True:
            typer.echo(_line(database, domain))
            if once:
                return
            time.sleep(PLAIN_SECONDS)
    try:
        with Live(_picture(database, domain), refresh_per_second=4) as live:
            while True:
                time.sleep(REDRAW_SECONDS)
                live.update(_picture(database, domain))
    except KeyboardInterrupt:
        return


def _line(database: Database, domain: str | None) -> str:
    totals, states = _figures(database, domain)
    told = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    return f"{totals.accounts} accounts ({told or 'none'}); {totals.copied} of {totals.messages} messages"


def _figures(database: Database, domain: str | None) -> tuple[account_listing.Totals, dict[str, int]]:
    totals = database.read_now("totals", lambda conn: account_listing.totals(conn, domain))
    states = database.read_now("states", lambda conn: account_listing.counts_by_state(conn, domain))
    return totals, {state.value: count for state, count in states.items()}


def _picture(database: Database, domain: str | None) -> Group:
    table = Table(box=None, header_style="bold")
    for column in ("account", "phase", "progress", "left", "cause"):
        table.add_column(column)
    page = accounts.page(database, accounts.wanted(domain=domain, state="in_progress"), limit=ROWS)
    failed = accounts.page(database, accounts.wanted(domain=domain, state="failed"), limit=ROWS)
    for one in (*page.accounts, *failed.accounts):
        bar = ProgressBar(total=100, completed=one["percent"], width=30)
        cause = one.get("cause") or one.get("last_run", {}).get("cause")
        table.add_row(
            Text(one_line(one["address"])),
            one["phase"],
            bar,
            str(one["messages"]["remaining"]),
            one_line(cause),
        )
    return Group(Text(_line(database, domain), style="bold"), table)
