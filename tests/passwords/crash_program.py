"""Logins as processes of their own, so that they can be killed.

Reads lines `folder password label` (label `-` for none); answers each with the exit status of the
process that did the login and with what it said. The processes are forked, so that a hundred kills
cost one start of the interpreter.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.defer import Deferred

from mailferry.config.settings import PasswordSettings
from mailferry.model.access import Secret
from mailferry.model.account import BEFORE_FLIP, Phase
from mailferry.model.causes import Cause, Refused
from mailferry.observe import crash_points
from mailferry.passwords.backends import make_backend
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import ServiceKey
from mailferry.passwords.work_threads import WorkThreads
from mailferry.store import accounts
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from tests.kit.peers import in_thread
from tests.kit.real_target import logs_in
from tests.passwords.world import USER, World

REAL = "dovecot.json"
"""In the folder: the IMAP port of a real Dovecot, and the address of the table that its passwords stand in."""


@dataclass
class WorldAtDovecot(World):
    """The target is a real Dovecot: only its own answers to logins say what it takes."""

    port: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        settings = {"backend": "sql", "sql": {"url": self.url}}
        self.backend = make_backend(PasswordSettings.model_validate(settings), self.threads)
        super().__post_init__()

    async def prove(self, address: str, domain: Domain, password: Secret) -> None:
        if not await in_thread(logs_in, self.port, address, password.reveal()):
            raise Refused(Cause.BAD_CREDENTIALS, "no")

    def target_takes(self, octets: bytes, address: str = USER) -> bool:
        return logs_in(self.port, address, octets)


def make_world(folder: Path, threads: WorkThreads) -> World:
    from twisted.internet import reactor

    database = Database(f"sqlite:///{folder}/mailferry.db", reactor=reactor)
    keyring = KeyRing(folder / "keys", ServiceKey(Secret(b"service key for tests, 32 octets")))
    users = folder / "users"
    where = folder / REAL
    if not where.exists():
        return World(database, keyring, threads, users)
    port, url = json.loads(where.read_text())
    return WorldAtDovecot(database, keyring, threads, users, port=port, url=url)


async def login(folder: Path, octets: bytes) -> str:
    from twisted.internet import reactor

    said = "accepted"
    threads = WorkThreads(reactor)
    world = make_world(folder, threads)
    account = world.store.read_now("account", lambda conn: accounts.find(conn, USER))
    if account.phase in BEFORE_FLIP - {Phase.IDLE}:
        await world.login_before_flip(account, octets)
    elif world.target_takes(octets):
        world.keeper.accepted_at_target(account, world.domain, Secret(octets))
    else:
        trust = await world.login_after_flip(account, octets)
        said = "accepted" if trust.in_place else f"{trust.answer.value}: {trust.text}"
    await world.keeper.stop()
    world.store.close()
    return said


def child(folder: Path, octets: bytes, label: str, out: Path) -> None:
    if label != "-":
        crash_points._armed = crash_points.countdown(label)
    from twisted.internet import reactor

    running = Deferred.fromCoroutine(login(folder, octets))
    running.addCallbacks(out.write_text, lambda failure: out.write_text(failure.getTraceback()))
    running.addBoth(lambda _: reactor.stop())
    reactor.run()


def main() -> None:
    for line in sys.stdin:
        folder, password, label = json.loads(line)
        with tempfile.TemporaryDirectory() as place:
            out = Path(place, "out")
            pid = os.fork()
            if pid == 0:
                try:
                    child(Path(folder), password.encode(), label, out)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            said = out.read_text() if out.exists() else ""
        print(json.dumps([status, said]), flush=True)


if __name__ == "__main__":
    main()
