"""mailferry as one of the proxies: the real service with two kinds of accounts, before their flip and after.

Everything is on: the store on disk, the shield, session rows, a line in the log for each login.
Accounts get where they are as users bring them there: imported, logged in once, so that the password is
sealed, set in the target's users file and proved there; half of them then become what the end of a
copy makes of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from bench.load_generator import PASSWORD, Generator, Place, Users
from bench.measuring import RunFailed
from bench.proxy_peers import PROCESSES
from bench.servers import MASTER
from mailferry import __version__
from mailferry.app.parts import key_ring
from mailferry.config.loader import load
from mailferry.config.toml_text import toml_tables
from mailferry.lab.certificates import CertificateFiles
from mailferry.lab.free_ports import free_port
from mailferry.lab.rehearsed_service import local_listener
from mailferry.lab.service_process import ServiceProcess
from mailferry.model.account import Event, Phase
from mailferry.roster.account_files import import_accounts
from mailferry.store import accounts, domains, passwords
from mailferry.store.database import Database

DOMAIN = "bench.test"
PROVED_SECONDS = 180.0

Role = Literal["proxy", "all"]


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`, asked ten times a second. Raises RunFailed."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RunFailed(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
    return value


class MailferryProxy:
    """The service while it runs."""

    def __init__(self, processes: ServiceProcess, plain: Place, secure: Place, role: Role) -> None:
        self.plain, self.secure = plain, secure
        self._processes = processes
        processes.start(["--role", role])

    @property
    def pids(self) -> Sequence[int]:
        """The parent; every worker is below it."""
        assert self._processes.pid is not None
        return [self._processes.pid]

    def stop(self) -> None:
        """End it as systemd does."""
        self._processes.stop()


class MailferryService:
    """One configuration and its store."""

    name = "mailferry"

    def __init__(
        self,
        folder: Path,
        backend: int,
        certificates: CertificateFiles,
        generator: Generator,
        *,
        users: int,
    ) -> None:
        """Make the store and bring `users` accounts of each kind where they belong."""
        self.before, self.after = Users("before", users), Users("after", users)
        self._folder = folder
        self._url = f"imap://127.0.0.1:{backend}?tls=none"
        self._plain, self._secure = Place(free_port(), tls=False), Place(free_port(), tls=True)
        self._config = folder / "mailferry.toml"
        self._processes = ServiceProcess(self._config, folder / "serve.log", own_session=False)
        (folder / "state").mkdir(mode=0o700)
        (folder / "master").write_text(MASTER[1])
        (folder / "users").touch()
        self._config.write_text(self._toml(certificates))
        self.with_store(self._add_accounts)
        self._first_logins(generator)
        self.with_store(self._flip)

    @staticmethod
    def version() -> str:
        """Return the product's version."""
        return __version__

    def start(self, role: Role = "proxy") -> MailferryProxy:
        """Run `mailferry serve`."""
        return MailferryProxy(self._processes, self._plain, self._secure, role)

    def with_store(self, work: Callable[[Database], Any]) -> Any:
        """Do something with the store, as a command does."""
        database = Database(load(self._config).service.database_url.reveal().decode())
        try:
            return work(database)
        finally:
            database.close()

    def add_copied_domain(self, name: str, source: int, target: int) -> None:
        """Add a domain whose accounts are copied between the servers at these loopback ports."""

        def add(conn: Any) -> None:
            domains.add(conn, name, source_imap=_imap(source), target_imap=_imap(target))

        self.with_store(lambda database: database.run_now("domain", add))

    def import_for_copy(self, rows: Sequence[tuple[str, str]]) -> None:
        """Take in accounts (target, source) with their password: their copies begin by themselves."""
        table = "".join(f"{target},{source},{PASSWORD}\n" for target, source in rows)
        self.with_store(lambda database: self._import(database, f"target,source,password\n{table}"))

    def _import(self, database: Database, table: str) -> None:
        report = import_accounts(database, key_ring(load(self._config)), table.encode(), who="bench")
        if report.faults:
            raise RunFailed(f"accounts were not taken in: {report}")

    def _toml(self, certificates: CertificateFiles) -> str:
        return toml_tables(
            {
                "service": {
                    "state_dir": self._folder / "state",
                    "proxy_processes": PROCESSES,
                    "allow_networks": ["127.0.0.0/8"],
                    "drain_seconds": 3,
                },
                "listen": [
                    local_listener("imap", self._plain.port, "none"),
                    local_listener("imap", self._secure.port, "implicit"),
                ],
                "tls": {"certificate": certificates.certificate, "key": certificates.key},
                "target": {
                    "imap": self._url,
                    "login": "dovecot-master",
                    "master_user": MASTER[0],
                    "master_password": {"file": self._folder / "master"},
                },
                "passwords": {"backend": "passwd-file", "scheme": "SHA512-CRYPT"},
                "passwords.passwd-file": {"path": self._folder / "users", "create": True},
            }
        )

    def _add_accounts(self, database: Database) -> None:
        database.upgrade()
        database.run_now("domain", lambda conn: domains.add(conn, DOMAIN, source_imap=self._url))
        rows = "".join(f"{address}\n" for address in self._addresses())
        self._import(database, f"target\n{rows}")

    def _addresses(self) -> list[str]:
        return self.before.addresses() + self.after.addresses()

    def _first_logins(self, generator: Generator) -> None:
        """Let every user log in once, and wait until the passwords stand at the target."""
        running = self.start()
        try:
            for users in (self.before, self.after):
                with generator.idle(running.plain, users, [users.count]) as sessions:
                    sessions.more()
            self.with_store(
                lambda database: until(
                    lambda: database.read_now("proved", self._all_proved),
                    PROVED_SECONDS,
                    f"every password is proved at the target\n{self._processes.last_words()}",
                )
            )
        finally:
            running.stop()

    def _all_proved(self, conn: Any) -> bool:
        for address in self._addresses():
            account = accounts.find(conn, address)
            if account is None or passwords.get(conn, account.id).proved_at is None:
                return False
        return True

    def _flip(self, database: Database) -> None:
        """Bring one half to the target; the copier must leave the other half as it is."""

        def flip(conn: Any) -> None:
            for address in self.after.addresses():
                account = accounts.find(conn, address)
                assert account is not None
                for event in (Event.EARLY_SWITCH, Event.HISTORY_COMPLETE):
                    account = accounts.apply(conn, account.id, event, epoch=account.epoch)
                assert account.phase is Phase.SWITCHED
            domains.set_rules(conn, DOMAIN, paused=True)

        database.run_now("flip", flip)


def _imap(port: int) -> str:
    return f"imap://127.0.0.1:{port}?tls=none"
