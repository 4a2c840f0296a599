"""`python -m bench.copy`: accounts copied side by side with the programs that a user could pick instead.

Prints what each run took; `--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import machine, page
from bench.command_line import names_of
from bench.data_sets import SETS
from bench.mailferry_copy import Mailferry
from bench.peer import CopierKind
from bench.peers_copy import OTHERS
from bench.rounds import SetRounds
from bench.servers import Servers
from bench.tables import HEADINGS, section
from tests.kit import debian

COPIERS: tuple[CopierKind, ...] = (Mailferry(), *OTHERS)
FEWEST_ROUNDS = 3
"""What the page shows is a median."""


def present(wanted: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions of mailferry and of what can run here of `wanted`, and why the rest cannot."""
    versions, missing = {}, {}
    for copier in COPIERS:
        if copier.name in {*wanted, Mailferry.name}:
            try:
                versions[copier.name] = copier.version()
            except debian.PeerMissing as error:
                missing[copier.name] = str(error)
    return versions, missing


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for; leaves the program when that makes no sense."""
    copiers = [copier.name for copier in COPIERS]
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description=__doc__)
    add = parser.add_argument
    add("--set", dest="sets", type=names_of(SETS), default=[*SETS], help="such as A,C")
    add("--rounds", type=int, default=FEWEST_ROUNDS, help="how often everything is done")
    add("--peers", type=names_of(copiers), default=copiers, help=",".join(copiers))
    add("--targets", type=names_of(HEADINGS), help=", ".join(HEADINGS))
    add("--quick", action="store_true", help="small sets: tries the bench itself, its figures say nothing")
    add("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    chosen = parser.parse_args(words)
    if chosen.rounds < 1:
        parser.error("--rounds is 1 at least")
    partly = chosen.quick or chosen.targets is not None or chosen.peers != copiers
    if chosen.write and (partly or chosen.rounds < FEWEST_ROUNDS):
        parser.error(f"--write wants whole sets, all peers and targets, and {FEWEST_ROUNDS} rounds at least")
    return chosen


def run_set(servers: Servers, name: str, chosen: argparse.Namespace, versions: Mapping[str, str]) -> str:
    """Measure one set and return its section of the page."""
    data_set = SETS[name].small() if chosen.quick else SETS[name]
    copiers = [copier for copier in COPIERS if copier.name in versions]
    where = f"{machine.described(servers.source.directory)}, {machine.busy()}"
    rounds = SetRounds(servers, data_set, copiers, say=_say)
    try:
        figures = rounds.run(chosen.rounds, chosen.targets)
    finally:
        rounds.close()
    command = f'make bench-copy ARGS="--set {name} --rounds {chosen.rounds} --write"'
    return section(figures, versions, command, where, chosen.rounds)


def main(words: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 0 when every figure could be taken."""
    chosen = arguments(sys.argv[1:] if words is None else words)
    versions, missing = present(chosen.peers)
    absent = "\n".join(f"Not measured here: {why}." for why in missing.values())
    if absent:
        _say(absent)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        servers = Servers(Path(folder))
        try:
            for name in chosen.sets:
                text = run_set(servers, name, chosen, versions)
                print(f"\nSet {name}\n\n{text}\n", flush=True)
                if chosen.write:
                    page.put(f"copy {name}", f"{text}\n\n{absent}")
        finally:
            servers.stop()
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
