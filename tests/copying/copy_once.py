"""One pass in a process of its own, so that it can be killed: `python -m tests.copying.copy_once FACTS`.

FACTS is JSON: the store's address, the account, ports of both hosts, the mode and limits.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from mailferry.copying.account import run_pass
from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import CopyLimits, Mode, PassRequest
from mailferry.store.database import Database
from tests.copying.rig import PROFILE, endpoints


async def once(facts: dict[str, Any]) -> None:
    store = Database(facts["store"], reactor=reactor, readers=2)
    try:
        desk = CopyDesk(
            store,
            reactor,
            endpoints(reactor, facts["old"], facts["new"]),
            PROFILE,
            CopyLimits(batch_messages=facts["batch"], connections=facts["connections"], settle_patience=0.3),
        )
        result = await run_pass(desk, PassRequest(facts["account"], Mode(facts["mode"])))
        print(json.dumps({"copied": result.copied, "already": result.already, "clean": result.clean}))
    finally:
        store.close()


if __name__ == "__main__":
    react(lambda _reactor: ensureDeferred(once(json.loads(sys.argv[1]))))
