"""The rounds of the proxy bench: each step with every proxy in turn, another one first each time.

All proxies of a round run side by side, each does nothing while another is measured. Memory is
taken from processes of their own that were just started, in the first round alone: the thousands of
logins that it takes are as long as all the rest of a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import mkdtemp

from bench.load_generator import Generator, NullBackend, Place, Users
from bench.measuring import RunFailed, server_cpu
from bench.proxy_figures import AFTER, BEFORE, BULK, DIRECT, IDLE, LOGIN, NOOP, Figures, Ran
from bench.proxy_peers import PeerKind, RunningProxy
from bench.proxy_service import MailferryService
from mailferry.lab.certificates import CertificateFiles
from tests.kit.daemon import DaemonDied, descendants

SETTLE_SECONDS = 0.3
"""Until the proxy has noticed that the last connections are closed."""
CALM_TRIES = 40
WARMING_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything one round does."""

    login_seconds: float = 4.0
    threads: int = 16
    tls_rate: float = 150.0
    """TLS logins a second. The generator's side of a handshake costs what the proxy's does: as fast as
    it can it would measure itself."""
    bulk_seconds: float = 2.0
    noop_seconds: float = 1.5
    sessions: tuple[int, ...] = (1_000, 4_000)
    users: int = 50
    message: int = 16 * 2**20
    strangers: int = 5_000


SMALL = Amounts(0.4, 4, 50.0, 0.2, 0.2, (10, 40), 3, 2**20, 90)
"""Tries the bench itself."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the tables: a proxy, and who logs in through it."""

    name: str
    kind: str
    """The proxy's name; `direct` for the server itself."""
    users: Users


class Bench:
    """The server, the generator, mailferry's store and the peers that are here."""

    def __init__(
        self,
        generator: Generator,
        backend: NullBackend,
        certificates: CertificateFiles,
        service: MailferryService,
        peers: Sequence[PeerKind],
        folder: Path,
    ) -> None:
        self.generator = generator
        self.service = service
        self._backend = backend
        self._certificates = certificates
        self._peers = {peer.name: peer for peer in peers}
        self._folder = folder

    def lanes(self) -> list[Lane]:
        """Return every row."""
        ours = [Lane(AFTER, self.service.name, self.service.after)]
        ours.append(Lane(BEFORE, self.service.name, self.service.before))
        others = [Lane(name, name, self.service.after) for name in self._peers]
        return [Lane(DIRECT, DIRECT, self.service.after), *ours, *others]

    @contextmanager
    def running(self, kind: str) -> Iterator[RunningProxy]:
        """Start the proxy in a folder of its own, and end it."""
        proxy = self.start(kind)
        try:
            yield proxy
        finally:
            proxy.stop()

    def start(self, kind: str) -> RunningProxy:
        """Start the proxy in a folder of its own."""
        if kind == self.service.name:
            return self.service.start()
        if kind == DIRECT:
            return _NoProxy(self._backend)
        folder = Path(mkdtemp(prefix=f"{kind}-", dir=self._folder))
        folder.chmod(0o755)
        return self._peers[kind].start(folder, self._backend.port, self._certificates)


class _NoProxy:
    """The server itself in a proxy's place."""

    def __init__(self, backend: NullBackend) -> None:
        self.plain = self.secure = Place(backend.port, tls=False)
        self.pids: Sequence[int] = [backend.pid]

    def stop(self) -> None:
        """Do nothing: others use it."""


class ProxyRounds:
    """Takes the figures of every lane."""

    def __init__(self, bench: Bench, amounts: Amounts, say: Callable[[str], None]) -> None:
        self.figures = Figures()
        self._bench = bench
        self._amounts = amounts
        self._say = say

    def run(self, number: int, steps: Sequence[str]) -> None:
        """Do one round of these steps."""
        lanes = [lane for lane in self._bench.lanes() if lane.name not in self.figures.failed]
        first = number % len(lanes)
        lanes = [*lanes[first:], *lanes[:first]]
        work = [step for step in (LOGIN, BULK, NOOP) if step in steps]
        if work:
            self._work(lanes, work)
        for tls in (False, True) if IDLE in steps and number == 0 else ():
            for lane in lanes:
                if lane.name != DIRECT and lane.name not in self.figures.failed:
                    with self._guarding(lane):
                        self._idle(lane, tls=tls)

    def _work(self, lanes: Sequence[Lane], steps: Sequence[str]) -> None:
        running: dict[str, RunningProxy] = {}
        try:
            for lane in lanes:
                if lane.kind not in running:
                    with self._guarding(lane):
                        running[lane.kind] = self._bench.start(lane.kind)
            for step, tls in product(steps, (False, True)):
                for lane in lanes:
                    skipped = lane.name in self.figures.failed or (tls and lane.name == DIRECT)
                    if lane.kind in running and not skipped:
                        with self._guarding(lane):
                            self._take(lane, step, tls, running[lane.kind])
        finally:
            for proxy in running.values():
                proxy.stop()

    def _take(self, lane: Lane, step: str, tls: bool, proxy: RunningProxy) -> None:
        place = proxy.secure if tls else proxy.plain
        generator, amounts = self._bench.generator, self._amounts
        generator.login(place, lane.users, WARMING_SECONDS, threads=2)  # what is done only once is done here
        time.sleep(SETTLE_SECONDS)
        before = _cpu(proxy)
        if step == LOGIN:
            load = generator.login(
                place,
                lane.users,
                amounts.login_seconds,
                threads=amounts.threads,
                rate=amounts.tls_rate if tls else 0.0,
            )
        elif step == BULK:
            load = generator.bulk(place, lane.users, amounts.bulk_seconds)
        else:
            load = generator.noop(place, lane.users, amounts.noop_seconds)
        time.sleep(SETTLE_SECONDS)
        ran = Ran(load, _cpu(proxy) - before)
        self.figures.runs.setdefault((lane.name, step, tls), []).append(ran)
        self._say(f"  {lane.name}: {step}{', TLS' * tls}: {_words(step, ran)}; generator {load.busy:.2f}")

    def _idle(self, lane: Lane, *, tls: bool) -> None:
        counts, generator = self._amounts.sessions, self._bench.generator
        with self._bench.running(lane.kind) as proxy:
            place = proxy.secure if tls else proxy.plain
            generator.login(place, lane.users, 1.0, threads=16, rate=150.0)
            time.sleep(SETTLE_SECONDS)
            empty = _memory(proxy, "Pss_Anon")
            self.figures.base.setdefault(lane.name, []).append(_memory(proxy, "Pss") / 1e6)
            with generator.idle(place, lane.users, counts) as sessions:
                for count in counts:
                    opened = sessions.more()
                    time.sleep(SETTLE_SECONDS)
                    each = (_memory(proxy, "Pss_Anon") - empty) / opened / 1024
                    self.figures.grown.setdefault((lane.name, tls, count), []).append(each)
                    self._say(f"  {lane.name}: {opened} idle sessions{', TLS' * tls}: {each:.1f} KiB each")
            _until_calm(proxy)

    @contextmanager
    def _guarding(self, lane: Lane) -> Iterator[None]:
        """Leave a peer out that fails, for good; the bench of a faulty mailferry is over."""
        try:
            yield
        except (RunFailed, DaemonDied) as error:
            if lane.kind in {DIRECT, self._bench.service.name}:
                raise
            self._say(f"  {lane.name} failed: {error}")
            self.figures.leave_out(lane.name, " ".join(str(error).split())[-300:])


def _words(step: str, ran: Ran) -> str:
    load = ran.load
    if step == LOGIN:
        return f"{load.rate:,.0f}/s, {ran.cpu / load.done * 1000:.3f} CPU s per 1,000"
    if step == BULK:
        return f"{load.octets / load.seconds / 1e6:,.0f} MB/s, {ran.cpu / load.octets * 1e9:.2f} CPU s per GB"
    return f"p50 {load.p50 * 1e6:.0f} us, p99 {load.p99 * 1e6:.0f} us"


def _cpu(proxy: RunningProxy) -> float:
    return sum(map(server_cpu, proxy.pids))


def _until_calm(proxy: RunningProxy) -> None:
    """Wait until the end of thousands of sessions is dealt with: perdition's are a process each."""
    for _ in range(CALM_TRIES):
        before = _cpu(proxy)
        time.sleep(SETTLE_SECONDS)
        if _cpu(proxy) - before < SETTLE_SECONDS / 10:
            return


def _memory(proxy: RunningProxy, kind: str) -> float:
    """Return octets of one kind (a line of smaps_rollup) of all of a proxy's processes.

    mailferry's cannot be looked into by others, not even of the same user, because they hold passwords.
    """
    total = 0
    for first in proxy.pids:
        for pid in (first, *descendants(first)):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue
            except PermissionError as error:
                raise RunFailed("only root sees how much memory is whose: sudo, or leave out idle") from error
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return total * 1024.0
