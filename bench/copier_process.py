"""A copier process of the product under the bench's control: `python -m bench.copier_process CONFIG`.

It is built as `app/copier.py` builds the copier role: the same parts, the same desk, a node of its
own, a lease on the account that is kept fresh. In place of the queue's look once a second a line on
standard input starts a pass, so that passes of a few milliseconds can be timed. One line of JSON
tells when it is ready, and one what each pass took. It ends with its standard input.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from twisted.internet import defer, stdio, task
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from mailferry.app.copier import Desks
from mailferry.app.node import NodeMembership
from mailferry.app.parts import build_parts
from mailferry.app.worker import YOUNG_OBJECTS, WorkerContext, install_reactor
from mailferry.config.loader import load
from mailferry.copying.account import run_pass
from mailferry.copying.queue import LEASE_SECONDS, RENEW_SECONDS
from mailferry.copying.results import Mode, PassRequest, PassResult
from mailferry.observe.log import configure_log, get_log
from mailferry.store import domains, leases
from mailferry.store.database import db_now

MOST_SLICES = 1000
"""A POP3 source is read in slices that leave the maildrop to its user; each is a pass."""


def cpu() -> float:
    """Return the CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak() -> int:
    """Return the most octets of memory that this program has had; exec did not hand them down."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def tell(**facts: Any) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _leave(why: str) -> None:
    """End this process at once, as a worker does that may not go on."""
    print(f"the copier process leaves: {why}", file=sys.stderr, flush=True)
    os._exit(1)


class Copier:
    """The copier role's parts and one node."""

    def __init__(self, reactor: Any, config: Path) -> None:
        settings = load(config)
        log = get_log("copier")
        context = WorkerContext(settings, reactor, log, 1, _leave)
        self._reactor = reactor
        self._parts = build_parts(context)
        self._desks = Desks(self._parts)
        self._node = NodeMembership(
            self._parts.database,
            role="copier",
            state_dir=settings.service.state_dir,
            reactor=reactor,
            log=log,
            on_silent=lambda: context.leave("silent"),
            on_void=lambda: context.leave("void"),
        )

    async def start(self) -> None:
        """Register this process."""
        await self._node.register()

    async def one_pass(self) -> dict[str, Any]:
        """Take the account's lease, run passes until it is up to date, give it back; tell what it took."""
        database = self._parts.database
        leased = (
            await database.run(
                "take",
                lambda conn: leases.take(conn, self._node.id, limit=1, lease_seconds=LEASE_SECONDS),
            )
        )[0]
        domain = await database.read("domain", lambda conn: domains.get(conn, leased.account.domain))
        desk = self._desks.make(leased.account, domain)
        renewing = task.LoopingCall(self._renew, leased.lease)
        renewing.clock = self._reactor
        renewing.start(RENEW_SECONDS, now=False)
        began, cpu_before, copied, slices = self._reactor.seconds(), cpu(), 0, 0
        while True:
            result = await run_pass(desk, PassRequest(leased.account.id, Mode.MIRROR, lease=leased.lease))
            copied += result.copied
            slices += 1
            if result.clean or _stuck(result) or slices == MOST_SLICES:
                break
        seconds, used = self._reactor.seconds() - began, cpu() - cpu_before
        renewing.stop()
        await database.run(
            "release", lambda conn: leases.release(conn, leased.lease, next_due_at=db_now(conn))
        )
        return {
            "seconds": seconds,
            "cpu": used,
            "peak": peak(),
            "copied": copied,
            "clean": result.clean,
            "unchanged": result.mailboxes_unchanged,
            "why": _why(result),
        }

    async def _renew(self, lease: leases.Lease) -> None:
        await self._parts.database.run(
            "renew", lambda conn: leases.renew(conn, lease, lease_seconds=LEASE_SECONDS), durable=False
        )

    async def close(self) -> None:
        """Leave in good order."""
        await self._node.leave()
        await self._parts.close()


def _stuck(result: PassResult) -> bool:
    return result.cause is not None or bool(result.failures) or result.copied == 0


def _why(result: PassResult) -> str:
    failures = "; ".join(f"{one.name!r}: {one.cause}: {one.text}" for one in result.failures)
    return f"{result.cause or ''} {result.cause_text} {failures} {result.held or ''}".strip()


class Orders(LineReceiver):
    """Standard input: each line starts a pass, its end ends the process."""

    delimiter = b"\n"

    def __init__(self, reactor: Any, copier: Copier) -> None:
        self._reactor = reactor
        self._copier = copier

    def lineReceived(self, line: bytes) -> None:  # noqa: ARG002, N802 - as Twisted calls it
        """Run a pass."""
        passing = defer.ensureDeferred(self._copier.one_pass())
        passing.addCallbacks(lambda facts: tell(**facts), self._broken)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002, N802 - as Twisted calls it
        """Leave."""
        leaving = defer.ensureDeferred(self._copier.close())
        leaving.addBoth(lambda _: self._reactor.running and self._reactor.stop())

    @staticmethod
    def _broken(failure: Failure) -> None:
        tell(clean=False, why=failure.getTraceback())


async def _serve(reactor: Any, config: Path) -> None:
    copier = Copier(reactor, config)
    await copier.start()
    stdio.StandardIO(Orders(reactor, copier), reactor=reactor)
    tell(clean=True, cpu=cpu(), peak=peak())


def main() -> int:
    """Serve passes until standard input ends."""
    reactor = install_reactor(asyncio=False)
    configure_log(level="info", role="copier", stream=sys.stderr)

    def failed(failure: Failure) -> None:
        tell(clean=False, why=failure.getTraceback())
        reactor.stop()

    gc.freeze()  # as the service's parent does before it forks
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)  # as its workers do

    def begin() -> None:
        defer.ensureDeferred(_serve(reactor, Path(sys.argv[1]))).addErrback(failed)

    reactor.callWhenRunning(begin)
    reactor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
