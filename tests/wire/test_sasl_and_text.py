from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.access import Secret
from mailferry.wire import sasl
from mailferry.wire.server_text import decode_text, visible

FIELD = st.binary(min_size=1, max_size=40).filter(lambda octets: b"\0" not in octets)


@given(st.one_of(st.just(b""), FIELD), FIELD, FIELD)
def test_plain_comes_back_as_it_was_and_looks_as_the_rfc_says(
    authzid: bytes, name: bytes, password: bytes
) -> None:
    payload = sasl.encode_plain(authzid, name, Secret(password))
    assert payload == base64.b64encode(authzid + b"\0" + name + b"\0" + password)
    assert sasl.parse_plain(payload) == sasl.PlainResponse(authzid, name, Secret(password))


@pytest.mark.hazard("T13")
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"=",
        b"====",
        b"AGEAYg",  # padding missing
        b"AGEAYg==\t",
        b"AGEA Yg==",
        b"AGEAYg==AGEAYg==",
        b"AG=EAYg=",
        b"AGEAYh==",  # bits behind the last octet
        b"\xffAGEAYg==",
        b"x" * 5000,
        base64.b64encode(b"ab"),
        base64.b64encode(b"\0a"),
        base64.b64encode(b"\0a\0b\0"),
        base64.b64encode(b"\0a\0b\0c\0d"),
        base64.b64encode(b"\0\0b"),
        base64.b64encode(b"\0a\0"),
    ],
)
def test_bad_payloads_of_plain_are_refused(payload: bytes) -> None:
    with pytest.raises(sasl.BadSasl):
        sasl.parse_plain(payload)


@given(st.binary(max_size=200))
def test_any_octets_as_plain_are_parsed_or_refused(payload: bytes) -> None:
    try:
        fields = sasl.parse_plain(payload)
    except sasl.BadSasl:
        return
    assert fields.authcid
    assert fields.password


@pytest.mark.parametrize(
    "fields", [(b"a\0", b"b", b"c"), (b"", b"b\0", b"c"), (b"", b"b", b"\0"), (b"", b"", b"c")]
)
def test_nul_and_empty_fields_are_never_encoded(fields: tuple[bytes, bytes, bytes]) -> None:
    with pytest.raises(sasl.BadSasl):
        sasl.encode_plain(fields[0], fields[1], Secret(fields[2]))


def test_login_prompts_are_base64() -> None:
    assert base64.b64decode(sasl.LOGIN_USER_PROMPT) == b"Username:"
    assert base64.b64decode(sasl.LOGIN_PASSWORD_PROMPT) == b"Password:"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"plain", "plain"),
        ("登录".encode(), "登录"),
        ("登录太频繁".encode("gb18030"), "登录太频繁"),
        (b"caf\xe9", "caf\xe9"),
        (b"\xff\xff", "\xff\xff"),
    ],
)
def test_server_text_is_decoded_by_trial(octets: bytes, text: str) -> None:
    assert decode_text(octets) == text


@pytest.mark.hazard("T27")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b~", "a b~"),
        ("登录", "登录"),
        ("a\r\nINFO login ok", "a\\r\\nINFO login ok"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028x", "\\u2028x"),
        ("\0", "\\x00"),
    ],
)
def test_shown_text_is_one_line_without_hidden_characters(text: str, shown: str) -> None:
    assert visible(text) == shown
