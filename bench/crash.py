"""`python -m bench.crash`: the copier is killed with SIGKILL again and again, and the mail compared.

Several accounts are copied side by side between real Dovecots, each by a process of its own that is
killed at a drawn moment of its pass and started again. When an account is whole, Dovecot's own tool
reads both sides; then the source changes, and the passes that follow are killed as well.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine, page
from bench.command_line import names_of
from bench.crash_account import TARGETS, Account
from bench.crash_tally import FAULTS, Book, Tally, report
from bench.errands import Errands, Lane, Pause
from bench.servers import Servers

LANES = 6
FEWEST_KILLS = 300
"""What the page shows."""


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=FEWEST_KILLS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--lanes", type=int, default=LANES, help="accounts copied side by side")
    parser.add_argument("--targets", type=names_of(TARGETS), default=[*TARGETS], help=", ".join(TARGETS))
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    chosen = parser.parse_args(words)
    if chosen.write and (chosen.kills < FEWEST_KILLS or set(chosen.targets) != set(TARGETS)):
        parser.error(f"--write wants all targets and {FEWEST_KILLS} kills at least")
    return chosen


def main(words: Sequence[str] | None = None) -> int:
    """Kill as often as wanted; the exit status is 1 when a single message was lost, twice or altered."""
    chosen = arguments(sys.argv[1:] if words is None else words)
    print(f"seed {chosen.seed}", flush=True)
    book = Book(chosen.kills, {kind: Tally() for kind in chosen.targets})
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-crash-") as folder:
        servers = Servers(Path(folder))
        try:
            for kind in chosen.targets:
                servers.target(kind)
            lanes = [
                Account(number, servers, Path(folder), book, chosen.seed) for number in range(chosen.lanes)
            ]
            Errands().run([*(lane.life() for lane in lanes), _watch(book)])
            where = machine.described(servers.source.directory)
        finally:
            servers.stop()
    text = report(book, chosen.seed, time.monotonic() - began, where)
    print(text, flush=True)
    for kind, tally in book.tallies.items():
        for line in tally.examples[:5]:
            print(f"{kind}: {line}", flush=True)
    if chosen.write:
        page.put("crash", text)
    return 1 if book.faults.total() else 0


def _watch(book: Book) -> Lane:
    """Tell every ten seconds how far it is."""
    while not book.enough:
        yield Pause(10.0)
        faults = ", ".join(f"{book.faults[fault]} {fault}" for fault in FAULTS)
        print(f"  {book.kills} kills of {book.wanted}: {faults}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
