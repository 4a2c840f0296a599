"""mailferry as one of the copiers: its store, its ledger, its intents and digests, every check on.

The copier is a process that serves for days, so its start-up is measured by itself and not counted
in the runs (`start_up`); everything that a pass does is.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.measuring import Cost, RunFailed
from bench.peer import CopierKind, Job
from bench.servers import MASTER, PASSWORD
from mailferry import __version__
from mailferry.app.parts import key_ring
from mailferry.config.loader import load
from mailferry.model.account import Event, Trigger
from mailferry.roster.account_files import import_accounts
from mailferry.store import accounts, domains
from mailferry.store.database import Database
from tests.kit.peer_dovecot import Dovecot

DOMAIN = "bench.test"
ROOT = Path(__file__).parents[1]
LONGEST_SECONDS = 3600.0


def configuration(job: Job) -> str:
    """Return the configuration file of one job's copier."""
    (job.folder / "master").write_text(MASTER[1])
    (job.folder / "state").mkdir(mode=0o700)
    return f"""
[service]
state_dir = "{job.folder}/state"
allow_networks = ["127.0.0.0/8"]
[target]
imap = "imap://127.0.0.1:{job.target.ports["imap"]}?tls=none"
login = "dovecot-master"
master_user = "{MASTER[0]}"
master_password = {{file = "{job.folder}/master"}}
"""


def make_account(config: Path, job: Job) -> None:
    """Make the store, the domain and the account, as an import with a password does."""
    settings = load(config)
    database = Database(settings.service.database_url.reveal().decode())
    try:
        database.upgrade()
        url = f"{job.protocol}://127.0.0.1:{job.source.ports[job.protocol]}?tls=none"
        by_imap = job.protocol == "imap"
        database.run_now(
            "domain",
            lambda conn: domains.add(
                conn,
                DOMAIN,
                provider="dovecot",  # as `domain add` finds out
                source_imap=url if by_imap else None,
                source_pop3=None if by_imap else url,
            ),
        )
        rows = f"target,source,password\n{job.target_user},{job.source_user},{PASSWORD}\n"
        report = import_accounts(database, key_ring(settings), rows.encode(), who="bench")
        if report.faults or report.passwords != 1:
            raise RunFailed(f"the account was not taken in: {report}")

        def begin(conn: Any) -> None:
            account = accounts.find(conn, job.target_user)
            assert account is not None
            accounts.apply(
                conn, account.id, Event.SOURCE_ACCEPTED, epoch=account.epoch, trigger=Trigger.IMPORT
            )

        database.run_now("begin", begin)
    finally:
        database.close()


class MailferryCopy:
    """One job's copier process."""

    keeps_octets = True

    def __init__(self, job: Job) -> None:
        self._config = job.folder / "mailferry.toml"
        self._config.write_text(configuration(job))
        make_account(self._config, job)
        self._log = (job.folder / "log").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.copier_process", str(self._config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
        )
        self.start_up = self._cost(self._answer())

    def run(self) -> Cost:
        """Run one pass."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"pass\n")
        self._process.stdin.flush()
        return self._cost(self._answer())

    def read_from(self, source: Dovecot) -> None:
        """Let the next passes read the same mail from another server."""
        url = f"imap://127.0.0.1:{source.ports['imap']}?tls=none"
        database = Database(load(self._config).service.database_url.reveal().decode())
        try:
            database.run_now("rules", lambda conn: domains.set_rules(conn, DOMAIN, source_imap=url))
        finally:
            database.close()

    def finish(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], LONGEST_SECONDS)[0]:
            self._process.kill()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RunFailed(f"the copier process ended with {self._process.returncode}\n{self._said()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def _cost(self, told: dict[str, Any]) -> Cost:
        if not told["clean"]:
            raise RunFailed(f"mailferry: {told['why']}\n{self._said()}")
        return Cost(float(told.get("seconds", 0.0)), float(told["cpu"]), int(told["peak"]))

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-3000:]


class Mailferry(CopierKind):
    """The product itself."""

    name = "mailferry"
    protocols = ("imap", "pop3")
    repeats = ("imap", "pop3")
    asks_target = True

    def version(self) -> str:
        """Return the product's version."""
        return __version__

    def prepare(self, job: Job) -> MailferryCopy:
        """Make a store with one account and start a copier process."""
        return MailferryCopy(job)
