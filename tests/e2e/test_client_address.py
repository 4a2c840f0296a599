"""A client's address, from a balancer through us to a real Dovecot's own log."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.lab.rehearsal_hosts import RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from mailferry.model.access import Credentials, Protocol, Secret, Server, TlsMode
from mailferry.net.carrier import Carrier
from mailferry.net.connect import Connector
from mailferry.remote.open import open_session
from mailferry.remote.target_servers import Forwarding, TargetServers
from mailferry.wire.proxy_header import Endpoint, proxy_header
from tests.kit.peer_dovecot import Dovecot
from tests.kit.peers import in_thread
from tests.kit.service import Service, free_port, until
from tests.net.ears import Ear
from tests.remote.sessions import GENERIC

pytestmark = [pytest.mark.hazard("T34"), pytest.mark.timeout(120)]

USER, PASSWORD = "li@old.test", "an old Pa55word"
MASTER = ("mailferry", "master-secret")
LIE = "198.51.100.66"
LIES = {
    "imap": [
        f'b ID ("x-originating-ip" "{LIE}" "x-originating-port" "7" "x-connected-ip" "{LIE}")',
        f"c XCLIENT ADDR={LIE} PORT=7",
        f"d PROXY TCP4 {LIE} {LIE} 7 143",
        'e SELECT "INBOX"',
        "f LOGOUT",
    ],
    "pop3": [f"XCLIENT ADDR={LIE} PORT=7", f"PROXY TCP4 {LIE} {LIE} 7 110", "STAT", "QUIT"],
}
"""What a client may claim once its session is relayed octet by octet."""
CLIENT, DOOR = Endpoint("203.0.113.9", 56324), Endpoint("192.0.2.1", 143)
TRUSTS_US = """
login_trusted_networks = 127.0.0.0/8
haproxy_trusted_networks = 127.0.0.0/8
mail_log_prefix = "%%s(%%u)<%%r>: "
service imap-login {
  inet_listener imap_behind {
    port = %d
    haproxy = yes
  }
}
service pop3-login {
  inet_listener pop3_behind {
    port = %d
    haproxy = yes
  }
}
"""


@pytest.fixture
def behind() -> dict[str, int]:
    """The ports at which the Dovecot wants a PROXY header."""
    return {"imap": free_port(), "pop3": free_port()}


@pytest.fixture
def dovecot(start_peer: Callable[..., Any], behind: dict[str, int]) -> Dovecot:
    server: Dovecot = start_peer(
        "dovecot",
        users={USER: PASSWORD},
        master=MASTER,
        settings=TRUSTS_US % (behind["imap"], behind["pop3"]),
    )
    return server


async def hang_up(carrier: Carrier) -> None:
    """Close and wait until nothing of it is left."""
    ear = Ear()
    carrier.attach(ear)
    carrier.abort()
    await ear.end()


def logins(server: Dovecot) -> list[tuple[str, str, str]]:
    """Return protocol, client and door of each login, as Dovecot logged them."""
    line = re.compile(r"(imap|pop3)-login: (?:Info: )?Login: user=.*? rip=([^,]+), lip=([^,]+),")
    return line.findall(server.log_text())


@pytest.mark.parametrize(
    ("forwarding", "seen"),
    [
        (Forwarding.NONE, {"imap": "127.0.0.1", "pop3": "127.0.0.1"}),
        (Forwarding.DOVECOT_ID, {"imap": CLIENT.host, "pop3": "127.0.0.1"}),
        (Forwarding.XCLIENT, {"imap": CLIENT.host, "pop3": CLIENT.host}),
        (Forwarding.PROXY, {"imap": CLIENT.host, "pop3": CLIENT.host}),
    ],
)
async def test_dovecot_logs_who_the_client_is(
    dovecot: Dovecot, behind: dict[str, int], forwarding: Forwarding, seen: dict[str, str]
) -> None:
    from twisted.internet import reactor

    ports = behind if forwarding is Forwarding.PROXY else dovecot.ports
    at = {p: Server(p, "127.0.0.1", ports[p.value], TlsMode.NONE) for p in Protocol}
    target = TargetServers(at[Protocol.IMAP], at[Protocol.POP3], forwarding)
    for server in (target.imap, target.pop3):
        assert server is not None
        session = await open_session(
            Connector(reactor),
            server,
            Credentials(USER, Secret(PASSWORD.encode())),
            GENERIC,
            reactor=reactor,
            client=CLIENT if target.learn_clients(server.protocol) else None,
            door=DOOR,
        )
        await hang_up(session.carrier)
    await in_thread(until, lambda: len(logins(dovecot)) == 2, 5, "both logins are logged")
    assert {protocol: client for protocol, client, _ in logins(dovecot)} == seen
    if forwarding is Forwarding.PROXY:
        assert {door for _, _, door in logins(dovecot)} == {DOOR.host}


def ends_of_sessions(server: Dovecot) -> list[tuple[str, str]]:
    """Return protocol and client of each session that ended, as the process after the login knew it."""
    return re.findall(r"(imap|pop3)\([^)]*\)<([^>]*)>: (?:Info: )?Disconnected", server.log_text())


@pytest.mark.parametrize("protocol", list(Protocol))
def test_what_a_client_claims_after_its_login_changes_nothing_at_a_server_that_trusts_us(
    dovecot: Dovecot, protocol: Protocol
) -> None:
    imap = protocol is Protocol.IMAP
    login = [f'a LOGIN {USER} "{PASSWORD}"'] if imap else [f"USER {USER}", f"PASS {PASSWORD}"]
    with socket.create_connection(("127.0.0.1", dovecot.ports[protocol.value]), 30) as raw:
        lines = raw.makefile("rb")
        lines.readline()
        for command in login:
            raw.sendall(f"{command}\r\n".encode())
            assert b"OK" in lines.readline()
        shown = dovecot.doveadm("who").decode()
        for command in LIES[protocol.value]:
            raw.sendall(f"{command}\r\n".encode())
        answers = lines.read()
    assert answers.count(b" OK " if imap else b"+OK") >= 2
    assert (b"b OK" in answers) is imap, "it takes the ID"
    assert "127.0.0.1" in shown
    until(lambda: ends_of_sessions(dovecot), 10, "the session's end is logged")
    assert ends_of_sessions(dovecot) == [(protocol.value, "127.0.0.1")]
    assert [client for _, client, _ in logins(dovecot)] == ["127.0.0.1"]
    assert f"rip={LIE}" not in dovecot.log_text()


@pytest.mark.parametrize("protocol", list(Protocol))
async def test_a_connection_of_ours_speaks_for_nobody(
    dovecot: Dovecot, behind: dict[str, int], protocol: Protocol
) -> None:
    from twisted.internet import reactor

    server = Server(protocol, "127.0.0.1", behind[protocol.value], TlsMode.NONE, proxy_header=True)
    me = Credentials(USER, Secret(PASSWORD.encode()))
    session = await open_session(Connector(reactor), server, me, GENERIC, reactor=reactor)
    await hang_up(session.carrier)
    await in_thread(until, lambda: logins(dovecot), 5, "the login is logged")
    assert logins(dovecot)[0][:2] == (protocol.value, "127.0.0.1")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    running = RunningLab(LabPlan(str(tmp_path), [RehearsalUser(USER, PASSWORD, 3)]))
    yield running
    running.stop()


@pytest.mark.hazard("T33")
def test_the_balancers_word_goes_through_the_service_and_a_strangers_does_not(
    tmp_path: Path, lab: RunningLab, dovecot: Dovecot, behind: dict[str, int]
) -> None:
    believed, plain = free_port(), free_port()
    door = '[[listen]]\nservice = "imap"\nendpoint = "tcp:{}:interface=127.0.0.1"\ntls = "none"\n{}\n'
    dovecot.set_password(USER, "nobody knows")
    service = Service(
        tmp_path / "service",
        target_imap=f"imap://127.0.0.1:{behind['imap']}?tls=none",
        target_pop3=f"pop3://127.0.0.1:{behind['pop3']}?tls=none",
        passwd_file=dovecot.users_path,
        environment={"MAILFERRY_TARGET__FORWARD_CLIENT_ADDRESS": "proxy"},
        extra=door.format(believed, 'proxy_protocol_from = ["127.0.0.0/8"]') + door.format(plain, ""),
    )
    source = f"{{}}s://localhost:{{}}?ca={lab.tls}/authority.pem"
    service.run(
        "domain", "add", "old.test", "--switch", "at-once",
        "--source", source.format("imap", lab.old.ports["imaps"]),
    )  # fmt: skip
    service.start()
    try:
        for port, answer in ((believed, b"a OK"), (plain, b"BAD")):
            with socket.create_connection(("127.0.0.1", port), 60) as raw, raw.makefile("rb") as lines:
                if port == plain:
                    lines.readline()
                raw.sendall(
                    proxy_header(CLIENT, DOOR) if port == believed else b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n"
                )
                if port == believed:
                    assert lines.readline().startswith(b"* OK ")
                    raw.sendall(f'a LOGIN {USER} "{PASSWORD}"\r\n'.encode())
                assert answer in lines.readline()
                if port == believed:
                    raw.sendall("".join(f"{command}\r\n" for command in LIES["imap"]).encode())
                    assert b"\r\nf OK " in lines.read()
        until(lambda: CLIENT.host in {client for _, client, _ in logins(dovecot)}, 30, "the client is logged")
        assert {client for _, client, _ in logins(dovecot)} <= {CLIENT.host, "127.0.0.1"}
        assert DOOR.host in {door for _, _, door in logins(dovecot)}
        ended = ("imap", CLIENT.host)
        until(lambda: ended in ends_of_sessions(dovecot), 10, "the session's end is logged")
        assert LIE not in {client for _, client in ends_of_sessions(dovecot)}
    finally:
        service.stop()
