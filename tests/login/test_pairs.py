"""Any name and password through every login form: what a backend gets is what a small model says, or nothing.

The model is written apart from the program: it knows what may pass the door and the octets of each
backend form.
"""

from __future__ import annotations

import base64
import itertools
import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailferry.login.actions import Action, Attempt, Backend, Frontend, Send
from mailferry.login.imap_backend import ImapBackend
from mailferry.login.imap_frontend import ImapFrontend
from mailferry.login.pop3_backend import Pop3Backend
from mailferry.login.pop3_frontend import Pop3Frontend
from mailferry.model.access import Credentials, TlsMode
from mailferry.model.profile import Profile, SendId
from tests.kit.conversation import sent

# ---- the model


def passes(name: bytes, password: bytes) -> bool:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    return (
        0 < len(name) <= 320
        and not any(char in "*%" or unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in text)
        and 0 < len(password) <= 255
        and not set(password) & {0, 10, 13}
    )


def escaped(octets: bytes) -> bytes:
    out = b""
    for octet in octets:
        out += b"\\" + bytes([octet]) if octet in b'"\\' else bytes([octet])
    return b'"' + out + b'"'


def model_imap(name: bytes, password: bytes, offers: bytes) -> bytes:
    """All that an IMAP server reads that answers each line as it should."""
    ends = b'\r\nt2 LIST "" ""\r\n'
    if b"AUTH=PLAIN" in offers:
        return b"t1 AUTHENTICATE PLAIN " + base64.b64encode(b"\0" + name + b"\0" + password) + ends

    def word(octets: bytes) -> bytes:
        if max(octets) < 128:
            return escaped(octets)
        plus = b"+" if b"LITERAL+" in offers else b""
        return b"{%d%s}\r\n" % (len(octets), plus) + octets

    return b"t1 LOGIN " + word(name) + b" " + word(password) + ends


def model_pop3(name: bytes, password: bytes, offers: bytes) -> bytes:
    capa = b"CAPA\r\n" if max(password) > 127 else b""
    if capa and b"PLAIN" in offers:
        return capa + b"AUTH PLAIN\r\n" + base64.b64encode(b"\0" + name + b"\0" + password) + b"\r\nSTAT\r\n"
    return capa + b"USER " + name + b"\r\nPASS " + password + b"\r\nSTAT\r\n"


# ---- servers that answer as they should, and record


def awaited(words: bytes) -> int:
    """Return the octets of the literal that waits for a continuation behind `words`, 0 for none."""
    while words:
        line, _, words = words.partition(b"\r\n")
        announced = re.search(rb"\{(\d+)(\+?)\}\Z", line)
        if announced and announced[2]:
            words = words[int(announced[1]) :]
        elif announced:
            return int(announced[1])
    return 0


def run_imap(credentials: Credentials, offers: bytes) -> bytes:
    backend = ImapBackend(
        credentials,
        Profile("x", {}, send_id=SendId.NEVER),
        tls_mode=TlsMode.IMPLICIT,
        tag_source=(b"t%d" % n for n in itertools.count(1)),
    )
    said = record(backend, b"* OK [CAPABILITY IMAP4rev1 %s] hi\r\n" % offers)
    seen = b""
    literal = 0  # octets of the next words that are a literal's, whatever they look like
    while said:
        seen += said
        literal = awaited(said[literal:])
        if seen.endswith(b'LIST "" ""\r\n'):
            break
        answer = b"+ go\r\n" if literal else b"t1 OK [CAPABILITY IMAP4rev1] in\r\n"
        said = sent(backend.feed(answer))
    return seen


def run_pop3(credentials: Credentials, offers: bytes) -> bytes:
    backend = Pop3Backend(credentials, Profile("x", {}), tls_mode=TlsMode.IMPLICIT, tag_source=iter(()))
    said = record(backend, b"+OK hi\r\n")
    seen = b""
    while said:
        seen += said
        if said == b"CAPA\r\n":
            answer = b"+OK\r\nSASL %s\r\n.\r\n" % offers
        else:
            answer = b"+ \r\n" if said == b"AUTH PLAIN\r\n" else b"+OK 0 0\r\n"
        said = sent(backend.feed(answer))
    return seen


def record(backend: Backend, greeting: bytes) -> bytes:
    assert not [action for action in backend.start() if isinstance(action, Send)]
    return sent(backend.feed(greeting))


# ---- what a client types, in every form; None where the form cannot carry the pair


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def imap_quoted(name: bytes, password: bytes) -> bytes | None:
    if set(name + password) & {0, 10, 13}:
        return None
    return b"a LOGIN %s %s\r\n" % (escaped(name), escaped(password))


def imap_literal(name: bytes, password: bytes) -> bytes | None:
    return b"a LOGIN {%d}\r\n%s {%d}\r\n%s\r\n" % (len(name), name, len(password), password)


def imap_literal_plus(name: bytes, password: bytes) -> bytes | None:
    return b"a LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n" % (len(name), name, len(password), password)


def plain_payload(name: bytes, password: bytes) -> bytes | None:
    return None if b"\0" in name + password else b64(b"\0" + name + b"\0" + password)


def imap_plain(name: bytes, password: bytes) -> bytes | None:
    payload = plain_payload(name, password)
    return None if payload is None else b"a AUTHENTICATE PLAIN\r\n" + payload + b"\r\n"


def imap_plain_initial(name: bytes, password: bytes) -> bytes | None:
    payload = plain_payload(name, password)
    return None if payload is None else b"a AUTHENTICATE PLAIN " + payload + b"\r\n"


def imap_login_mechanism(name: bytes, password: bytes) -> bytes | None:
    return b"a AUTHENTICATE LOGIN\r\n%s\r\n%s\r\n" % (b64(name), b64(password))


def pop3_user(name: bytes, password: bytes) -> bytes | None:
    if b"\n" in name + password or name.endswith(b"\r") or password.endswith(b"\r"):
        return None
    return b"USER %s\r\nPASS %s\r\n" % (name, password)


def pop3_plain(name: bytes, password: bytes) -> bytes | None:
    payload = plain_payload(name, password)
    return None if payload is None else b"AUTH PLAIN\r\n" + payload + b"\r\n"


def pop3_plain_initial(name: bytes, password: bytes) -> bytes | None:
    payload = plain_payload(name, password)
    return None if payload is None else b"AUTH PLAIN " + payload + b"\r\n"


def pop3_login_mechanism(name: bytes, password: bytes) -> bytes | None:
    return b"AUTH LOGIN\r\n%s\r\n%s\r\n" % (b64(name), b64(password))


FORMS: list[tuple[type[ImapFrontend | Pop3Frontend], Callable[[bytes, bytes], bytes | None]]] = [
    (ImapFrontend, imap_quoted),
    (ImapFrontend, imap_literal),
    (ImapFrontend, imap_literal_plus),
    (ImapFrontend, imap_plain),
    (ImapFrontend, imap_plain_initial),
    (ImapFrontend, imap_login_mechanism),
    (Pop3Frontend, pop3_user),
    (Pop3Frontend, pop3_plain),
    (Pop3Frontend, pop3_plain_initial),
    (Pop3Frontend, pop3_login_mechanism),
]

OCTETS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=8),
        st.text(min_size=1, max_size=6).map(lambda text: text.encode("utf-8", "replace")),
        st.sampled_from(
            [b"u1@old.test", b" ", b"\r\n", b"\nDELE 1\r\n", b"\r", b"\x00", b'"', b"\\", b"*", b"%", b"{3}", b"{3+}\r\n", b"\xd0\xc5", "密码".encode(), b"\t", b"\x1b", b"x" * 130, b"+OK", b"*", b"=", b"a LOGIN u p\r\n"]
        ),
    ),
    max_size=4,
).map(b"".join)  # fmt: skip


def attempted(frontend: Frontend, octets: bytes) -> list[Attempt]:
    actions: list[Action] = frontend.start() + frontend.feed(octets)
    return [action for action in actions if isinstance(action, Attempt)]


Form = tuple[type[ImapFrontend | Pop3Frontend], Callable[[bytes, bytes], bytes | None]]
PAIRS = given(
    OCTETS,
    OCTETS,
    st.sampled_from(FORMS),
    st.sampled_from([b"", b"LITERAL+", b"AUTH=PLAIN SASL-IR"]),
    st.sampled_from([b"PLAIN", b"CRAM-MD5"]),
)


def check(name: bytes, password: bytes, form: Form, imap_offers: bytes, pop3_offers: bytes) -> None:
    kind, write = form
    octets = write(name, password)
    frontend = kind("mx.test", tls_available=False, tls_active=True, plaintext_login=False)
    found = attempted(
        frontend, octets if octets is not None else b"USER " + name + b"\r\nPASS " + password + b"\r\n"
    )
    if octets is not None:
        assert [(a.credentials.authcid.encode(), a.credentials.password.reveal()) for a in found] == (
            [(name, password)] if passes(name, password) else []
        )
    for attempt in found:
        typed_name, typed_password = (
            attempt.credentials.authcid.encode(),
            attempt.credentials.password.reveal(),
        )
        assert passes(typed_name, typed_password)
        assert attempt.credentials.authzid == ""
        assert run_imap(attempt.credentials, imap_offers) == model_imap(
            typed_name, typed_password, imap_offers
        )
        assert run_pop3(attempt.credentials, pop3_offers) == model_pop3(
            typed_name, typed_password, pop3_offers
        )


@pytest.mark.hazard("T18")
@settings(max_examples=250, deadline=None)
@PAIRS
@example(b"u\r\nx", b"p", FORMS[1], b"", b"PLAIN")
@example(b"u", b"p\r\nDELE 1", FORMS[6], b"", b"PLAIN")
@example(b"u", b" p \xff", FORMS[6], b"LITERAL+", b"PLAIN")
def test_any_pair_in_any_form_gives_a_backend_the_models_octets_or_nothing(
    name: bytes, password: bytes, form: Form, imap_offers: bytes, pop3_offers: bytes
) -> None:
    check(name, password, form, imap_offers, pop3_offers)


@pytest.mark.slow
@pytest.mark.hazard("T18")
@pytest.mark.timeout(3600)
@settings(max_examples=100_000, deadline=None)
@PAIRS
def test_a_hundred_thousand_pairs(
    name: bytes, password: bytes, form: Form, imap_offers: bytes, pop3_offers: bytes
) -> None:
    check(name, password, form, imap_offers, pop3_offers)
