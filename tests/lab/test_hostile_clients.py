"""No line of a client, however wrong, breaks a lab host: each gets an answer or the end of its connection."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from mailferry.lab.connection import LabConnection
from mailferry.lab.imap_host import VERBS, ImapConnection
from mailferry.lab.pop3_host import Pop3Connection
from mailferry.lab.premises import LabAccount, Premises
from mailferry.lab.quirks import QUIRKS
from tests.lab.rehearsal import PASSWORD, USER

WORDS = [
    b"", b"(", b")", b'"', b'"a', b"NIL", b"INBOX", b"1", b"1:*", b"*:1", b"0", b"4294967296", b"()", b"((", b"(FLAGS)",
    b"BODY[]", b"BODY[1.2.MIME]<0.0>", b"BODY[HEADER.FIELDS (To", b"\\Seen", b"(\\Seen", b"+FLAGS", b"UID", b"{3+}\r\nabc",
    b"{0+}\r\n", b"CHARSET", b"NOT", b"OR", b"KEYWORD", b"SINCE", b"1-Jan-2020", b"RETURN", b"(STATUS (X))", b"(USE (\\Sent))",
    b'" 1-Jan-2020 00:00:00 +0000"', b"%", b"*", b"\xff\x00", b"AUTH", b"PLAIN", b"=", b"AAAA", b"99999999999999999999",
]  # fmt: skip
POP3_VERBS = [
    "CAPA",
    "STLS",
    "USER",
    "PASS",
    "AUTH",
    "STAT",
    "LIST",
    "UIDL",
    "RETR",
    "TOP",
    "DELE",
    "RSET",
    "LAST",
    "X",
]
LINES = st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(b" ".join), max_size=6)


class Wire(StringTransportWithDisconnection):
    """A transport in memory with the calls of a TCP one."""

    def setTcpNoDelay(self, on: bool) -> None:  # noqa: N802 - Twisted's name
        pass


class AtOnce(LabConnection):
    """Hashes without threads."""

    async def in_thread(self, work: Any, *arguments: object) -> Any:
        return work(*arguments)


class Imap(AtOnce, ImapConnection):
    pass


class Pop3(AtOnce, Pop3Connection):
    pass


def connected(kind: type[Any], quirks: set[str]) -> tuple[Any, Wire]:
    account = LabAccount(PASSWORD)
    account.store.deliver(
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    )
    connection = kind(Premises("lab", {USER: account}, quirks), Clock(), None, secure=False)
    wire = Wire()
    wire.protocol = connection
    connection.makeConnection(wire)
    return connection, wire


def say(connection: Any, wire: Wire, octets: bytes) -> bytes:
    wire.clear()
    if wire.connected:
        connection.dataReceived(octets)
    return bytes(wire.value())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_nonsense_is_answered_or_ends_the_connection(data: st.DataObject) -> None:
    kind: type[Any] = data.draw(st.sampled_from([Imap, Pop3]))
    quirks = data.draw(st.sets(st.sampled_from(sorted(set(QUIRKS) - {"greeting_bye"})), max_size=2))
    connection, wire = connected(kind, set(quirks))
    verbs = sorted(VERBS) if kind is Imap else POP3_VERBS
    login = f'a LOGIN {USER} "{PASSWORD.decode()}"\r\na SELECT INBOX\r\n'
    if kind is Pop3:
        login = f"USER {USER}\r\nPASS {PASSWORD.decode()}\r\n"
    if data.draw(st.booleans()):
        say(connection, wire, login.encode())
    for line in data.draw(LINES):
        verb = data.draw(st.sampled_from(verbs)).encode()
        if verb in {b"IDLE", b"AUTHENTICATE", b"AUTH"}:
            continue
        octets = b"t " + verb + b" " + line if kind is Imap else verb + b" " + line
        heard = say(connection, wire, octets + b"\r\n")
        silent = kind is Imap and b"{" in line
        assert heard or silent or not wire.connected, octets
    if wire.connected:
        wire.loseConnection()


@settings(max_examples=200, deadline=None)
@given(octets=st.binary(max_size=300), cut=st.integers(1, 40))
def test_any_octets_in_any_pieces_leave_the_host_alive(octets: bytes, cut: int) -> None:
    for kind in (Imap, Pop3):
        connection, wire = connected(kind, set())
        for at in range(0, len(octets), cut):
            say(connection, wire, octets[at : at + cut])
        if wire.connected:
            wire.loseConnection()


def test_an_endless_line_ends_the_connection() -> None:
    for kind in (Imap, Pop3):
        connection, wire = connected(kind, set())
        for _ in range(5):
            say(connection, wire, b"x" * 30_000)
        assert not wire.connected
