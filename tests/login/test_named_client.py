"""ID before the login: whom a webmail speaks for, and that nobody else says it of himself."""

from __future__ import annotations

import pytest

from mailferry.login.actions import Action, Attempt, StartTls
from mailferry.login.imap_frontend import ImapFrontend
from mailferry.wire.proxy_header import Endpoint

pytestmark = pytest.mark.hazard("T34")

LOGIN = b"z LOGIN u@old.test secret\r\n"
BROWSER = Endpoint("203.0.113.9", 0)


def frontend(*, webmail: bool = True, tls_active: bool = True) -> ImapFrontend:
    made = ImapFrontend(
        "here", tls_available=True, tls_active=tls_active, plaintext_login=True, webmail=webmail
    )
    made.start()
    return made


def client_of(actions: list[Action]) -> Endpoint | None:
    """Return whom the one attempt among the actions is for."""
    (attempt,) = [action for action in actions if isinstance(action, Attempt)]
    return attempt.client


SAID = {
    b'("x-originating-ip" "203.0.113.9")': BROWSER,
    b'("name" "Roundcube" "X-Originating-IP" "203.0.113.9" "x-originating-port" "56324")': Endpoint(
        "203.0.113.9", 56324
    ),
    b'("x-originating-ip" "2001:DB8:0::9")': Endpoint("2001:db8::9", 0),
    b'("x-originating-ip" {11+}\r\n203.0.113.9)': BROWSER,
    b'("x-originating-ip" "203.0.113.9" "x-originating-port" "65536")': BROWSER,
    b'("x-originating-ip" "203.0.113.9" "x-originating-port" "-1")': BROWSER,
    b'("x-originating-ip" "203.0.113.9" "x-originating-ip" "198.51.100.66")': BROWSER,
    b"NIL": None,
    b"()": None,
    b'("x-originating-ip")': None,
    b'("x-originating-ip" NIL)': None,
    b'("x-originating-ip" "localhost")': None,
    b'("x-originating-ip" "203.0.113.9 ")': None,
    b'("x-originating-ip" "fe80::1%eth0")': None,
    b'("x-originating-ip" "\xe9")': None,
    b'("x-connected-ip" "203.0.113.9" "x-forward-ip" "203.0.113.9")': None,
}


@pytest.mark.parametrize("said", SAID)
def test_a_webmail_says_in_digits_for_whom_it_logs_in(said: bytes) -> None:
    assert client_of(frontend().feed(b"a ID " + said + b"\r\n" + LOGIN)) == SAID[said]


@pytest.mark.parametrize("said", SAID)
def test_what_anybody_else_says_of_himself_goes_nowhere(said: bytes) -> None:
    assert client_of(frontend(webmail=False).feed(b"a ID " + said + b"\r\n" + LOGIN)) is None


def test_what_was_said_before_tls_is_forgotten_with_it() -> None:
    door = frontend(tls_active=False)
    door.feed(b'a ID ("x-originating-ip" "203.0.113.9")\r\n')
    assert StartTls() in door.feed(b"b STARTTLS\r\n")
    door.secured()
    assert client_of(door.feed(LOGIN)) is None
