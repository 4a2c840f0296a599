"""The table of password backends: from the settings to the one that is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mailferry.config.settings import BackendName, PasswordSettings
from mailferry.passwords.backend import PasswordBackend
from mailferry.passwords.command import Command
from mailferry.passwords.none import NoBackend
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.sql import SqlTable
from mailferry.passwords.work_threads import WorkThreads

Factory = Callable[[PasswordSettings, WorkThreads], PasswordBackend]


def _none(_settings: PasswordSettings, _threads: WorkThreads) -> PasswordBackend:
    return NoBackend()


def _passwd_file(settings: PasswordSettings, threads: WorkThreads) -> PasswordBackend:
    table = settings.passwd_file
    assert table is not None, "the settings were validated"
    return PasswdFile(table.path, threads=threads, create=table.create)


def _sql(settings: PasswordSettings, threads: WorkThreads) -> PasswordBackend:
    table = settings.sql
    assert table is not None, "the settings were validated"
    return SqlTable(table.url, select=table.select, update=table.update, create=table.create, threads=threads)


def _command(settings: PasswordSettings, threads: WorkThreads) -> PasswordBackend:
    table = settings.command
    assert table is not None, "the settings were validated"
    return Command(
        table.argv,
        seconds=table.seconds,
        threads=threads,
        hashed=table.takes == "hash",
        create=table.create,
    )


FACTORIES: Mapping[BackendName, Factory] = {
    BackendName.NONE: _none,
    BackendName.PASSWD_FILE: _passwd_file,
    BackendName.SQL: _sql,
    BackendName.COMMAND: _command,
}


def make_backend(settings: PasswordSettings, threads: WorkThreads) -> PasswordBackend:
    """Return the backend that the settings name; raises `sql.BadSqlBackend` for a URL that cannot work.

    It works in threads apart from `threads`, which end with them.
    """
    return FACTORIES[settings.backend](settings, threads.apart())
