"""What browsers post: octets as typed, and limits."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import Request

from mailferry.web.faults import BadRequest
from mailferry.web.forms import FORM_OCTETS, UPLOAD_OCTETS, Form, read_form, read_upload

URLENCODED = "application/x-www-form-urlencoded"


def request(body: bytes, content_type: str = URLENCODED, piece: int = 1000) -> Request:
    pieces = [body[start : start + piece] for start in range(0, len(body), piece)] or [b""]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def form(body: bytes, **more: object) -> Form:
    return asyncio.run(read_form(request(body, **more)))


def test_a_password_arrives_as_the_octets_that_were_typed() -> None:
    secret = form(b"name=a&password=%20p%2B%26%3D%C3%A9%FF+%0D").secret("password")
    assert secret is not None
    assert secret.reveal() == b" p+&=\xc3\xa9\xff \r"


@pytest.mark.parametrize("octets", [0, 256, 4000])
def test_no_password_and_one_that_cannot_be_are_none(octets: int) -> None:
    assert form(b"password=" + b"x" * octets).secret("password") is None


def test_text_is_utf_8_without_blanks_around() -> None:
    assert form("name=+李+".encode()).text("name") == "李"
    assert form(b"").text("name") == ""
    with pytest.raises(BadRequest):
        form(b"name=%ff").text("name")
    with pytest.raises(BadRequest):
        form(b"name=" + b"x" * 1001).text("name")


@pytest.mark.parametrize("text", [b"", b"-1", b"1.5", b"%D9%A1", b"x", b"9" * 30])
def test_a_number_is_digits(text: bytes) -> None:
    with pytest.raises(BadRequest):
        form(b"days=" + text).number("days")


@pytest.mark.hazard("T40")
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"a=" + b"x" * FORM_OCTETS, URLENCODED, 413),
        (b"&".join([b"a=1"] * 40), URLENCODED, 400),
        (b"{}", "application/json", 400),
        (b"a=1", "text/plain", 400),
        (b"a=1", "multipart/form-data; boundary=x", 400),
    ],
)
def test_what_is_no_small_form_is_refused(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        form(body, content_type=content_type)
    assert refused.value.status == status


def upload(octets: bytes, *, head: bytes = b'name="file"; filename="a.csv"') -> bytes:
    return (
        b'--b\r\ncontent-disposition: form-data; name="check_only"\r\n\r\n1\r\n'
        b"--b\r\ncontent-disposition: form-data; " + head + b"\r\n\r\n" + octets + b"\r\n--b--\r\n"
    )  # fmt: skip


MULTIPART = "multipart/form-data; boundary=b"


def test_an_upload_is_read_whole_and_stays_off_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def rolled(*_: object) -> None:
        raise AssertionError("a list of passwords on the disk")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", rolled)
    octets = bytes(range(256)) * 12_000  # 3 MB, over the size at which the parser would use a file
    found = asyncio.run(read_upload(request(upload(octets), MULTIPART, piece=65536)))
    assert found.octets == octets
    assert found.fields == {"check_only": "1"}
    assert "octets" in repr(found)


@pytest.mark.hazard("T40")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (upload(b"x")[:-20], MULTIPART),
        (upload(b"x", head=b'name="file"'), MULTIPART),
        (upload(b"x", head=b'filename="a"'), MULTIPART),
        (b"nonsense", MULTIPART),
        (upload(b"x"), "multipart/form-data"),
        (upload(b"x"), URLENCODED),
    ],
)
def test_a_broken_upload_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(BadRequest):
        asyncio.run(read_upload(request(body, content_type)))


@pytest.mark.hazard("T40")
def test_an_upload_that_never_ends_is_refused() -> None:
    sent = 0

    async def receive() -> dict[str, object]:
        nonlocal sent
        sent += 2**20
        body = upload(b"")[:-9] if sent == 2**20 else b"x" * 2**20
        return {"type": "http.request", "body": body, "more_body": True}

    headers = [(b"content-type", MULTIPART.encode())]
    endless = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(BadRequest) as refused:
        asyncio.run(read_upload(endless))
    assert refused.value.status == 413
    assert sent <= UPLOAD_OCTETS + 3 * 2**20
