"""Hashes for the target: what we make the target reads, and what it holds we read by its prefix alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any, get_args

import pytest

from mailferry.config.settings import PasswordSettings
from mailferry.model.access import Secret
from mailferry.passwords.schemes import MADE, UnfitPassword, UnknownScheme, holds, make_hash

OCTETS = ["密码 with blanks".encode("gb18030"), b"\"\\$(id)%u{x}'"]


@pytest.mark.parametrize("scheme", MADE)
@pytest.mark.parametrize("octets", OCTETS)
def test_a_hash_is_of_its_octets_and_no_others(scheme: str, octets: bytes) -> None:
    stored = make_hash(scheme, Secret(octets))
    assert stored.startswith(f"{{{scheme}}}")
    assert stored.isascii()
    assert stored.isprintable()
    assert ":" not in stored
    assert holds(stored, Secret(octets)) is True
    assert holds(stored, Secret(octets + b"x")) is False


def test_the_configuration_knows_the_same_schemes() -> None:
    assert set(get_args(PasswordSettings.model_fields["scheme"].annotation)) == set(MADE)


@pytest.mark.parametrize("scheme", ["", "PLAIN", "MD5-CRYPT", "PBKDF2", "argon2id", "ROT13"])
def test_no_other_scheme_is_made(scheme: str) -> None:
    with pytest.raises(UnknownScheme, match="ARGON2ID"):
        make_hash(scheme, Secret(b"x"))


@pytest.mark.hazard("T24")
@pytest.mark.parametrize(
    ("scheme", "octets"),
    [("BLF-CRYPT", b"x" * 73), ("BLF-CRYPT", b"a\0b"), ("SHA512-CRYPT", b"a\0b"), ("SHA256-CRYPT", b"a\0b")],
)
def test_a_scheme_that_would_cut_a_password_is_not_used(scheme: str, octets: bytes) -> None:
    with pytest.raises(UnfitPassword):
        make_hash(scheme, Secret(octets))


@pytest.mark.parametrize("length", [72, 73, 255])
def test_argon2_keeps_every_octet(length: int) -> None:
    stored = make_hash("ARGON2ID", Secret(b"x" * length))
    assert holds(stored, Secret(b"x" * length)) is True
    assert holds(stored, Secret(b"x" * (length - 1))) is False


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        ("{PLAIN}open", True),
        ("{plain}open", True),
        ("{CLEARTEXT}shut", False),
        ("{MD5-CRYPT}$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", False),
        ("{PBKDF2}$1$X$5000$c2FsdA", None),
        ("{SCRAM-SHA-256}4096,x,y,z", None),
        ("{CRYPT}$y$j9T$x$y", None),
        ("{SHA512-CRYPT}rubbish", None),
        ("$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", False),
        ("open", None),
        ("", None),
        ("{}", None),
    ],
)
def test_a_stored_hash_is_known_by_its_prefix_and_never_guessed(stored: str, answer: bool | None) -> None:
    assert holds(stored, Secret(b"open")) is answer


@pytest.mark.parametrize("scheme", ["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT"])
def test_a_body_without_prefix_is_read_as_crypt(scheme: str) -> None:
    stored = make_hash(scheme, Secret(b"open"))
    assert holds(stored.partition("}")[2], Secret(b"open")) is True
    assert holds("{CRYPT}" + stored.partition("}")[2], Secret(b"open")) is True


@pytest.mark.peer("dovecot")
def test_dovecot_reads_what_we_make_and_we_read_what_dovecot_makes(start_peer: Callable[..., Any]) -> None:
    dovecot = start_peer("dovecot", users={"u@a.test": "x"})
    for scheme in MADE:
        ours = make_hash(scheme, Secret("密码 1".encode()))
        assert b"verified" in dovecot.doveadm("pw", "-t", ours, "-p", "密码 1")
        with pytest.raises(subprocess.CalledProcessError):
            dovecot.doveadm("pw", "-t", ours, "-p", "密码 2")
        made = dovecot.doveadm("pw", "-s", scheme, "-p", "密码 1").decode().strip()
        assert holds(made, Secret("密码 1".encode())) is True
