"""One round of notices in a process of its own: `python -m tests.copying.notify_once STORE IMAP-PORT`."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from mailferry.copying.desk import CopyDesk
from mailferry.copying.notices import Notifier
from mailferry.observe.log import get_log
from mailferry.store.database import Database
from tests.copying.rig import PROFILE, endpoints


async def once(reactor: Any, url: str, port: int) -> None:
    store = Database(url, reactor=reactor, readers=2)
    desk = CopyDesk(store, reactor, endpoints(reactor, {}, {"imap": port}), PROFILE)
    notifier = Notifier(
        store,
        make_desk=lambda _account, _domain: desk,
        outlets={},
        sender="moves@site.test",
        group_seconds=600.0,
        reactor=reactor,
        log=get_log("test"),
    )
    try:
        await notifier.round()
    finally:
        store.close()


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(once(reactor, sys.argv[1], int(sys.argv[2]))))
