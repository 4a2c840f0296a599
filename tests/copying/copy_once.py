"""Passes in processes of their own, so that they can be killed: `python -m tests.copying.copy_once`.

Imports everything once, then forks for each line of JSON on its standard input and answers with a line:
how the child ended, what it told, what it complained of. A request holds the store's address, the
account, ports of both hosts, mode, limits and the crash point to arm.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from mailferry.copying.account import run_pass
from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import CopyLimits, Mode, PassRequest
from mailferry.observe import crash_points
from mailferry.store.database import Database
from tests.copying.rig import PROFILE, endpoints


async def once(reactor: Any, facts: dict[str, Any]) -> None:
    store = Database(facts["store"], reactor=reactor, readers=2)
    try:
        limits = CopyLimits(
            batch_messages=facts["batch"], connections=facts["connections"], settle_patience=0.3
        )
        ends = endpoints(reactor, facts["old"], facts["new"])
        desk = CopyDesk(store, reactor, ends, PROFILE, limits)
        result = await run_pass(desk, PassRequest(facts["account"], Mode(facts["mode"])))
        print(json.dumps({"copied": result.copied, "already": result.already, "clean": result.clean}))
    finally:
        store.close()


def child(facts: dict[str, Any], out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    crash_points._armed = crash_points.countdown(facts["crash_at"])
    from twisted.internet import reactor

    react(lambda _: ensureDeferred(once(reactor, facts)))


def serve() -> None:
    for line in sys.stdin:
        facts = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                child(facts, out.fileno(), err.fileno())
                os._exit(0)
            _, status = os.waitpid(pid, 0)
            out.seek(0)
            err.seek(0)
            told = {"out": out.read().decode(), "err": err.read().decode()}
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), **told}), flush=True)


if __name__ == "__main__":
    serve()
