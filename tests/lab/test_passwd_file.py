from __future__ import annotations

from pathlib import Path

import pytest
from passlib.hash import argon2, bcrypt, ldap_salted_sha512, sha512_crypt

from mailferry.lab.passwd_file import stored_hash, verify, write_hash
from mailferry.lab.premises import LabAccount
from tests.lab.rehearsal import USER, blocking, hosted, imap

PASSWORD = "päss 密码".encode()


@pytest.mark.parametrize(
    "stored",
    [
        "{PLAIN}" + PASSWORD.decode(),
        "{ARGON2ID}" + argon2.using(time_cost=1, memory_cost=64).hash(PASSWORD),
        "{BLF-CRYPT}" + bcrypt.using(rounds=4).hash(PASSWORD),
        "{SHA512-CRYPT}" + sha512_crypt.using(rounds=1000).hash(PASSWORD),
        ldap_salted_sha512.hash(PASSWORD),
    ],
    ids=["PLAIN", "ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SSHA512"],
)
def test_a_password_fits_its_hash_and_no_other_does(stored: str) -> None:
    assert verify(stored, PASSWORD)
    assert not verify(stored, PASSWORD + b"x")


@pytest.mark.parametrize("stored", ["", "secret", "{UNHEARD}secret", "{PBKDF2}$1$x$y"])
def test_what_the_lab_cannot_read_fits_nothing(stored: str) -> None:
    assert not verify(stored, b"secret")


def test_a_line_is_looked_up_in_any_case_and_an_empty_field_is_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "users"
    assert stored_hash(path, "a@x") is None
    path.write_text("A@x:{PLAIN}p:1000:1000::/home\nb@x:\n")
    assert stored_hash(path, "a@X") == "{PLAIN}p"
    assert stored_hash(path, "b@x") is None
    assert stored_hash(path, "c@x") is None


def test_writing_a_hash_keeps_the_other_fields_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_hash(path, "a@x", "{PLAIN}p")
    path.write_text("a@x:{PLAIN}p:1000:1000::/home\nb@x:{PLAIN}q\n")
    write_hash(path, "a@x", "{PLAIN}new")
    assert path.read_text() == "a@x:{PLAIN}new:1000:1000::/home\nb@x:{PLAIN}q\n"


async def test_a_host_takes_a_password_as_it_stands_in_the_file_at_this_moment(tmp_path: Path) -> None:
    path = tmp_path / "users"
    async with hosted(accounts={USER: LabAccount()}, passwd_file=path) as host:

        def enter(password: str) -> bool:
            with imap(host, login=False) as client:
                try:
                    return client.login(USER, password)[0] == "OK"
                except client.error:
                    return False

        assert not await blocking(enter, "first")
        write_hash(path, USER, "{ARGON2ID}" + argon2.using(time_cost=1, memory_cost=64).hash("first"))
        assert await blocking(enter, "first")
        write_hash(path, USER, "{PLAIN}second")
        assert await blocking(enter, "second")
        assert not await blocking(enter, "first")
