from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.login.denial import denial_text
from mailferry.login.names import RefusedAtTheDoor, safe_name, typed_credentials


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (b"u1@old.test", b"pw"),
        (b"DOMAIN\\user", b" leading and trailing "),
        ("用户@公司.test".encode(), "密码".encode("gb18030")),
        (b"a b@old.test", b"\xff\xfe\t\x1b\x7f"),
        (b"u" * 320, b"p" * 255),
    ],
)
def test_names_are_decoded_and_passwords_stay_octets(name: bytes, password: bytes) -> None:
    credentials = typed_credentials(name, password)
    assert (credentials.authcid, credentials.password.reveal(), credentials.authzid) == (
        name.decode(),
        password,
        "",
    )
    assert typed_credentials(name, password, name).authzid == ""


@pytest.mark.hazard("T20")
@pytest.mark.parametrize("name", [b"victim*admin", b"victim%admin", b"*", b"a\0b", b"v\0*m"])
def test_separators_of_master_users_are_refused(name: bytes) -> None:
    with pytest.raises(RefusedAtTheDoor):
        typed_credentials(name, b"pw")


@pytest.mark.hazard("T20")
@pytest.mark.parametrize("authzid", [b"v", b"U1@old.test", b"u1@old.test "])
def test_acting_as_another_user_is_refused(authzid: bytes) -> None:
    with pytest.raises(RefusedAtTheDoor):
        typed_credentials(b"u1@old.test", b"pw", authzid)


@pytest.mark.hazard("T18")
@pytest.mark.parametrize(
    ("name", "password"),
    [
        (b"", b"pw"),
        (b"u", b""),
        (b"u", b"p" * 256),
        (b"u" * 321, b"pw"),
        (b"u\r\nDELE 1", b"pw"),
        (b"u\t", b"pw"),
        (b"u\x7f", b"pw"),
        ("u\x85".encode(), b"pw"),
        ("u\u2028".encode(), b"pw"),
        (b"\xff\xfe", b"pw"),
        ("\u7528\u6237".encode("gb18030"), b"pw"),
        (b"u", b"p\r\nX"),
        (b"u", b"p\n"),
        (b"u", b"p\0"),
    ],
)
def test_what_could_end_a_line_or_a_field_is_refused(name: bytes, password: bytes) -> None:
    with pytest.raises(RefusedAtTheDoor) as refused:
        typed_credentials(name, password)
    assert "DELE" not in str(refused.value)


@given(st.text(max_size=600))
def test_a_denial_is_one_short_line_of_whole_characters(sentence: str) -> None:
    octets = denial_text(sentence)
    assert len(octets) <= 450
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in octets.decode())


def test_of_ascii_exactly_the_control_characters_are_unsafe() -> None:
    unsafe = {chr(code) for code in range(128) if not safe_name(chr(code))}
    assert unsafe == {chr(code) for code in (*range(32), 127)}
    assert not safe_name("")
