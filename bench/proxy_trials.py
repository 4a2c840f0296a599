"""Two trials of mailferry alone: thousands who never log in, and two copies beside the users' sessions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.data_sets import DataSet, lay
from bench.load_generator import Generator
from bench.measuring import RunFailed, server_cpu
from bench.proxy_figures import Beside, Strangers
from bench.proxy_service import MailferryService, until
from bench.servers import FULL, Servers
from mailferry.store import accounts, domains
from mailferry.store.database import Database

LOGIN_SECONDS = 60.0
"""What a client has from accept to login."""
PATIENCE = 15.0
"""How much longer is waited before somebody counts as kept for ever."""
RATE = 20.0
"""Good logins a second, far from what the proxy can do: their time is the proxy's, not a queue's."""
OVER = 10.0
"""Seconds over which the strangers come."""


def strangers(generator: Generator, service: MailferryService, count: int) -> Strangers:
    """Let so many come that never log in, and users log in meanwhile."""
    proxy = service.start()
    try:
        generator.login(proxy.plain, service.after, 1.0, threads=2)
        before = sum(map(server_cpu, proxy.pids))
        with ThreadPoolExecutor(1) as pool:
            lives = pool.submit(
                generator.strangers,
                proxy.plain,
                proxy.secure,
                count,
                over=OVER,
                seconds=LOGIN_SECONDS + PATIENCE,
            )
            logins = generator.login(proxy.plain, service.after, OVER + LOGIN_SECONDS, threads=64, rate=RATE)
            told = lives.result()
        cpu = sum(map(server_cpu, proxy.pids)) - before
    finally:
        proxy.stop()
    if told["refused"]:
        raise RunFailed(f"{told['refused']} strangers found no open port")
    kinds = {kind: float(told[kind]) for kind in ("silent", "dripping", "half")}
    return Strangers(int(told["came"]), int(told["left"]), kinds, logins, cpu)


class TwoCopies:
    """Mail for two accounts, and what sessions feel while it is copied; `stop()` ends the servers."""

    def __init__(self, folder: Path, generator: Generator, service: MailferryService, messages: int) -> None:
        self._set = DataSet("two copies", messages, 5, 4_000, 20_000)
        self._generator = generator
        self._service = service
        self._servers = Servers(Path(tempfile.mkdtemp(dir=folder)))
        self._sources = ["one@bench.test", "two@bench.test"]
        for user in self._sources:
            lay(self._set, self._servers.source, user)

    def run(self, number: int, *, login_seconds: float, noop_seconds: float) -> Beside:
        """Measure without copies, then while both run. Raises RunFailed when these were over too soon."""
        service, generator = self._service, self._generator
        domain = f"copies{number}.test"
        targets = [f"{name}@{domain}" for name in ("one", "two")]
        ports = [server.ports["imap"] for server in (self._servers.source, self._servers.target(FULL))]
        service.add_copied_domain(domain, *ports)
        proxy = service.start("all")
        try:
            generator.login(proxy.plain, service.after, 1.0, threads=2)
            alone = generator.login(proxy.plain, service.after, login_seconds, threads=16, rate=RATE)
            noop_alone = generator.noop(proxy.plain, service.after, noop_seconds)
            service.import_for_copy(list(zip(targets, self._sources, strict=True)))
            service.with_store(lambda store: until(lambda: _copying(store, targets), 60.0, "both copies run"))
            beside = generator.login(proxy.plain, service.after, login_seconds, threads=16, rate=RATE)
            noop_beside = generator.noop(proxy.plain, service.after, noop_seconds)
            if not service.with_store(lambda store: _copying(store, targets)):
                raise RunFailed("a copy was over before its neighbours were measured: the set is too small")
        finally:
            service.with_store(
                lambda store: store.run_now(
                    "pause", lambda conn: domains.set_rules(conn, domain, paused=True)
                )
            )
            proxy.stop()
        return Beside(alone, noop_alone, beside, noop_beside)

    def stop(self) -> None:
        """End the servers."""
        self._servers.stop()


def _copying(store: Database, targets: Sequence[str]) -> bool:
    """Whether each account has begun and is not through."""
    for address in targets:
        account = store.read_now("progress", lambda conn, address=address: accounts.find(conn, address))  # type: ignore[misc]
        if account is None or not account.copied or not account.remaining:
            return False
    return True
