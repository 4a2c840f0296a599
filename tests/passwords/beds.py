"""Every kind of password backend on a place of its own, and that place read behind the backend's back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from mailferry.config.settings import PasswordSettings
from mailferry.model.access import Secret
from mailferry.passwords.backend import NewPassword, PasswordBackend
from mailferry.passwords.backends import make_backend
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.peer_plugin import require
from tests.kit.stores import empty_database

PROGRAM = Path(__file__).with_name("set_password.py")

KINDS = [
    "passwd-file",
    "sql-sqlite",
    pytest.param("sql-postgresql", marks=pytest.mark.peer("postgresql")),
    "command-password",
    "command-hash",
]


@dataclass
class Bed:
    """A backend, its twin that makes missing accounts, and the place behind both."""

    backend: PasswordBackend
    creating: PasswordBackend
    stored: Callable[[str], str | None]
    """What stands there for an address; what a program was given as a password comes as `{PLAIN}`."""
    break_it: Callable[[], object]


def new(stored: str, octets: bytes = b"any") -> NewPassword:
    """A password to set, under a hash that the test chose."""
    return NewPassword(stored, Secret(octets))


def make_bed(
    kind: str, folder: Path, threads: WorkThreads, request: pytest.FixtureRequest, users: Iterable[str]
) -> Bed:
    """Return the bed of that kind; all `users` have the password `old`."""
    family, _, variant = kind.partition("-")
    if kind == "passwd-file":
        return _passwd_file(folder, threads, users)
    if family == "sql":
        return _sql(variant, folder, threads, request, users)
    return _command(variant, folder, threads, users)


def _made(settings: Mapping[str, Any], threads: WorkThreads) -> PasswordBackend:
    return make_backend(PasswordSettings.model_validate(settings), threads)


def _passwd_file(folder: Path, threads: WorkThreads, users: Iterable[str]) -> Bed:
    path = folder / "users"
    path.write_text("".join(f"{user}:{{PLAIN}}old:::::\n" for user in users))

    def made(*, create: bool) -> PasswordBackend:
        table = {"path": str(path), "create": create}
        return _made({"backend": "passwd-file", "passwd-file": table}, threads)

    def stored(user: str) -> str | None:
        lines = dict(line.split(":", 2)[:2] for line in path.read_text().splitlines())
        return lines.get(user)

    return Bed(made(create=False), made(create=True), stored, path.unlink)


def _sql(
    variant: str, folder: Path, threads: WorkThreads, request: pytest.FixtureRequest, users: Iterable[str]
) -> Bed:
    if variant == "postgresql":
        require("postgresql")
    url, remove = empty_database(variant, folder)
    request.addfinalizer(remove)
    engine = create_engine(url)
    request.addfinalizer(engine.dispose)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, password TEXT)"))
        for user in users:
            conn.execute(text("INSERT INTO mailbox VALUES (:user, '{PLAIN}old')"), {"user": user})

    def made(create: str) -> PasswordBackend:
        return _made({"backend": "sql", "sql": {"url": url, "create": create}}, threads)

    def stored(user: str) -> str | None:
        with engine.connect() as conn:
            found = conn.execute(
                text("SELECT password FROM mailbox WHERE username = :user"), {"user": user}
            ).scalar()
        return None if found is None else str(found)

    def break_it() -> None:
        with engine.begin() as conn:
            conn.execute(text("DROP TABLE mailbox"))
        engine.dispose()

    insert = "INSERT INTO mailbox (username, password) VALUES (:address, :hash)"
    return Bed(made(""), made(insert), stored, break_it)


def _command(variant: str, folder: Path, threads: WorkThreads, users: Iterable[str]) -> Bed:
    path = folder / "users"
    path.write_text("".join(f"{user}\t{{PLAIN}}old\n" for user in users))

    def made(*, create: bool) -> PasswordBackend:
        argv = [sys.executable, "-I", "-S", str(PROGRAM), str(path)]
        table = {"argv": argv, "takes": variant, "create": create}
        return _made({"backend": "command", "command": table}, threads)

    def stored(user: str) -> str | None:
        lines = dict(line.split("\t", 1) for line in path.read_text().splitlines())
        return lines.get(user)

    return Bed(made(create=False), made(create=True), stored, path.unlink)
