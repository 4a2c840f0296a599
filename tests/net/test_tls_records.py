"""Both ways to read and write inside TLS do the same, also at its ends."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL

from mailferry.net import tls_records
from mailferry.net.tls_records import ReadInto, Send, by_openssl, by_pyopenssl, write_whole
from tests.kit.tls_files import TlsFiles

OCTETS = random.Random("records").randbytes(1 << 20)


@pytest.fixture(autouse=True)
def carriers() -> None:
    """No carrier has a part in it."""


@pytest.fixture(params=[by_openssl, by_pyopenssl])
def way(request: pytest.FixtureRequest) -> tuple[ReadInto, Send]:
    made: tuple[ReadInto, Send] = request.param()
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("records") / "ca")


@pytest.fixture
def ends(files: TlsFiles) -> Iterator[tuple[SSL.Connection, SSL.Connection, socket.socket]]:
    """Return both sides after their handshake, and the socket of the second."""
    issued = files.issue("localhost")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    write_whole(context)
    context.use_certificate_chain_file(str(issued.certificate))
    context.use_privatekey_file(str(issued.key))
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    first, second = SSL.Connection(context, ours), SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), theirs)
    first.set_accept_state()
    second.set_connect_state()
    for _ in range(4):
        for one in (second, first):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                continue
    yield first, second, theirs
    ours.close()
    theirs.close()


def test_one_call_sends_many_records_and_goes_on_where_the_socket_was_full(way: Any, ends: Any) -> None:
    read_into, send = way
    first, second, _ = ends
    room = memoryview(bytearray(64 * 1024))
    waiting, got, filled, sent, full = bytearray(OCTETS), bytearray(), 0, 0, 0
    while len(got) < len(OCTETS) + 7:
        try:
            sent = sent or send(first, waiting)
        except SSL.WantWriteError:
            if not full:
                waiting += b"and on."  # nobody holds it any more, and it is longer when it comes again
            full += 1
        try:
            while True:
                filled = read_into(second, room, 16 * 1024)
                assert filled <= 16 * 1024
                got += room[:filled]
        except SSL.WantReadError:
            pass
    assert got == OCTETS + b"and on."
    assert sent == len(got)
    assert full > 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_octets_of_any_kind_are_sent(way: Any, ends: Any, kind: Any) -> None:
    read_into, send = way
    first, second, _ = ends
    assert send(first, kind(b"NOOP\r\n")) == 6
    room = memoryview(bytearray(16 * 1024))
    assert bytes(room[: read_into(second, room, 16 * 1024)]) == b"NOOP\r\n"


def test_a_goodbye_and_a_connection_that_breaks_off_are_told_apart(way: Any, ends: Any) -> None:
    read_into, send = way
    first, second, sock = ends
    room = memoryview(bytearray(16 * 1024))
    with pytest.raises(SSL.WantReadError):
        read_into(first, room, 16 * 1024)
    second.shutdown()
    with pytest.raises(SSL.ZeroReturnError):
        read_into(first, room, 16 * 1024)
    sock.close()
    with pytest.raises(SSL.SysCallError):
        send(first, b"x" * 100)


def test_octets_that_are_no_record_break_it(way: Any, ends: Any) -> None:
    read_into, _ = way
    first, _, sock = ends
    sock.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(SSL.Error) as broken:
        read_into(first, memoryview(bytearray(16 * 1024)), 16 * 1024)
    assert not isinstance(broken.value, SSL.WantReadError | SSL.ZeroReturnError | SSL.SysCallError)


def test_a_pyopenssl_with_other_insides_is_asked_by_its_public_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AttributeError):
        by_openssl(SimpleNamespace(Connection=SSL.Connection))
    monkeypatch.setattr(tls_records, "by_openssl", lambda: by_openssl(SimpleNamespace()))
    read_into, _ = tls_records._best()
    assert "by_pyopenssl" in read_into.__qualname__
