"""A bar on the terminal while something long is done; where there is no terminal, what is found is the lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def long_work(what: str, console: Console | None = None) -> Iterator[None]:
    """Show that `what` goes on, with the time it has taken, until the block ends; on standard error, and no line of it stays.

    Standard output is left alone, so that it can be piped on while the bar stands on the terminal.
    """
    shown = console or Console(stderr=True)
    if not shown.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(
        *columns, console=shown, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        progress.add_task(what, total=None)
        yield
