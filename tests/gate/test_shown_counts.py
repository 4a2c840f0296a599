"""What `account show` says of an account whose copy runs: messages and bytes, as they are at the source."""

from __future__ import annotations

import pytest

from mailferry.lab.mail_generator import MailGenerator
from mailferry.model.access import Protocol
from mailferry.roster import accounts
from tests.gate.conftest import MakeMove
from tests.kit.move import USER

pytestmark = pytest.mark.deadline(60)


async def test_bytes_are_the_sources_and_follow_it(begin: MakeMove) -> None:
    move = await begin(copy={"pass_interval_seconds": 5})
    store = move.source.mailstore(USER)
    MailGenerator(3).fill(store, 40)

    async def shown(messages: int) -> None:
        octets = sum(len(message.octets) for box in store for message in box.messages.values())
        wanted = {"total": octets, "copied": octets}
        await move.until(lambda: accounts.show(move.database, USER)["bytes"] == wanted)
        told = accounts.show(move.database, USER)
        counts = {"total": messages, "copied": messages, "remaining": 0, "skipped": 0}
        assert told["messages"] == counts
        assert (told["percent"], told["eta_seconds"]) == (99.9, 0)

    session = await move.admitted(protocol=Protocol.POP3)  # keeps the account before its flip
    await move.copy()
    await shown(40)
    store.deliver(b"Subject: new\r\n\r\n" + b"x" * 5000)
    await shown(41)
    store.inbox.remove([max(store.inbox.messages)])
    await shown(40)
    await move.logout(session)
