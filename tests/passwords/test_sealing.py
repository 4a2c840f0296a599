"""A sealed password opens for its account, purpose, domain and window, and for nobody else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.access import Secret
from mailferry.passwords.sealing import KeyDestroyed, KeyRing, Purpose, SealBroken, purpose_of
from mailferry.passwords.service_key import ServiceKey
from tests.kit.canary import canary, search, search_files

PASSWORD = Secret(b"\xff\x00 old pass")


def seal(keyring: KeyRing, password: Secret = PASSWORD) -> bytes:
    return keyring.seal("a.test", 1, 7, Purpose.PUSH, password)


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("length", [1, 62, 63, 64, 255])
def test_any_octets_come_back(keyring: KeyRing, purpose: Purpose, length: int) -> None:
    password = Secret(bytes(range(1, length + 1)))
    sealed = keyring.seal("a.test", 1, 7, purpose, password)
    assert purpose_of(sealed) is purpose
    assert keyring.unseal("a.test", 1, 7, purpose, sealed) == password


@pytest.mark.parametrize("octets", [b"", b"x" * 256])
def test_what_is_no_password_is_not_sealed(keyring: KeyRing, octets: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        seal(keyring, Secret(octets))


@pytest.mark.hazard("T32")
def test_it_opens_for_its_own_account_window_and_purpose_only(keyring: KeyRing) -> None:
    sealed = seal(keyring)
    seal_elsewhere = keyring.seal("b.test", 1, 7, Purpose.PUSH, PASSWORD)
    assert keyring.seal("a.test", 2, 7, Purpose.PUSH, PASSWORD)
    for domain, window, account in [("a.test", 1, 8), ("b.test", 1, 7), ("a.test", 2, 7)]:
        with pytest.raises(SealBroken):
            keyring.unseal(domain, window, account, Purpose.PUSH, sealed)
    with pytest.raises(SealBroken):
        keyring.unseal("a.test", 1, 7, Purpose.COPY, sealed)
    marked = sealed[:1] + b"C" + sealed[2:]
    with pytest.raises(SealBroken):
        keyring.unseal("a.test", 1, 7, Purpose.COPY, marked)
    assert seal_elsewhere != sealed


@pytest.mark.hazard("T32")
def test_no_octet_can_be_changed(keyring: KeyRing) -> None:
    sealed = seal(keyring)
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SealBroken):
            keyring.unseal("a.test", 1, 7, Purpose.PUSH, altered)


@given(st.binary(max_size=400))
def test_octets_that_were_never_sealed_do_not_open(octets: bytes) -> None:
    try:
        purpose_of(octets)
    except SealBroken:
        return
    assert octets[0] == 1


def test_the_same_password_is_sealed_differently_each_time_and_its_length_is_hidden(keyring: KeyRing) -> None:
    assert seal(keyring) != seal(keyring)
    assert len(seal(keyring, Secret(b"x"))) == len(seal(keyring, Secret(b"x" * 63)))


@pytest.mark.hazard("T32")
def test_destroying_the_key_ends_what_it_sealed_for_ever(keyring: KeyRing, tmp_path: Path) -> None:
    sealed = seal(keyring)
    keyring.destroy("a.test", 1)
    keyring.destroy("a.test", 1)
    with pytest.raises(KeyDestroyed):
        keyring.unseal("a.test", 1, 7, Purpose.PUSH, sealed)
    with pytest.raises(KeyDestroyed):
        seal(keyring)
    assert not list((tmp_path / "keys").glob("*.key"))
    assert keyring.seal("a.test", 2, 7, Purpose.PUSH, PASSWORD)


@pytest.mark.hazard("T32")
def test_a_key_whose_destruction_broke_off_opens_nothing(keyring: KeyRing, tmp_path: Path) -> None:
    sealed = seal(keyring)
    (file,) = (tmp_path / "keys").glob("*.key")
    file.with_suffix(".destroyed").touch()  # all that a process killed at that moment has done
    with pytest.raises(KeyDestroyed):
        keyring.unseal("a.test", 1, 7, Purpose.PUSH, sealed)
    with pytest.raises(KeyDestroyed):
        seal(keyring)


@pytest.mark.hazard("T32")
def test_without_the_service_key_the_files_open_nothing(keyring: KeyRing, tmp_path: Path) -> None:
    sealed = seal(keyring)
    other = KeyRing(tmp_path / "keys", ServiceKey(Secret(b"another service key of 32 octets")))
    with pytest.raises(SealBroken, match="service key"):
        other.unseal("a.test", 1, 7, Purpose.PUSH, sealed)


def test_a_lost_key_file_is_told_apart_from_a_broken_one(keyring: KeyRing, tmp_path: Path) -> None:
    sealed = seal(keyring)
    (file,) = (tmp_path / "keys").glob("*.key")
    file.write_bytes(b"rubbish")
    with pytest.raises(SealBroken, match="is it a key file"):
        keyring.unseal("a.test", 1, 7, Purpose.PUSH, sealed)
    file.unlink()
    with pytest.raises(KeyDestroyed):
        keyring.unseal("a.test", 1, 7, Purpose.PUSH, sealed)


def test_key_files_are_for_their_owner_alone(keyring: KeyRing, tmp_path: Path) -> None:
    seal(keyring)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.hazard("T28")
@pytest.mark.parametrize(
    "domain", ["../../x", "a/b", "a\x00b", "公司.cn", "x" * 300, ".", "..", "a..b", "-a"]
)
def test_no_domain_name_leaves_the_folder(tmp_path: Path, keyring: KeyRing, domain: str) -> None:
    sealed = keyring.seal(domain, 1, 7, Purpose.COPY, PASSWORD)
    assert keyring.unseal(domain, 1, 7, Purpose.COPY, sealed) == PASSWORD
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
    (file,) = (tmp_path / "keys").iterdir()
    assert file.name.isascii()
    assert file.is_file()


@pytest.mark.hazard("T31")
def test_a_sealed_password_shows_nowhere(tmp_path: Path, keyring: KeyRing) -> None:
    word = canary()
    sealed = seal(keyring, Secret(word.encode()))
    with pytest.raises(SealBroken) as caught:
        keyring.unseal("a.test", 1, 8, Purpose.PUSH, sealed)
    assert not list(search(sealed + repr((keyring, caught.value)).encode(), [word, word.split()[1]]))
    assert not search_files(tmp_path, [word, word.split()[1]])
