"""What strangers send before they log in, to a real service: refused or cut off, and nobody else notices."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.lab_service import LabService
from tests.kit.hostile_octets import HOSTILE_IMAP, HOSTILE_POP3
from tests.kit.service import until

pytestmark = pytest.mark.timeout(240)

GIVES_UP_SECONDS = 20.0
KEPT_KIB = 16
HELD = 300

assert len(HOSTILE_IMAP) == 19

REFUSALS = {
    "imap": rb"(?:\* (?:BAD|BYE)|[!-~]{1,100} (?:BAD|NO)) [^\r\n]{1,500}\r\n",
    "pop3": rb"-ERR [^\r\n]{1,500}\r\n",
}
FAREWELLS = {
    "imap": (b"last LOGOUT\r\n", rb"(?:\* BYE [^\r\n]*\r\n)?last OK [^\r\n]*\r\n"),
    "pop3": (b"QUIT\r\n", rb"\+OK [^\r\n]*\r\n"),
}
BEHIND = "STARTTLS with a command behind"
ALLOWED = {
    "bare LF": rb"(?:a OK [^\r\n]*\r\n)*",  # Dovecot takes these lines for whole ones as well
    BEHIND: rb"(?:(?:b OK|\+OK) [^\r\n]*\r\n)?",  # where no TLS begins, the command behind is one like any other
}
UPGRADE = rb"(?:(?:a OK|\+OK) [^\r\n]*\r\n)?(?:\x15\x03.*)?"
"""All that may follow it where TLS begins: the consent, and an alert to whom speaks no TLS then."""


class Stranger:
    """One connection to a door of the service, its greeting read."""

    def __init__(self, port: int) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), GIVES_UP_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line()

    def line(self) -> bytes:
        """Read one line, to its end."""
        octets = b""
        while not octets.endswith(b"\n"):
            piece = self.socket.recv(1)
            assert piece, octets
            octets += piece
        return octets

    def start_tls(self, protocol: str, context: ssl.SSLContext) -> None:
        """Ask for TLS and take it."""
        self.socket.sendall(b"t STARTTLS\r\n" if protocol == "imap" else b"STLS\r\n")
        assert b"OK" in self.line()
        self.socket = context.wrap_socket(self.socket)

    def says(self, octets: bytes, pieces: int, farewell: bytes) -> bytes:
        """Send octets in as many pieces and a farewell; return all that comes back until the end."""
        size = len(octets) // pieces + 1
        heard = b""
        try:
            for start in range(0, len(octets), size):
                self.socket.sendall(octets[start : start + size])
            self.socket.sendall(farewell)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # cut off while it was still talking
        try:
            while piece := self.socket.recv(65536):
                heard += piece
        except (ConnectionResetError, ssl.SSLError):
            pass
        return heard

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabService]:
    opened = LabService(tmp_path_factory.mktemp("bad-input"))
    try:
        opened.apply_domains()
        opened.service.start()
        yield opened
    finally:
        opened.close()


def resident_kib(house: LabService) -> int:
    (pid,) = house.service.workers("proxy")
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def door(house: LabService, protocol: str, when: str) -> int:
    if when == "in clear":
        return house.plain_imap if protocol == "imap" else house.plain_pop3
    return house.service.imap_port if protocol == "imap" else house.service.pop3_port


def a_good_login(house: LabService, protocol: str) -> None:
    if protocol == "imap":
        client = house.imap()
        assert client.select("INBOX")[0] == "OK"
        client.logout()
    else:
        maildrop = house.pop3()
        assert maildrop.stat()[0] >= 1
        maildrop.quit()


@pytest.mark.hazard("T1")
@pytest.mark.hazard("T9")
@pytest.mark.hazard("T10")
@pytest.mark.hazard("T11")
@pytest.mark.hazard("T13")
@pytest.mark.hazard("T14")
@pytest.mark.parametrize("when", ["in clear", "before STARTTLS", "inside TLS"])
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_each_of_the_nineteen_inputs_is_refused_and_the_next_user_is_served(
    house: LabService, protocol: str, when: str
) -> None:
    (worker,) = house.service.workers("proxy")
    before = resident_kib(house)
    for name, octets in (HOSTILE_IMAP if protocol == "imap" else HOSTILE_POP3).items():
        for pieces in (1, 3):
            stranger = Stranger(door(house, protocol, when))
            if when == "inside TLS":
                stranger.start_tls(protocol, house.trust())
            began = time.monotonic()
            ended = octets if octets.endswith(b"\n") else octets + b"\r\n"
            heard = stranger.says(ended, pieces, FAREWELLS[protocol][0])
            assert time.monotonic() - began < GIVES_UP_SECONDS / 2, f"{name}: neither refused nor cut off"
            stranger.close()
            refusals = rb"(?:%b)*" % REFUSALS[protocol]
            wanted = rb"%b%b(?:%b)?%b" % (refusals, ALLOWED.get(name, b""), FAREWELLS[protocol][1], refusals)
            if name == BEHIND and when == "before STARTTLS":
                wanted = UPGRADE
            assert re.fullmatch(wanted, heard, re.DOTALL), f"{name} in {pieces}: {heard[:300]!r}"
    a_good_login(house, protocol)
    assert house.service.workers("proxy") == [worker], "the process died"
    assert resident_kib(house) - before < 8 * 1024, "the inputs are kept"


@pytest.mark.hazard("T9")
@pytest.mark.hazard("T10")
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_connections_that_keep_as_much_as_they_may_cost_under_16_kib_each(
    house: LabService, protocol: str
) -> None:
    port = door(house, protocol, "in clear")
    before = resident_kib(house)
    with ExitStack() as held:
        strangers = [Stranger(port) for _ in range(HELD)]
        for stranger in strangers:
            held.callback(stranger.close)
            if protocol == "imap":
                stranger.socket.sendall(b"a LOGIN {8000}\r\n")
                assert stranger.line().startswith(b"+ ")
                stranger.socket.sendall(b"y" * 7_990)
            else:
                stranger.socket.sendall(b"USER " + b"y" * 4_000)
        a_good_login(house, protocol)  # what was sent before it was read before it
        assert resident_kib(house) - before < KEPT_KIB * HELD + 1024
    until(lambda: served(house, protocol), 10, "a login after all of them left")


def served(house: LabService, protocol: str) -> bool:
    a_good_login(house, protocol)
    return True


def test_nothing_of_all_that_is_an_error_in_the_log(house: LabService) -> None:
    log = house.service.log.read_text()
    assert "Traceback" not in log
    assert not [line for line in log.splitlines() if " error " in line]
    assert house.password not in log
