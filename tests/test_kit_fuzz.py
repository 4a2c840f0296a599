"""The properties of every parser, dialogue and tap hold for a few hundred inputs; the thrower notices when not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from mailferry.login.imap_frontend import ImapFrontend
from mailferry.login.pop3_frontend import Pop3Frontend
from tests.kit import fuzz, fuzz_targets


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_the_property_holds(name: str) -> None:
    assert fuzz.throw(name, fuzz_targets.TARGETS[name], inputs=60, seed=1) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_the_property_holds_for_thousands(name: str) -> None:
    assert fuzz.throw(name, fuzz_targets.TARGETS[name], inputs=5000, seed=2) >= 1000


def test_a_property_that_does_not_hold_is_found() -> None:
    def holds(octets: Any) -> None:
        assert b"\xff" not in octets

    with pytest.raises(AssertionError):
        fuzz.throw("planted", fuzz_targets.Target(st.binary(max_size=20), holds), inputs=300, seed=1)


def test_an_input_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "LONGEST", -1.0)
    with pytest.raises(AssertionError, match="for one input"):
        fuzz.throw("slow", fuzz_targets.Target(st.just(b""), lambda _: None), inputs=1, seed=1)


@pytest.mark.parametrize(
    ("kind", "octets", "said"),
    [
        (ImapFrontend, b"a LOGIN u {1+}\r\np\r\nb NOOP\r\n", b"a OK [CAPABILITY IMAP4rev1] Logged in\r\n"),
        (Pop3Frontend, b"USER u\r\nPASS p\r\nSTAT\r\n", b"+OK"),
    ],
)
def test_the_conversation_with_a_door_reaches_behind_the_login(kind: Any, octets: bytes, said: bytes) -> None:
    seen, attempts, rest = fuzz_targets._talk(kind, [octets], 1, tls=True)
    assert said in seen
    assert len(attempts) == 1
    assert rest in {b"b NOOP\r\n", b"STAT\r\n"}


def test_the_command_ends_in_time_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--seconds", "0", "--seed", "1", "sasl"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("sasl ")
    with pytest.raises(SystemExit):
        fuzz.main(["--seconds", "0", "no such"])
