"""The 19 inputs that every door meets before a login, in every division, and random ones."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.login.actions import Action, Attempt, Close, Denied, Frontend, StartTls
from mailferry.login.imap_frontend import ImapFrontend
from mailferry.login.pop3_frontend import Pop3Frontend
from mailferry.model.causes import Answer
from tests.kit.conversation import joined, sent

JUNK = base64.b64encode(bytes(range(256)) * 15)[:5000]

INPUTS: dict[str, bytes] = {
    "NUL": b"\0\r\n",
    "8-bit": b"\xff\xfe\xfd \x80\r\n",
    "20 kB tag": b"A" * 20_000 + b" NOOP\r\n",
    "1 MB line": b"a NOOP " + b"x" * 1_000_000 + b"\r\n",
    "2 GB literal": b"a LOGIN {2000000000}\r\n",
    "2 GB literal on its way": b"a LOGIN {2000000000+}\r\n" + b"x" * 70_000,
    "negative literal": b"a LOGIN {-1}\r\n",
    "20-digit literal": b"a LOGIN {12345678901234567890}\r\n",
    "60,000 parentheses": b"a ID " + b"(" * 60_000 + b"\r\n",
    "ID with 6,000 pairs": b"a ID (" + b'"k" "v" ' * 6_000 + b")\r\n",
    "junk base64": b"a AUTHENTICATE PLAIN\r\n" + JUNK + b"\r\n",
    "junk base64 for POP3": b"AUTH PLAIN\r\n" + JUNK + b"\r\n",
    "200 bad commands": b"a X\r\n" * 200,
    "bare LF": b"\n\na\nNOOP\n",
    "HTTP request": b"GET / HTTP/1.1\r\nHost: mx.test\r\nAccept: */*\r\n\r\n",
    "TLS hello": bytes.fromhex("16030100c8010000c40303") + b"\x11" * 180,
    "PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 143\r\n",
    "STARTTLS with NOOP behind": b"a STARTTLS\r\nb NOOP\r\n",
    "STLS with CAPA behind": b"STLS\r\nCAPA\r\n",
    "unfinished escape": b'a LOGIN "u" "p\\\r\n',
    "COMPRESS": b"a COMPRESS DEFLATE\r\n",
}

DOORS: dict[str, Callable[[], Frontend]] = {
    "imap in clear": lambda: ImapFrontend(
        "mx.test", tls_available=True, tls_active=False, plaintext_login=False
    ),
    "imap with login": lambda: ImapFrontend(
        "mx.test", tls_available=True, tls_active=False, plaintext_login=True
    ),
    "imap inside TLS": lambda: ImapFrontend(
        "mx.test", tls_available=True, tls_active=True, plaintext_login=False
    ),
    "pop3 in clear": lambda: Pop3Frontend(
        "mx.test", tls_available=True, tls_active=False, plaintext_login=False
    ),
    "pop3 with login": lambda: Pop3Frontend(
        "mx.test", tls_available=True, tls_active=False, plaintext_login=True
    ),
    "pop3 inside TLS": lambda: Pop3Frontend(
        "mx.test", tls_available=True, tls_active=True, plaintext_login=False
    ),
}


def whole(octets: bytes) -> list[bytes]:
    return [octets]


def segments(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1448] for at in range(0, len(octets), 1448)]


def halves(octets: bytes) -> list[bytes]:
    return [octets[: len(octets) // 2], octets[len(octets) // 2 :]]


@pytest.mark.hazard("T9")
@pytest.mark.hazard("T10")
@pytest.mark.hazard("T11")
@pytest.mark.hazard("T13")
@pytest.mark.parametrize("divide", [whole, segments, halves])
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("door", DOORS)
def test_hostile_input_is_refused_or_ends_the_session_with_little_kept(
    door: str, name: str, divide: Callable[[bytes], list[bytes]]
) -> None:
    frontend = DOORS[door]()
    frontend.start()
    actions: list[Action] = []
    kept = 0
    began = time.process_time()
    for piece in divide(INPUTS[name]):
        actions += frontend.feed(piece)
        kept = max(kept, frontend.held)
        if any(isinstance(action, Close) for action in actions):
            break
    if StartTls() in actions:
        actions += frontend.secured()
    took = time.process_time() - began
    said = sent(actions)
    assert not any(isinstance(action, Attempt) for action in actions)
    assert b" BAD " in said or b" NO " in said or b"-ERR" in said or isinstance(actions[-1], Close)
    assert kept < 16 * 1024
    assert took < 0.2
    if door.endswith(("clear", "login")):
        assert b"OK Nothing done" not in said or name == "bare LF"


WORDS = st.sampled_from(
    [b"a ", b"LOGIN ", b"AUTHENTICATE PLAIN", b"AUTHENTICATE LOGIN ", b"AUTH PLAIN ", b"USER u\r\n", b"PASS p\r\n", b"{3}", b"{3+}", b"{0+}", b"\r\n", b"\n", b" ", b'"u"', b'"', b"\\", b"u", b"*", b"(", b")", b"AHUAcA==", b"=", b"ID ", b"NIL", b"NOOP", b"STARTTLS\r\n", b"STLS\r\n", b"LOGOUT", b"QUIT", b"CAPA", b"\0", b"\xff", b"dQ=="]
)  # fmt: skip


def outcome(door: str, pieces: list[bytes]) -> list[Action]:
    """All that comes of the pieces, with each attempt denied and each upgrade made."""
    frontend = DOORS[door]()
    actions = list(frontend.start())
    for piece in pieces:
        new = frontend.feed(piece)
        while new and (isinstance(new[-1], (Attempt, StartTls))):
            actions += new
            more = (
                frontend.secured()
                if isinstance(new[-1], StartTls)
                else frontend.answer(Denied(Answer.REFUSED, "no"))
            )
            new = more
        actions += new
        assert frontend.held < 16 * 1024
    return joined(actions)


@settings(max_examples=150)
@given(st.sampled_from([door for door in DOORS if "TLS" in door]), st.lists(WORDS, max_size=25), st.data())
def test_any_division_of_any_input_has_the_same_outcome(
    door: str, words: list[bytes], data: st.DataObject
) -> None:
    octets = b"".join(words)
    places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    pieces = [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
    assert outcome(door, pieces) == outcome(door, [octets])


@settings(max_examples=150)
@given(st.sampled_from(list(DOORS)), st.lists(st.one_of(st.binary(max_size=40), WORDS), max_size=25))
def test_no_input_breaks_a_door_or_makes_it_keep_much(door: str, pieces: list[bytes]) -> None:
    outcome(door, pieces)
