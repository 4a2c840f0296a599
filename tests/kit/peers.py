"""Real servers for tests: `start("dovecot", tmp_path, users={...})`, and `stop()` whatever happens.

`start` blocks for some 50 ms. In an async test `await in_thread(start, ...)` keeps the reactor turning;
that also serves for `imaplib`, `poplib` and the peers' own methods when the product runs in the test's reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.kit import peer_courier, peer_cyrus, peer_dovecot, peer_postgresql

P = ParamSpec("P")
T = TypeVar("T")


class Peer(Protocol):
    """What every started server has."""

    name: str
    ports: dict[str, int]

    @property
    def version(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def log_text(self) -> str: ...

    def stop(self, *, keep: bool = False) -> None: ...

    def kill(self) -> None: ...


def dovecot(tmp_path: Path, **options: Any) -> peer_dovecot.Dovecot:
    """Start a Dovecot; the options are the fields of `peer_dovecot.Options`."""
    options.setdefault("users", {})
    return peer_dovecot.Dovecot(tmp_path, peer_dovecot.Options(**options))


def cyrus(tmp_path: Path, **options: Any) -> peer_cyrus.Cyrus:
    """Start a Cyrus; the options are the fields of `peer_cyrus.Options`."""
    options.setdefault("users", {})
    return peer_cyrus.Cyrus(tmp_path, peer_cyrus.Options(**options))


def courier(tmp_path: Path, **options: Any) -> peer_courier.Courier:
    """Start a Courier; the options are the fields of `peer_courier.Options`."""
    options.setdefault("users", {})
    return peer_courier.Courier(tmp_path, peer_courier.Options(**options))


def postgresql(tmp_path: Path, **options: Any) -> peer_postgresql.PostgreSQL:
    """Start a PostgreSQL; the options are those of `peer_postgresql.PostgreSQL`."""
    return peer_postgresql.PostgreSQL(tmp_path, **options)


SERVERS: dict[str, Callable[..., Any]] = {
    "dovecot": dovecot,
    "cyrus": cyrus,
    "courier": courier,
    "postgresql": postgresql,
}


def start(name: str, tmp_path: Path, **options: Any) -> Any:
    """Start the server `name` and return it when it is ready.

    Raises debian.PeerMissing when it is not on this machine, DaemonDied with its log when it does not start.
    """
    return SERVERS[name](tmp_path, **options)


def in_thread(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> Deferred[T]:
    """Run something that blocks without stopping the reactor."""
    return deferToThread(function, *arguments, **options)
