from __future__ import annotations

import pytest

from mailferry.model.access import Secret
from mailferry.passwords.verifiers import make_verifier, matches, matches_any


@pytest.mark.parametrize("octets", [b"x", b"\xff\xfe", "密码".encode(), "密码".encode("gb18030"), b"a" * 255])
def test_a_verifier_knows_its_octets_and_no_others(octets: bytes) -> None:
    verifier = make_verifier(Secret(octets))
    assert verifier.startswith("$argon2id$")
    assert matches(verifier, Secret(octets))
    for other in (octets + b"x", octets[:-1] or b"y", octets.swapcase() + b"z"):
        assert not matches(verifier, Secret(other))


@pytest.mark.parametrize("verifier", [None, "", "rubbish", "$argon2id$", "$1$salt$x", "{PLAIN}x"])
def test_what_is_no_verifier_matches_nothing(verifier: str | None) -> None:
    assert not matches(verifier, Secret(b"x"))


def test_one_of_several_is_enough() -> None:
    made = [make_verifier(Secret(b"a")), make_verifier(Secret(b"b"))]
    assert matches_any(made, Secret(b"b"))
    assert not matches_any(made, Secret(b"c"))
    assert not matches_any([], Secret(b"a"))
