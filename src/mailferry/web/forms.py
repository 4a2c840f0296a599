"""What browsers post: small forms as octets (a password is octets), and one file held in memory.

Uploads never touch the disk: a list of accounts may hold passwords.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mailferry.model.access import MAX_PASSWORD_OCTETS, Secret
from mailferry.web.faults import BadRequest

FORM_OCTETS = 16 * 1024
UPLOAD_OCTETS = 32 * 1024 * 1024
_MULTIPART_HEADS = 64 * 1024
_MOST_FIELDS = 32


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a posted form; of a name that comes twice the last counts."""

    fields: dict[str, bytes]

    def text(self, name: str, *, longest: int = 1000) -> str:
        """Return a field as text of one line, empty when it is missing; raises BadRequest."""
        octets = self.fields.get(name, b"")
        if len(octets) > longest:
            raise BadRequest(f"{name} is too long")
        try:
            text = octets.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise BadRequest(f"{name} is not UTF-8") from None
        return _without_control(name, text)

    def secret(self, name: str) -> Secret | None:
        """Return a password's octets just as typed; None when it is empty or no password can be so long."""
        octets = self.fields.get(name, b"")
        return Secret(octets) if 1 <= len(octets) <= MAX_PASSWORD_OCTETS else None

    def number(self, name: str) -> int:
        """Return a field as a whole number; raises BadRequest."""
        text = self.text(name, longest=20)
        if not text.isascii() or not text.isdigit():
            raise BadRequest(f"{name} is not a number")
        return int(text)

    def ticked(self, name: str) -> bool:
        """Whether a check box was ticked."""
        return bool(self.fields.get(name))


async def read_form(request: Request) -> Form:
    """Return the posted form; raises BadRequest for what is none or too long."""
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise BadRequest("a form is expected")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_OCTETS:
            raise BadRequest("the form is too long", status=413)
    pairs = bytes(body).split(b"&")
    if len(pairs) > _MOST_FIELDS:
        raise BadRequest("the form has too many fields")
    fields: dict[str, bytes] = {}
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        fields[_unquoted(name).decode("utf-8", "replace")] = _unquoted(value)
    return Form(fields)


def asked(request: Request, name: str, *, longest: int = 1000) -> str:
    """Return what the address of a page asks for under `name`, empty for nothing; raises BadRequest."""
    text = request.query_params.get(name, "")
    if len(text) > longest:
        raise BadRequest(f"{name} is too long")
    return _without_control(name, text)


def _without_control(name: str, text: str) -> str:
    """Return `text`; NUL and its like are no part of any name (PostgreSQL would not even store them)."""
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise BadRequest(f"{name} holds a control character")
    return text


PostedForm = Annotated[Form, Depends(read_form)]
"""For handlers: the form that was posted."""


def _unquoted(octets: bytes) -> bytes:
    return unquote_to_bytes(octets.replace(b"+", b" "))


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file and the fields beside it; the octets may hold passwords."""

    octets: bytes
    fields: dict[str, str]

    def __repr__(self) -> str:
        return f"Upload({len(self.octets)} octets)"


class _InMemory(MultiPartParser):
    """Keeps the file in memory whatever its size, which the reader of the stream bounds."""

    spool_max_size = UPLOAD_OCTETS + _MULTIPART_HEADS


async def read_upload(request: Request) -> Upload:
    """Return the file in the field `file`; raises BadRequest for none or one that is too long."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest("a file is expected")

    received = 0

    async def bounded() -> AsyncGenerator[bytes, None]:
        nonlocal received
        async for chunk in request.stream():
            received += len(chunk)
            if received > UPLOAD_OCTETS + _MULTIPART_HEADS:
                raise BadRequest(f"the file is over {UPLOAD_OCTETS // 2**20} MiB; split it", status=413)
            yield chunk

    try:
        form = await _InMemory(request.headers, bounded(), max_files=1, max_fields=_MOST_FIELDS).parse()
    except MultiPartException:
        raise BadRequest("the upload broke off or is no form") from None
    found = form.get("file")
    if not isinstance(found, UploadFile):
        raise BadRequest("choose a file first")
    octets = await found.read()
    await form.close()
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    return Upload(octets, fields)
