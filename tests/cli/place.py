"""A configuration with its state directory, and the accounts that the commands' tests look at."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from mailferry.config.toml_text import toml_tables
from mailferry.lab.free_ports import free_port
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.store import accounts, domains, mailboxes, skipped
from mailferry.store.accounts import Account
from tests.cli.program import Program, Said

DOMAIN = "old.test"
NOWHERE = "imap://127.0.0.1:1?tls=none"
"""A loopback port that nobody listens on."""

WAYS: dict[Phase, tuple[Event, ...]] = {
    Phase.IDLE: (),
    Phase.PRECOPY: (Event.SOURCE_ACCEPTED,),
    Phase.FREEZE: (Event.SOURCE_ACCEPTED, Event.FREEZE_SET),
    Phase.BACKFILL: (Event.SOURCE_ACCEPTED_AT_ONCE,),
    Phase.BLOCKED: (Event.SOURCE_ACCEPTED, Event.GAVE_UP),
    Phase.STALLED: (Event.SOURCE_ACCEPTED_AT_ONCE, Event.GAVE_UP),
    Phase.SWITCHED: (Event.SOURCE_ACCEPTED_AT_ONCE, Event.HISTORY_COMPLETE),
    Phase.CLOSED: (Event.SOURCE_ACCEPTED_AT_ONCE, Event.HISTORY_COMPLETE, Event.WINDOW_OVER),
    Phase.LOCAL: (Event.TARGET_ONLY,),
}
assert set(WAYS) == set(Phase)
NASTY = "locked\r\nINFO login ok \x1b[2J"


def address(phase: Phase) -> str:
    """Return the address of the account in `phase`."""
    return f"{phase.value.lower()}@{DOMAIN}"


def fill(conn: Connection) -> None:
    """Make one domain and an account in each phase."""
    domains.add(conn, DOMAIN, source_imap=NOWHERE, provider="generic", login_form="full", language="en")
    for phase, way in WAYS.items():
        account = accounts.ensure(conn, address(phase), DOMAIN)
        for event in way:
            failed = {"cause": Cause.ACCOUNT_LOCKED, "cause_text": NASTY} if event is Event.GAVE_UP else {}
            account = accounts.apply(conn, account.id, event, epoch=account.epoch, **failed)
        if phase is Phase.STALLED:
            _half_done(conn, account)


def _half_done(conn: Connection, account: Account) -> None:
    accounts.note(conn, account.id, total=10, copied=4, skipped=1)
    inbox = mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
    skipped.note(conn, inbox.id, 7, reason="too_big", detail=NASTY, size=99)


class Place:
    """One configuration; `run` runs a command with it."""

    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = folder
        self.program = program
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.config = folder / "mailferry.toml"
        self.users = folder / "users"
        self.users.write_text("li@old.test:{PLAIN}not the old one::::::\n")
        self.port = free_port()
        self.tables: dict[str, dict[str, Any]] = {
            "service": {"state_dir": str(self.state), "allow_networks": ["127.0.0.0/8"]},
            "target": {"imap": NOWHERE, "login": "user"},
            "passwords": {"backend": "passwd-file", "scheme": "SSHA512"},
            "passwords.passwd-file": {"path": str(self.users)},
        }
        self.listeners: list[dict[str, str]] = [
            {"service": "imap", "endpoint": f"tcp:{self.port}:interface=127.0.0.1", "tls": "none"}
        ]
        self.write()

    @classmethod
    def second(cls, first: Place, program: Program) -> Place:
        """Return the same configuration, run by another program and listening elsewhere."""
        (first.folder / "second").mkdir()
        made = cls(first.folder / "second", program)
        made.tables["service"]["state_dir"] = str(first.state)
        made.write()
        return made

    @property
    def database(self) -> Path:
        """The database file."""
        return self.state / "mailferry.db"

    def write(self, text: str = "") -> None:
        """Write the configuration, with more text at its end."""
        self.config.write_text(toml_tables({**self.tables, "listen": self.listeners}) + f"{text}\n")

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return what a table of the database holds."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(f"SELECT * FROM {table}").fetchall()

    def run(self, *words: str | Path, **more: Any) -> Said:
        """Run a command with this configuration."""
        return self.program.run("--config", self.config, *words, **more)

    def well(self, *words: str | Path, **more: Any) -> Said:
        """Run a command that must succeed."""
        said = self.run(*words, **more)
        assert said.status == 0, str(said)
        assert not said.err, str(said)
        return said

    def fails(self, *words: str | Path, status: int = 1, **more: Any) -> str:
        """Run a command that must fail with one line, which is returned."""
        said = self.run(*words, **more)
        assert said.status == status, str(said)
        return said.fault
