"""`python -m bench.proxy`: mailferry's proxy side by side with haproxy, nginx, Dovecot's login proxy and perdition.

Prints what each run gave; `--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import machine, page
from bench.command_line import names_of
from bench.load_generator import Generator
from bench.measuring import RunFailed
from bench.proxy_figures import BESIDE, IDLE, STEPS, STRANGERS, Figures
from bench.proxy_peers import PEERS, PeerKind
from bench.proxy_rounds import SMALL, Amounts, Bench, ProxyRounds
from bench.proxy_service import MailferryService
from bench.proxy_tables import section
from bench.proxy_trials import TwoCopies, strangers
from mailferry.lab.certificates import make_certificates
from tests.kit import debian
from tests.kit.daemon import DaemonDied

FEWEST_ROUNDS = 3
"""What the page shows is a median."""
PART = "proxy"


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for; leaves the program when that makes no sense."""
    peers = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=FEWEST_ROUNDS, help="how often everything is done")
    add("--peers", type=names_of(peers), default=peers, help=",".join(peers))
    add("--steps", type=names_of(STEPS), default=[*STEPS], help=",".join(STEPS))
    add("--quick", action="store_true", help="small amounts: tries the bench itself, its figures say nothing")
    add("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    chosen = parser.parse_args(words)
    if chosen.rounds < 1:
        parser.error("--rounds is 1 at least")
    partly = chosen.quick or chosen.peers != peers or chosen.steps != [*STEPS]
    if IDLE in chosen.steps and os.getuid() != 0:
        if chosen.write:
            parser.error("--write is for root, who alone sees whose memory is whose")
        chosen.steps.remove(IDLE)
        _say("Without root nobody sees whose memory is whose: idle sessions are left out.")
    if chosen.write and (partly or chosen.rounds < FEWEST_ROUNDS):
        parser.error(f"--write wants all peers and steps, whole amounts, and {FEWEST_ROUNDS} rounds at least")
    return chosen


def present(wanted: Sequence[str]) -> tuple[list[PeerKind], dict[str, str], dict[str, str]]:
    """Return the peers of `wanted` that are here, the versions, and why the rest is missing."""
    peers, missing = [], {}
    versions = {MailferryService.name: MailferryService.version()}
    for peer in PEERS:
        if peer.name in wanted:
            try:
                versions[peer.name] = peer.version()
                peers.append(peer)
            except debian.PeerMissing as error:
                missing[peer.name] = str(error)
    return peers, versions, missing


def measure(chosen: argparse.Namespace, peers: Sequence[PeerKind], folder: Path) -> Figures:
    """Set everything up and do all rounds."""
    amounts = SMALL if chosen.quick else Amounts()
    generator = Generator(folder)
    certificates = make_certificates(folder / "certificates")
    backend = generator.backend(amounts.message)
    try:
        _say("accounts are made and log in for the first time")
        (folder / "mailferry").mkdir()
        service = MailferryService(
            folder / "mailferry", backend.port, certificates, generator, users=amounts.users
        )
        bench = Bench(generator, backend, certificates, service, peers, folder)
        rounds = ProxyRounds(bench, amounts, _say)
        for number in range(chosen.rounds):
            _say(f"round {number + 1}")
            rounds.run(number, chosen.steps)
        if STRANGERS in chosen.steps:
            _say("who never logs in")
            with _leaving_out(rounds.figures, "who never logs in"):
                rounds.figures.strangers.append(strangers(generator, service, amounts.strangers))
        if BESIDE in chosen.steps:
            _say("two copies beside the users' sessions")
            with _leaving_out(rounds.figures, "two copies beside sessions"):
                _beside(chosen, rounds.figures, generator, service, folder)
    finally:
        backend.stop()
    return rounds.figures


@contextmanager
def _leaving_out(figures: Figures, trial: str) -> Iterator[None]:
    """Have the page say that a trial failed: the rounds before it are worth as much as ever."""
    try:
        yield
    except (RunFailed, DaemonDied) as error:
        _say(f"{trial} failed: {error}")
        figures.failed[trial] = " ".join(str(error).split())[-300:]


def _beside(
    chosen: argparse.Namespace,
    figures: Figures,
    generator: Generator,
    service: MailferryService,
    folder: Path,
) -> None:
    copies = TwoCopies(folder, generator, service, 3_000 if chosen.quick else 20_000)
    seconds = (0.3, 0.2) if chosen.quick else (4.0, 2.0)
    try:
        for number in range(chosen.rounds):
            figures.beside.append(copies.run(number, login_seconds=seconds[0], noop_seconds=seconds[1]))
    finally:
        copies.stop()


def main(words: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 0 when every figure could be taken."""
    chosen = arguments(sys.argv[1:] if words is None else words)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # what is started here inherits it
    peers, versions, missing = present(chosen.peers)
    absent = "\n".join(f"Not measured here: {why}." for why in missing.values())
    if absent:
        _say(absent)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)  # servers run as another user when we are root
        where = f"{machine.described(folder)}, {machine.busy()}"
        try:
            figures = measure(chosen, peers, folder)
        except debian.PeerMissing as error:
            sys.stderr.write(f"{error}\n")
            return 1
    amounts = SMALL if chosen.quick else Amounts()
    command = f'make bench-proxy ARGS="--rounds {chosen.rounds} --write"'
    told = f"Medians of {chosen.rounds} round{'s' * (chosen.rounds > 1)}, by `{command}` on {where}."
    text = section(figures, versions, told=told, sessions=amounts.sessions, goals=not chosen.quick)
    print(f"\n{text}\n", flush=True)
    if chosen.write:
        page.put(PART, f"{text}\n\n{absent}")
    return 1 if figures.failed else 0


_BEGAN = time.monotonic()


def _say(line: str) -> None:
    print(f"{(time.monotonic() - _BEGAN) / 60:5.1f} min  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
