"""A server that repeats what it was sent: its words without the password."""

from __future__ import annotations

import base64

import pytest

from mailferry.login.unspoken import unspoken
from mailferry.model.access import Credentials, Secret
from mailferry.wire.server_text import decode_text, visible
from tests.kit.canary import search

PASSWORD = b'mei\\ "pass" w\xc3\xb6rd'
SENT = Credentials("li@old.test", Secret(PASSWORD))
PLAIN = base64.b64encode(b"\0li@old.test\0" + PASSWORD)


@pytest.mark.hazard("T31")
@pytest.mark.parametrize(
    "echo",
    [
        PASSWORD,
        b'LOGIN "li@old.test" "' + PASSWORD.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"',
        b"AUTHENTICATE PLAIN " + PLAIN,
        base64.b64encode(PASSWORD),
    ],
    ids=["raw", "quoted", "plain", "login"],
)
def test_a_password_that_a_server_repeats_is_blotted_out(echo: bytes) -> None:
    told = unspoken(visible(decode_text(b"Error in command: " + echo + b" (rejected)")), SENT)
    assert list(search(told.encode(), [PASSWORD])) == []
    assert told.startswith("Error in command: ")
    assert told.endswith(("*** (rejected)", '***" (rejected)'))


def test_octets_in_another_encoding_are_blotted_out_as_they_are_shown() -> None:
    octets = "密码密码密码".encode("gb18030")
    told = unspoken(visible(decode_text(b"bad: " + octets)), Credentials("li", Secret(octets)))
    assert told == "bad: ***"


@pytest.mark.parametrize("password", [b"login", b"a", b"1234"])
def test_a_short_password_changes_no_sentence(password: bytes) -> None:
    assert unspoken("a login failed: 1234", Credentials("li", Secret(password))) == "a login failed: 1234"


def test_a_sentence_without_the_password_stays() -> None:
    assert unspoken("Invalid credentials", SENT) == "Invalid credentials"
