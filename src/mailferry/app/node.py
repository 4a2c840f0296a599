"""A process as a row in the store: registered, renewed, and what follows when that fails.

Silence is not death to others (store/nodes), but it is to ourselves: who has not renewed for a
minute cannot know what was decided meanwhile, and ends its sessions at the source.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

from mailferry.observe.log import Log
from mailferry.observe.system_clock import seconds_since_boot
from mailferry.store import nodes
from mailferry.store.database import Database
from mailferry.store.faults import NodeVoid, StoreUnavailable

RENEW_SECONDS = 10.0
SILENT_SECONDS = 60.0
WATCH_SECONDS = 5.0
"""How often this process looks how long ago it renewed its row: also when the store does not even fail."""


def installation_id(state_dir: Path) -> str:
    """Return the lasting name of this state directory in the store, made on first use."""
    path = state_dir / "installation"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        name = secrets.token_hex(8)
        path.write_text(name + "\n")
        return name


def boot_id() -> str:
    """Return what changes with each start of this machine; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""


class NodeMembership:
    """Registers this process and renews its row.

    `on_silent` is called when no renewal succeeded for a minute, counted from before the last good
    one was sent, by `seconds`: a clock that also runs while the machine is suspended. `on_void` when
    somebody declared this process dead.
    """

    def __init__(
        self,
        database: Database,
        *,
        role: str,
        state_dir: Path,
        reactor: IReactorTime,
        log: Log,
        on_silent: Callable[[], None],
        on_void: Callable[[], None],
        seconds: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._database = database
        self._role = role
        self._state_dir = state_dir
        self._log = log
        self._on_silent = on_silent
        self._on_void = on_void
        self._seconds = seconds
        self._id: int | None = None
        self._renewed = 0.0
        self._silent = False
        self._loop = task.LoopingCall(self._renew)
        self._watch = task.LoopingCall(self._look)
        self._loop.clock = self._watch.clock = reactor

    @property
    def id(self) -> int:
        """The row's id."""
        assert self._id is not None, "register() comes first"
        return self._id

    async def register(self) -> None:
        """Write the row; raises StoreUnavailable."""
        host, boot = installation_id(self._state_dir), boot_id()
        self._renewed = self._seconds()
        self._id = await self._database.run(
            "register node", lambda conn: nodes.register(conn, self._role, host, boot, os.getpid())
        )
        self._loop.start(RENEW_SECONDS, now=False)
        self._watch.start(WATCH_SECONDS, now=False)

    def _look(self) -> None:
        if not self._silent and self._seconds() - self._renewed >= SILENT_SECONDS:
            self._silent = True
            self._on_silent()

    async def _renew(self) -> None:
        sent = self._seconds()
        try:
            await self._database.run("renew node", lambda conn: nodes.renew(conn, self.id), durable=False)
        except NodeVoid:
            self._on_void()
        except StoreUnavailable as error:
            self._log.error("cannot renew this process's row", why=str(error))
        else:
            self._renewed = sent
            # an answer that took more than a minute ends no silence: it tells what was, not what is
            self._silent = self._silent and self._seconds() - sent >= SILENT_SECONDS

    async def leave(self) -> None:
        """Stop renewing and take the row away, with what it still holds."""
        for loop in (self._loop, self._watch):
            if loop.running:
                loop.stop()
        if self._id is not None:
            node = self._id
            await self._database.run("leave", lambda conn: nodes.void(conn, node))
