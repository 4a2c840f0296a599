"""The program's entry: `mailferry ...` and `python -m mailferry ...`."""

from __future__ import annotations

import sys

from mailferry.app.crashes import refuse_core_dumps
from mailferry.cli.commands import program
from mailferry.cli.program import run
from mailferry.cli.streams import settle_streams


def main() -> None:
    """Run the command line and leave with its status."""
    settle_streams()
    refuse_core_dumps()
    sys.exit(run(program))


if __name__ == "__main__":
    main()
