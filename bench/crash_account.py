"""One account under kill: copied into fresh targets one after the other, its copier killed meanwhile."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import defer

from bench.changes import Change, change
from bench.copier_process import Copier
from bench.crash_tally import Book, fault_of
from bench.data_sets import DataSet, Mail, lay
from bench.errands import Errand, Lane, Pause
from bench.mailferry_copy import DOMAIN, configuration, make_account
from bench.peer import Job
from bench.servers import FULL, KINDS, SINGLE, Servers
from mailferry.app.preparation import void_worker
from mailferry.app.worker import install_reactor
from mailferry.config.loader import load
from mailferry.copying.results import CopyLimits
from mailferry.observe.log import configure_log
from mailferry.store import accounts, intents
from mailferry.store.database import Database
from tests.kit import oracle

DATA = DataSet("K", 160, 4, 500, 40_000, twins=2)
CHANGE = Change(new=12, flagged=20, expunged=8)
TARGETS = (FULL, SINGLE, "no UIDPLUS", "neither MULTIAPPEND nor UIDPLUS", "no LITERAL+")
COPY = "\n[copy]\nbatch_messages = 8\nconnections_per_account = 2\n"
NOT_CLEAN = 3
KILL_WITHIN = 0.8
"""Of the time that the same step takes when it is not killed; a pass after a kill has less to do."""
AT_ONCE = 0.25
"""So many of the restarts follow at once; the others wait until the target has finished what was sent."""


class CopyFailed(RuntimeError):
    """A pass that nobody killed did not end well."""


class Account:
    """One account that is copied again and again into fresh targets: a lane."""

    def __init__(self, number: int, servers: Servers, folder: Path, book: Book, seed: int) -> None:
        self._number = number
        self._servers = servers
        self._folder = folder
        self._book = book
        self._dice = random.Random(f"{seed} {number}")
        self._user = f"crash-{number}@{DOMAIN}"
        self._mail = Mail(DATA)
        self._round = 0
        lay(DATA, servers.source, self._user)

    def life(self) -> Lane:
        """Copy into one fresh target after the other until it is enough."""
        while not self._book.enough:
            yield from self._one_round(self._book.next_kind())
            self._round += 1

    def _one_round(self, kind: str) -> Lane:
        folder = self._folder / f"{self._number}-{self._round}"
        folder.mkdir()
        target = self._servers.target(kind)
        user = f"crash-{self._number}-{self._round}@{DOMAIN}"
        job = Job(self._servers.source, self._user, target, user, "imap", folder)
        yield from self._well(folder, "making the account", lambda: _prepare(job))
        yield from self._to_the_end(kind, "first copy", job)
        yield from self._compare(kind, job)
        number = self._round
        yield from self._well(
            folder, "the change", lambda: change(job.source, self._user, self._mail, CHANGE, number)
        )
        yield from self._to_the_end(kind, "change", job)
        yield from self._compare(kind, job)
        self._book.tallies[kind].rounds += 1
        shutil.rmtree(folder)
        shutil.rmtree(target.home(user), ignore_errors=True)

    def _to_the_end(self, kind: str, step: str, job: Job) -> Lane:
        """Start the copier until a pass ends well; kill it meanwhile as often as the dice say.

        The first time, nothing is killed, to learn how long the step takes.
        """
        tally = self._book.tallies[kind]
        log = job.folder / "log"
        tries = 0
        while True:
            kill_after = None
            span = self._book.spans.get((kind, step))
            if span is not None and not self._book.enough:
                kill_after = self._dice.uniform(0, span * KILL_WITHIN)
            ended = yield Errand("a pass", lambda ready: _copy(job.folder, ready), log, kill_after)
            assert ended is not None
            if ended.code == -signal.SIGKILL:
                tally.kills += 1
                yield from self._well(job.folder, "voiding", partial(_void, job, ended.pid))
                tally.in_batch += json.loads((job.folder / "open").read_text()) > 0
                if self._dice.random() > AT_ONCE:
                    yield Pause(CopyLimits().settle_patience)
                continue
            if ended.code == 0:
                self._book.spans.setdefault((kind, step), ended.seconds)
                return
            tries += 1
            if ended.code != NOT_CLEAN or tries == 3:
                raise CopyFailed(f"a pass ended with {ended.code}:\n{log.read_text()[-3000:]}")

    def _compare(self, kind: str, job: Job) -> Lane:
        keeps_deleted = "UIDPLUS" in KINDS[kind].hidden
        yield from self._well(job.folder, "comparing", lambda: _compare(job, keeps_deleted=keeps_deleted))
        told = json.loads((job.folder / "compared").read_text())
        tally = self._book.tallies[kind]
        tally.compared += told["messages"]
        tally.faults.update(told["faults"])
        tally.examples += told["examples"]

    @staticmethod
    def _well(folder: Path, what: str, work: Callable[[], object]) -> Lane:
        """Run an errand that nobody kills and that has to end well."""

        def whole(_ready: Callable[[], None]) -> int:
            work()
            return 0

        ended = yield Errand(what, whole, folder / "log")
        if ended is None or ended.code != 0:
            raise CopyFailed(f"{what} failed:\n{(folder / 'log').read_text()[-3000:]}")


def _prepare(job: Job) -> None:
    config = job.folder / "mailferry.toml"
    config.write_text(configuration(job) + COPY)
    make_account(config, job)


def _copy(folder: Path, ready: Callable[[], None]) -> int:
    """Be a copier process for one pass; return its exit status."""
    reactor = install_reactor(asyncio=False)
    configure_log(level="info", role="copier", stream=sys.stderr)
    outcome: list[int] = []

    async def whole() -> None:
        copier = Copier(reactor, folder / "mailferry.toml")
        await copier.start()
        ready()
        told = await copier.one_pass()
        await copier.close()
        print(told, file=sys.stderr)
        outcome.append(0 if told["clean"] else NOT_CLEAN)

    def begin() -> None:
        going = defer.ensureDeferred(whole())
        going.addErrback(lambda failure: failure.printTraceback(sys.stderr))
        going.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return outcome[0] if outcome else 1


def _void(job: Job, dead: int) -> None:
    """Do what the service's parent does after a worker's death; note how many intents are open."""
    settings = load(job.folder / "mailferry.toml")
    void_worker(settings, dead)
    database = Database(settings.service.database_url.reveal().decode())

    def pending(conn: Any) -> int:
        account = accounts.find(conn, job.target_user)
        assert account is not None
        return len(intents.pending(conn, account.id))

    (job.folder / "open").write_text(json.dumps(database.read_now("intents", pending)))
    database.close()


def _compare(job: Job, *, keeps_deleted: bool) -> None:
    """Write down what differs. Without UIDPLUS what vanished at the source is only marked at the target."""
    here, there = oracle.read(job.source, job.source_user), oracle.read(job.target, job.target_user)
    if keeps_deleted:
        kept = {message: n for message, n in there.messages.items() if r"\Deleted" not in message.flags}
        there = oracle.Mail(Counter(kept), there.subjects)
    lines = oracle.differences(here, there)
    told = {"messages": len(here), "faults": Counter(map(fault_of, lines)), "examples": lines[:3]}
    (job.folder / "compared").write_text(json.dumps(told))
