"""What strangers send to a mail port: each is cut off or told so, costs little, and hurts nobody else."""

from __future__ import annotations

import resource

import pytest
from twisted.internet.defer import Deferred

from mailferry.model.access import Protocol
from tests.frontends.test_driver import House, house, turn
from tests.kit.scripted import Talk

HOSTILE: dict[str, bytes] = {
    "NUL": b"a \0NOOP\0\r\n",
    "8-bit": bytes(range(128, 256)) + b"\r\n",
    "a tag of 20 kB": b"a" * 20_000 + b" NOOP\r\n",
    "a line of 1 MB": b"x" * 1_000_000,
    "a literal of 2 GB": b"a LOGIN {2000000000}\r\n",
    "a literal of 2 GB at once": b"a LOGIN {2000000000+}\r\n" + b"y" * 100_000,
    "a negative literal": b"a LOGIN {-1}\r\n",
    "a literal of 20 digits": b"a LOGIN {99999999999999999999}\r\n",
    "60,000 parentheses": b"a ID " + b"(" * 60_000 + b"\r\n",
    "ID with 6,000 pairs": b"a ID (" + b'"k" "v" ' * 6_000 + b")\r\n",
    "5 kB of junk base64": b"a AUTHENTICATE PLAIN " + b"!=\t" * 1_700 + b"\r\n",
    "200 bad commands": b"a WHAT\r\n" * 200,
    "bare LF": b"a NOOP\n" * 10,
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: mail.firm.test\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + b"\x11" * 190,
    "a PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "STARTTLS with a command behind": b"a STARTTLS\r\nb NOOP\r\n",
    "an unfinished escape": b'a LOGIN "u\\\r\n',
    "COMPRESS": b"a COMPRESS DEFLATE\r\n",
}


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
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_input_is_refused_and_the_next_client_is_served(protocol: Protocol, name: str) -> None:
    here = house(protocol)
    for pieces in (1, 3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client = await here.greeted()
        size = len(HOSTILE[name]) // pieces + 1
        for start in range(0, len(HOSTILE[name]), size):
            if client.lost is None:
                client.send(HOSTILE[name][start : start + size])
                await turn()
        await settled(client, here)
        assert b"\r\n+ " not in client.received  # no invitation to send a literal
        assert not here.desk.attempts
        for visit in here.door._inside:
            assert visit._dialogue.held < 16 * 1024
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
    friend = await here.greeted()
    friend.send(b"a LOGOUT\r\n" if protocol is Protocol.IMAP else b"QUIT\r\n")
    await friend.gone()
    await here.close()
