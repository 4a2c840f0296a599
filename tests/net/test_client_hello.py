"""What is read of a client's first message is what OpenSSL reads of it, however it is cut; all else is refused."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.net.client_hello import MOST_OCTETS, MOST_RECORDS, ClientHello, NotAHello, read_hello

pytestmark = pytest.mark.hazard("T7")

NAMES = st.lists(st.binary(min_size=1, max_size=255), max_size=5)


@pytest.fixture(autouse=True)
def carriers() -> None:
    """No carrier has a part in it."""


def sent(name: str | None = None, protocols: Sequence[str] = (), *, newest: int | None = None) -> bytes:
    """Return what OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if newest is not None:
        context.maximum_version = ssl.TLSVersion(newest)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(back, there, server_hostname=name).do_handshake()
    return there.read()


def sized(width: int, octets: bytes) -> bytes:
    return len(octets).to_bytes(width) + octets


def message(extensions: Iterable[tuple[int, bytes]] | None, session: bytes = b"") -> bytes:
    """Return a client's first message without its records."""
    body = b"\3\3" + bytes(32) + sized(1, session) + sized(2, b"\x13\1") + sized(1, b"\0")
    if extensions is not None:
        body += sized(2, b"".join(struct.pack("!H", kind) + sized(2, data) for kind, data in extensions))
    return b"\1" + sized(3, body)


def records(octets: bytes, *cuts: int) -> bytes:
    """Return the octets in records that end at these places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(octets)}), len(octets)]
    return b"".join(b"\x16\3\1" + sized(2, octets[begin:end]) for begin, end in pairwise(places))


def protocols_of(names: Sequence[bytes]) -> tuple[int, bytes]:
    return 16, sized(2, b"".join(sized(1, name) for name in names))


def name_of(name: bytes) -> tuple[int, bytes]:
    return 0, sized(2, b"\0" + sized(2, name))


def read(octets: bytes) -> ClientHello | int:
    return read_hello(memoryview(octets))


@pytest.mark.parametrize("newest", [None, ssl.TLSVersion.TLSv1_2], ids=["TLS 1.3", "TLS 1.2"])
@pytest.mark.parametrize(
    ("name", "protocols"),
    [(None, []), ("mail.firm.test", []), (None, ["imap"]), ("mail.firm.test", ["h2", "http/1.1"])],
)
def test_what_openssl_sends_is_understood(name: str | None, protocols: list[str], newest: int | None) -> None:
    found = read(sent(name, protocols, newest=newest))
    assert found == ClientHello((name or "").encode(), tuple(one.encode() for one in protocols))


@given(
    names=NAMES, host=st.none() | st.binary(max_size=300), session=st.binary(max_size=32), others=st.data()
)
def test_however_it_is_cut_it_is_the_same_and_nothing_is_said_before_it_is_whole(
    names: list[bytes], host: bytes | None, session: bytes, others: st.DataObject
) -> None:
    extensions = [(65281, b"\0"), (43, b"\2\3\4")]
    extensions += [protocols_of(names)] if names else []
    extensions += [] if host is None else [name_of(host)]
    whole = message(others.draw(st.permutations(extensions)), session)
    cuts = others.draw(st.lists(st.integers(1, len(whole) - 1), max_size=MOST_RECORDS - 1))
    octets = records(whole, *cuts)
    assert read(octets) == ClientHello(host or b"", tuple(names))
    looks = there = 0
    while there < len(octets):
        needed = read(octets[:there])
        assert isinstance(needed, int)
        assert there < needed <= len(octets)
        there, looks = needed, looks + 1
    assert looks <= 2 * (len(cuts) + 1)
    cut = others.draw(st.integers(0, len(octets) - 1))
    needed = read(octets[:cut])
    assert isinstance(needed, int)
    assert cut < needed <= len(octets)


@given(st.binary(max_size=400), st.integers(0, 400), st.binary(max_size=3))
def test_octets_of_any_kind_end_in_an_answer(tail: bytes, kept: int, put: bytes) -> None:
    real = records(message([name_of(b"mail.firm.test"), protocols_of([b"imap"])]))
    for octets in (tail, real[:kept] + put + real[kept + len(put) :], real[:kept] + tail):
        try:
            found = read(octets)
        except NotAHello:
            continue
        assert isinstance(found, ClientHello) or len(octets) < found <= MOST_OCTETS


def test_a_hello_without_extensions_asks_for_nothing() -> None:
    assert read(records(message(None))) == ClientHello(b"", ())


ALERT = b"\x15\3\1\0\2\1\0"
HELLO = message([protocols_of([b"http/1.1"])])


@pytest.mark.parametrize(
    "octets",
    [
        b"a",
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\1\0\2",  # a hello of SSL 2
        ALERT,
        ALERT + records(HELLO),
        records(HELLO, 10)[:15] + ALERT,
        b"\x14\3\1\0\1\1" + records(HELLO),
        b"\x16\3\1\0\0" + records(HELLO),
        records(b"\2" + HELLO[1:]),
        records(HELLO + b"\1"),
        records(HELLO, *range(1, MOST_RECORDS + 1)),
        b"\x16\3\1\xff\xff",
        records(b"\1\1\0\0"),
        records(message([(16, b"")])),
        records(message([(16, b"\0\0")])),
        records(message([(16, b"\0\1\0")])),
        records(message([(16, b"\0\2\5i")])),
        records(message([(16, b"\0\3\2ab\0")])),
        records(message([(0, b"")])),
        records(message([(0, b"\0\4\1\0\1a")])),
        records(message([(0, sized(2, 2 * (b"\0" + sized(2, b"a"))))])),
        records(message([protocols_of([b"imap"]), protocols_of([b"http/1.1"])])),
        records(b"\1" + sized(3, message(None)[4:] + b"\0")),
        records(b"\1" + sized(3, message([])[4:] + b"\0")),
        records(b"\1" + sized(3, message([(16, b"ab")])[4:-1])),
        records(b"\1" + sized(3, bytes(20))),
    ],
    ids=repr,
)
def test_what_openssl_could_take_for_something_else_is_refused(octets: bytes) -> None:
    with pytest.raises(NotAHello):
        read(octets)
