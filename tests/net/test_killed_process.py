"""What a killed process had left to the kernel to send is taken back: the peer would act on it later."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

OCTETS = 500_000
"""More than the peer's side takes unread, less than the kernel takes from us."""

PROGRAM = f"""
import sys
from mailferry.net import chosen
chosen.OWN_DESCRIPTORS = "descriptor" in sys.argv
from twisted.internet import defer, reactor, task
from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.profile import Profile
from mailferry.net.connect import Connector
from mailferry.remote.imap_link import ImapLink
from tests.net.ears import Ear

def waits(carrier):
    if "descriptor" in sys.argv:
        return carrier._outgoing is not None
    return carrier.transport.dataBuffer or carrier.transport._tempDataLen

async def run():
    carrier = await Connector(reactor).connect(
        Server(Protocol.IMAP, "127.0.0.1", int(sys.argv[1]), TlsMode.NONE)
    )
    carrier.attach(Ear())
    if "copy" in sys.argv:
        ImapLink(carrier, Profile("generic", {{}}), reactor, timeout=60)
    if "drop_if_killed" in sys.argv:
        carrier.drop_if_killed()
    carrier.write(b"x" * {OCTETS})
    while waits(carrier):
        await task.deferLater(reactor, 0.01)
    if "close" in sys.argv:
        carrier.close()
    print("all is the kernel's", flush=True)

defer.ensureDeferred(run())
reactor.run()
"""


@contextmanager
def peer_of_a_killed_process(*ways: str) -> Iterator[socket.socket]:
    """Yield the peer's end, of which nothing was read before the process was killed."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        port = door.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), *ways], stdout=subprocess.PIPE
        ) as process:
            peer, _ = door.accept()
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
            finally:
                process.kill()
        with peer:
            assert said == b"all is the kernel's\n"
            peer.settimeout(20)
            yield peer


def all_of(peer: socket.socket) -> int:
    """Return how many octets come before the end; raises ConnectionResetError when it is a reset."""
    return sum(len(data) for data in iter(lambda: peer.recv(65536), b""))


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("did", ["drop_if_killed", "copy"])
def test_what_a_killed_process_did_not_get_sent_is_never_sent(carriers: str, did: str) -> None:
    with peer_of_a_killed_process(carriers, did) as peer, pytest.raises(ConnectionResetError):
        all_of(peer)


@pytest.mark.parametrize("did", [(), ("drop_if_killed", "close")])
def test_else_the_kernel_sends_it_all_and_so_it_does_behind_an_orderly_end(
    carriers: str, did: tuple[str, ...]
) -> None:
    with peer_of_a_killed_process(carriers, *did) as peer:
        assert all_of(peer) == OCTETS
