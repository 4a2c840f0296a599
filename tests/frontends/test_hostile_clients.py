"""What strangers send to a mail port: each is cut off or told so, costs little, and hurts nobody else."""

from __future__ import annotations

import resource

import pytest
from twisted.internet.defer import Deferred

from mailferry.model.access import Protocol
from tests.frontends.test_driver import House, house, turn
from tests.kit.hostile_octets import HOSTILE_IMAP, HOSTILE_POP3
from tests.kit.scripted import Talk

pytestmark = pytest.mark.deadline(30)
HOSTILE = {Protocol.IMAP: HOSTILE_IMAP, Protocol.POP3: HOSTILE_POP3}


async def settled(client: Talk, here: House) -> None:
    """Wait until the client is cut off, or everything it sent was heard and answered."""
    still = 0
    seen = -1
    while client.lost is None and still < 8:
        now = len(client.received)
        still, seen = (still + 1, seen) if now == seen else (0, now)
        waiter: Deferred[None] = Deferred()
        from twisted.internet import reactor

        reactor.callLater(0.005, waiter.callback, None)
        await waiter


@pytest.mark.hazard("T9")
@pytest.mark.hazard("T10")
@pytest.mark.hazard("T11")
@pytest.mark.hazard("T13")
@pytest.mark.hazard("T14")
@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("name", HOSTILE_IMAP)
async def test_hostile_input_is_refused_and_the_next_client_is_served(protocol: Protocol, name: str) -> None:
    here = house(protocol)
    octets = HOSTILE[protocol][name]
    for pieces in (1, 3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client = await here.greeted()
        size = len(octets) // pieces + 1
        for start in range(0, len(octets), size):
            if client.lost is None:
                client.send(octets[start : start + size])
                await turn()
        await settled(client, here)
        assert b"\r\n+ " not in client.received  # no invitation to send a literal
        assert not here.desk.attempts
        for visit in here.door.inside:
            assert visit._dialogue.held < 16 * 1024
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
    friend = await here.greeted()
    friend.send(b"a LOGOUT\r\n" if protocol is Protocol.IMAP else b"QUIT\r\n")
    await friend.gone()
    await here.close()
