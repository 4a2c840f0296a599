"""A carrier in front of servers that flood, stall and break off: bounded, and ended once."""

from __future__ import annotations

import resource

import pytest
from twisted.internet import reactor

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.net.carrier import Ending
from mailferry.net.connect import Connector
from tests.kit.evil import IMAP, POP3
from tests.kit.scripted import REC, Script
from tests.net.ears import Ear

SCRIPTS = {
    f"{protocol} {name}": script
    for protocol, table in (("imap", IMAP), ("pop3", POP3))
    for name, script in table.items()
}


@pytest.mark.hazard("T16")
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
async def test_a_server_is_heard_no_further_than_its_user_takes_octets(script: Script) -> None:
    rec = await REC(script).start()
    carrier, ear = (
        await Connector(reactor).connect(Server(Protocol.IMAP, "127.0.0.1", rec.port, TlsMode.NONE)),
        Ear(),
    )
    ear.on_octets = lambda data: carrier.pause()
    carrier.attach(ear)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if SCRIPTS["imap no greeting"] is not script and SCRIPTS["pop3 no greeting"] is not script:
        await ear.until(lambda: bool(ear.octets or ear.ends))
    assert len(ear.octets) <= 65536
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
    carrier.abort()
    assert (await ear.end()).ending in {Ending.CLOSED, Ending.FINISHED, Ending.LOST}
    await rec.stop()
