"""What must hold for any octets: a property for each parser, dialogue and tap.

Everywhere: only the errors that are promised, the same result however the octets are cut, little kept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import strategies as st

from mailferry.login.actions import Action, Attempt, Close, Denied, Failed, Granted, Proved, Send, StartTls
from mailferry.login.imap_backend import ImapBackend
from mailferry.login.imap_frontend import ImapFrontend
from mailferry.login.pop3_backend import Pop3Backend
from mailferry.login.pop3_frontend import Pop3Frontend
from mailferry.model.access import Credentials, Secret, TlsMode
from mailferry.model.causes import Answer
from mailferry.model.profile import Profile
from mailferry.plan.account_csv import read_account_csv
from mailferry.plan.addresses import MAX_ADDRESS_OCTETS, BadAddress, canonical_address
from mailferry.taps.boundaries_imap import ImapBoundaries
from mailferry.taps.boundaries_pop3 import Pop3Boundaries
from mailferry.taps.uidl import UidlTap
from mailferry.taps.uidl_numbering import UidlRow
from mailferry.wire.imap_fetch import fetch_facts, fetch_start
from mailferry.wire.imap_framing import FramingError, ImapFramer, LineText, LiteralChunk
from mailferry.wire.imap_names import BadMailboxName, decode_strict, encode_mailbox
from mailferry.wire.imap_responses import (
    Untagged,
    capabilities,
    list_entry,
    parse_response,
    sequence_numbers,
    status_entry,
)
from mailferry.wire.imap_values import BadResponse
from mailferry.wire.line_buffer import LineBuffer, LineTooLong
from mailferry.wire.pop3_replies import (
    BadReply,
    BodyEnd,
    DotReader,
    parse_list_line,
    parse_stat,
    parse_status,
    parse_uidl_line,
)
from mailferry.wire.proxy_header import LONGEST_BODY, BadProxyHeader, ProxyHeader, parse_proxy_header
from mailferry.wire.sasl import BadSasl, encode_base64, encode_plain, parse_plain
from mailferry.wire.server_text import decode_text, visible
from tests.kit.dot_stuffing import stuffed
from tests.kit.fuzz_octets import (
    cuts,
    imap_client,
    imap_octets,
    imap_server,
    pieces,
    pop3_client,
    pop3_octets,
    pop3_server,
)
from tests.kit.fuzz_requests import REQUESTS

KEPT_BEFORE_LOGIN = 16 * 1024
REFUSED_IN_RELAY = re.compile(rb"COMPRESS|STARTTLS|AUTHENTICATE", re.IGNORECASE)
PASSWORD = b"the-password-of-the-fuzz"


@dataclass(frozen=True)
class Target:
    """A property and what to throw at it."""

    given: st.SearchStrategy[Any]
    holds: Callable[[Any], None]


def _lines(case: tuple[bytes, list[int]]) -> None:
    octets, places = case

    def read(parts: Sequence[bytes]) -> tuple[list[bytes], bool]:
        buffer, lines = LineBuffer(100), []
        for part in parts:
            buffer.feed(part)
            try:
                while (line := buffer.next_line()) is not None:
                    lines.append(line)
            except LineTooLong:
                return lines, True
            assert len(buffer) <= 101
        return lines, False

    assert read([octets]) == read(pieces(octets, places))


def _framing(case: tuple[bytes, list[int], bool]) -> None:
    octets, places, server = case

    def read(parts: Sequence[bytes]) -> tuple[list[Any], bool]:
        framer, frames, failed = ImapFramer(server=server, max_line=2000), [], False
        for part in parts:
            try:
                frames += framer.feed(part)
            except FramingError as fault:
                frames += fault.frames
                failed = True
                break
            assert framer.held <= 2001
        merged: list[Any] = []
        for frame in frames:
            last = merged[-1] if merged else None
            if isinstance(frame, LiteralChunk) and isinstance(last, LiteralChunk) and last.left > 0:
                merged[-1] = LiteralChunk(last.data + frame.data, frame.left)
            elif not (isinstance(frame, LiteralChunk) and not frame.data and frame.left > 0):
                merged.append(frame)
        return merged, failed

    frames, failed = read([octets])
    assert (frames, failed) == read(pieces(octets, places))
    said = b"".join(f.text + f.eol if isinstance(f, LineText) else f.data for f in frames)
    assert octets.startswith(said), "frames give back what came in"


def _response(octets: bytes) -> None:
    lines = octets.split(b"\r\n", 2)
    for parts in (octets, [lines[0]], lines):
        try:
            response = parse_response(parts)
        except BadResponse:
            continue
        if isinstance(response, Untagged):
            for reader in (list_entry, status_entry, capabilities, sequence_numbers):
                try:
                    reader(response)
                except BadResponse:
                    continue


def _fetch(octets: bytes) -> None:
    for parse in (fetch_facts, lambda line: fetch_start([line])):
        try:
            parse(b"* 12 FETCH (" + octets)
        except BadResponse:
            continue


def _names(octets: bytes) -> None:
    try:
        name = decode_strict(octets)
    except BadMailboxName:
        return
    try:
        assert encode_mailbox(name) == octets
    except BadMailboxName:
        assert visible(name) != name, "only control characters keep a decoded name from the wire"


def _sasl(octets: bytes) -> None:
    for payload in (octets, encode_base64(octets)):
        try:
            plain = parse_plain(payload)
        except BadSasl:
            continue
        assert encode_plain(plain.authzid, plain.authcid, plain.password) == payload


def _text(octets: bytes) -> None:
    shown = visible(decode_text(octets))
    assert shown.isprintable() or all(c.isprintable() or c in " \u3000\u00a0" or ord(c) > 0x7F for c in shown)
    assert not {"\r", "\n", "\x1b", "\0", "\u2028", "\x85"} & set(shown), "one line, no escapes"


def _replies(octets: bytes) -> None:
    for parse in (parse_status, parse_uidl_line, parse_list_line, parse_stat):
        try:
            parse(octets)
        except BadReply:
            continue


def _dots(case: tuple[bytes, list[int]]) -> None:
    octets, places = case
    wire = stuffed(octets)
    reader = DotReader()
    body = b"".join(reader.feed(part) for part in pieces(wire + b"+OK next", places))
    ended = octets.endswith(b"\r\n") or not octets
    assert (reader.done, reader.rest) == (True, b"+OK next")
    assert body == octets + (b"" if ended else b"\r\n")
    end, seen = BodyEnd(), 0
    for part in pieces(wire + b"+OK next", places):
        offset = end.feed(part)
        if offset is not None:
            assert seen + offset == len(wire)
            return
        seen += len(part)
    raise AssertionError("the body's end was not found")


def _frontend(kind: type[ImapFrontend | Pop3Frontend]) -> Callable[[Any], None]:
    def holds(case: tuple[bytes, list[int], int, bool]) -> None:
        octets, places, verdicts, tls = case
        whole = _talk(kind, [octets], verdicts, tls=tls)
        assert whole == _talk(kind, pieces(octets, places), verdicts, tls=tls)

    return holds


def _talk(
    kind: type[ImapFrontend | Pop3Frontend], parts: Sequence[bytes], verdicts: int, *, tls: bool
) -> tuple[bytes, list[str], bytes]:
    """Return what the client saw, the attempts, and what the backend would get behind a granted login."""
    frontend = kind("mx.example", tls_available=not tls, tls_active=tls, plaintext_login=True)
    said, attempts, answered, ended, granted = b"", [], 0, False, False
    queue: list[Action] = frontend.start()
    rest = b"".join(parts)
    sizes = [len(part) for part in parts]
    while True:
        while queue:
            action = queue.pop(0)
            assert not ended, f"{action!r} after the end"
            if isinstance(action, Send):
                said += action.data
            elif isinstance(action, Attempt):
                _clean(action.credentials)
                attempts.append(f"{action.mechanism} {action.credentials.authcid}")
                granted = bool(verdicts >> answered & 1)
                answered += 1
                verdict = Granted((b"IMAP4rev1",)) if granted else Denied(Answer.REFUSED, "no")
                queue += frontend.answer(verdict)
            elif isinstance(action, StartTls):
                if rest:  # the client did not wait for the answer, which may not have been sent then
                    said = said[: said.rfind(b"\r\n", 0, -2) + 2]
                    queue += frontend.feed(rest)
                    rest = b""
                queue += frontend.secured()
            else:
                assert isinstance(action, Close)
                ended = True
        assert ended or granted or frontend.held <= KEPT_BEFORE_LOGIN
        if ended or granted or not rest:
            break
        size = min(sizes.pop(0) if sizes else len(rest), 8192)
        piece, rest = rest[:size], rest[size:]
        queue += frontend.feed(piece)
    return said, attempts, (frontend.residual() + rest) if granted else b""


def _clean(credentials: Credentials) -> None:
    """What reaches the gate holds nothing that could become a second command or another user."""
    name = credentials.authcid
    assert name
    assert visible(name) == name
    assert not any(ord(c) < 0x20 or ord(c) == 0x7F for c in name)
    assert 1 <= len(credentials.password) <= 255
    assert not {0x00, 0x0A, 0x0D} & set(credentials.password.reveal())


def _backend(kind: type[ImapBackend | Pop3Backend]) -> Callable[[Any], None]:
    def holds(case: tuple[bytes, list[int], TlsMode]) -> None:
        octets, places, mode = case
        backend = kind(
            Credentials("user@example.test", Secret(PASSWORD)),
            Profile("generic", {"en": "generic"}),
            tls_mode=mode,
            tag_source=(b"t%d" % number for number in count()),
        )
        confidential = mode is not TlsMode.STARTTLS
        ended = False
        queue: list[Action] = backend.start()
        for part in [*pieces(octets, places), None]:
            queue += backend.closed() if part is None else backend.feed(part)
            while queue:
                action = queue.pop(0)
                assert not ended, f"{action!r} after the end"
                ended = isinstance(action, (Proved, Failed))
                if isinstance(action, Send):
                    assert action.data.endswith(b"\r\n"), "commands are whole"
                    assert confidential or PASSWORD not in action.data
                    assert (
                        confidential or encode_base64(b"\0user@example.test\0" + PASSWORD) not in action.data
                    )
                elif isinstance(action, StartTls):
                    confidential = True
                    queue += backend.secured()
        assert ended, "a closed connection ends the dialogue"

    return holds


def _boundaries(make: Callable[[], ImapBoundaries | Pop3Boundaries]) -> Callable[[Any], None]:
    def holds(case: tuple[list[tuple[bool, bytes]], list[tuple[bool, bytes]]]) -> None:
        before, after = case
        tap = make()
        sent, got = {True: b"", False: b""}, {True: b"", False: b""}
        for from_client, octets in [*before, (True, b"\r\n")]:
            flow = tap.from_client(octets) if from_client else tap.from_server(octets)
            sent[from_client] += octets
            got[True] += flow.to_server
            got[False] += flow.to_client
            if flow.end is not None:
                return
            assert tap.resting in {True, False}
            if REFUSED_IN_RELAY.search(sent[True]):
                continue  # answered by the tap itself
            assert got[False] == sent[False], "what the server sends passes as it is"
            assert sent[True].startswith(got[True]), "what the client sends passes in order"
        if not REFUSED_IN_RELAY.search(sent[True]):
            assert sent[True] == got[True], "nothing of a whole line is kept"
        rested = tap.resting
        flow = tap.stop()
        assert not rested or flow.to_server or flow.end is not None, "a resting session can be ended"
        for from_client, octets in after:
            if flow.end is not None:
                return
            flow = tap.from_client(octets) if from_client else tap.from_server(octets)

    return holds


def _uidl(flow: list[tuple[bool, bytes]]) -> None:
    tap = UidlTap([UidlRow(b"b", b"old-1", 1), UidlRow(b"a", None, 2)])
    for from_client, octets in [(False, b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"), *flow]:
        sent = tap.from_client(octets) if from_client else tap.from_server(octets)
        assert not sent.to_server or sent.to_server.endswith(b"\r\n"), "the server gets whole commands"
        for line in sent.to_server.split(b"\r\n"):
            assert b"\n" not in line
            assert b"\0" not in line
        if sent.end is not None:
            return


def _proxy_header(octets: bytes) -> None:
    def read(data: bytes) -> ProxyHeader | str | None:
        try:
            return parse_proxy_header(data)
        except BadProxyHeader as fault:
            return str(fault)

    whole = read(octets)
    for cut in range(len(octets)):
        part = read(octets[:cut])
        assert part is None or part == whole, "half a header is none, or as bad as the whole"
    if isinstance(whole, ProxyHeader):
        assert 0 < whole.octets <= len(octets)
        assert (whole.client is None) is (whole.door is None)
        for end in (whole.client, whole.door):
            assert end is None or (ipaddress.ip_address(end.host) and 0 <= end.port <= 65535)
    elif whole is None:
        assert len(octets) < 16 + LONGEST_BODY


def _address(name: str) -> None:
    try:
        address = canonical_address(name)
    except BadAddress:
        return
    assert canonical_address(address) == address
    assert address.count("@") == 1
    assert not set(address) & set("*%\0\r\n ")
    assert len(address.encode()) <= MAX_ADDRESS_OCTETS


def _account_csv(octets: bytes) -> None:
    read = read_account_csv(b"target,password,source\n" + octets)
    assert len(read.rows) + len(read.faults) <= 2 * len(octets) + 2
    for row in read.rows:
        assert canonical_address(row.target) == row.target
    assert PASSWORD not in str([str(fault) for fault in read.faults]).encode(), "faults repeat no password"


_PROXY_PARTS = st.sampled_from(
    [
        *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"192.0.2.1 ", b"2001:db8::1 ", b"0 ", b"65535\r\n"),
        *(b"\r\n", b"\r\n\r\n\0\r\nQUIT\n", b"\x21\x11\0\x0c", b"\x20\0\0\0", b"\x21\x21\0\x24"),
        b"\x7f\0\0\x01" * 3,
    ]
)
_PROXY = st.lists(_PROXY_PARTS | st.binary(max_size=6), max_size=8).map(b"".join)
_CSV_PARTS = st.sampled_from(
    [
        "li@old.test",
        "LI@Old.Test",
        PASSWORD.decode(),
        "=cmd()",
        ",",
        ";",
        "\t",
        "\n",
        "\r\n",
        '"',
        "\ufeff",
        "密码",
    ]
)
_CSV = st.lists(_CSV_PARTS | st.text(max_size=5), max_size=14).map("".join)


def _flow(
    client: st.SearchStrategy[bytes], server: st.SearchStrategy[bytes]
) -> st.SearchStrategy[list[tuple[bool, bytes]]]:
    turn = st.one_of(st.tuples(st.just(True), client), st.tuples(st.just(False), server))
    return st.lists(turn, max_size=8)


_DOORS = st.tuples(imap_client(), cuts(), st.integers(0, 7), st.booleans())
_POP3_DOORS = st.tuples(pop3_client(), cuts(), st.integers(0, 7), st.booleans())
_IMAP_FLOW = _flow(imap_client(3), imap_server(3))
_POP3_FLOW = _flow(pop3_client(3), pop3_server(3))
_MODES = st.sampled_from(list(TlsMode))

TARGETS: Mapping[str, Target] = {
    "lines": Target(st.tuples(imap_octets(), cuts()), _lines),
    "imap framing": Target(st.tuples(imap_client() | imap_server(), cuts(), st.booleans()), _framing),
    "imap responses": Target(imap_octets().map(lambda octets: b"* " + octets) | imap_server(2), _response),
    "imap fetch": Target(imap_octets(), _fetch),
    "mailbox names": Target(imap_octets(6) | st.binary(max_size=40), _names),
    "sasl": Target(st.binary(max_size=300) | imap_octets(4), _sasl),
    "server text": Target(st.binary(max_size=300), _text),
    "pop3 replies": Target(pop3_octets(4), _replies),
    "dot stuffing": Target(st.tuples(pop3_octets(), cuts()), _dots),
    "imap frontend": Target(_DOORS, _frontend(ImapFrontend)),
    "pop3 frontend": Target(_POP3_DOORS, _frontend(Pop3Frontend)),
    "imap backend": Target(st.tuples(imap_server(), cuts(), _MODES), _backend(ImapBackend)),
    "pop3 backend": Target(st.tuples(pop3_server(), cuts(), _MODES), _backend(Pop3Backend)),
    "imap boundaries": Target(
        st.tuples(_IMAP_FLOW, _IMAP_FLOW), _boundaries(lambda: ImapBoundaries(b"ours"))
    ),
    "pop3 boundaries": Target(st.tuples(_POP3_FLOW, _POP3_FLOW), _boundaries(Pop3Boundaries)),
    "uidl tap": Target(_POP3_FLOW, _uidl),
    "proxy header": Target(_PROXY, _proxy_header),
    "addresses": Target(st.text(max_size=40) | st.emails(), _address),
    "account csv": Target(_CSV.map(lambda text: text.encode("utf-8", "replace")) | st.binary(), _account_csv),
    **{name: Target(*target) for name, target in REQUESTS.items()},
}
