"""The MIME shape of a message as FETCH shows it: headers, parts, ENVELOPE, BODYSTRUCTURE (RFC 3501, 7.4.2).

Minimal on purpose, but exact to the octet: every part is a slice of the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import getaddresses

from mailferry.lab.imap_reader import quoted

_PARAMETER = re.compile(rb';\s*([\w.*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]+)')
_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME part."""

    header: bytes
    body: bytes
    maintype: bytes
    subtype: bytes
    parameters: tuple[tuple[bytes, bytes], ...]
    children: tuple[Part, ...]


def split_header(octets: bytes) -> tuple[bytes, bytes]:
    """Return header with its blank line, and body."""
    if octets.startswith(b"\r\n"):
        return octets[:2], octets[2:]
    end = octets.find(b"\r\n\r\n")
    return (octets, b"") if end < 0 else (octets[: end + 4], octets[end + 4 :])


def header_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return (lower-case name, whole field with its folds and line end) in order."""
    fields: list[tuple[bytes, bytes]] = []
    for line in header.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
        elif b":" in line:
            fields.append((line.split(b":", 1)[0].strip().lower(), line))
    return fields


def field_value(header: bytes, name: bytes) -> bytes | None:
    """Return the unfolded value of the first field of that name."""
    for found, whole in header_fields(header):
        if found == name:
            return b" ".join(whole.split(b":", 1)[1].split())
    return None


def parse_part(octets: bytes, depth: int = 0) -> Part:
    """Return the MIME tree of a message or part."""
    header, body = split_header(octets)
    kind = field_value(header, b"content-type") or b"text/plain; charset=us-ascii"
    main, _, sub = kind.split(b";")[0].strip().upper().partition(b"/")
    parameters = tuple((m[1].upper(), m[2].strip(b'"')) for m in _PARAMETER.finditer(kind))
    children: tuple[Part, ...] = ()
    boundary = dict(parameters).get(b"BOUNDARY")
    if main == b"MULTIPART" and boundary and depth < _MAX_DEPTH:
        children = tuple(parse_part(piece, depth + 1) for piece in _pieces(body, boundary))
    elif (main, sub) == (b"MESSAGE", b"RFC822") and depth < _MAX_DEPTH:
        children = (parse_part(body, depth + 1),)
    return Part(header, body, main or b"TEXT", sub or b"PLAIN", parameters, children)


def section(octets: bytes, asked: bytes) -> bytes | None:
    """Return what stands between the brackets of BODY[...], None when there is no such part."""
    numbers, word = _split_section(asked)
    part = parse_part(octets)
    whole = octets
    for number in numbers:
        inside = part.children[0] if part.maintype == b"MESSAGE" and part.children else part
        if inside.maintype == b"MULTIPART" and 0 < number <= len(inside.children):
            part = inside.children[number - 1]
        elif number == 1 and inside.maintype != b"MULTIPART":
            part = inside
        else:
            return None
        whole = part.body
    if not word:
        return whole
    if word == b"MIME":
        return part.header
    holder = part if not numbers else (part.children[0] if part.children else part)
    if word == b"HEADER":
        return holder.header
    if word == b"TEXT":
        return holder.body
    name, _, listed = word.partition(b" ")
    wanted = {w.strip(b'"').lower() for w in listed.strip(b"()").split()}
    keep = name == b"HEADER.FIELDS"
    chosen = [whole for found, whole in header_fields(holder.header) if (found in wanted) is keep]
    return b"".join(chosen) + b"\r\n"


def envelope(octets: bytes) -> bytes:
    """Return the ENVELOPE of a message."""
    header = split_header(octets)[0]

    def plain(name: bytes) -> bytes:
        value = field_value(header, name)
        return b"NIL" if value is None else quoted(value)

    def people(name: bytes, otherwise: bytes = b"NIL") -> bytes:
        value = field_value(header, name)
        return otherwise if not value else _addresses(value)

    sender = people(b"from")
    rows = [plain(b"date"), plain(b"subject"), sender, people(b"sender", sender), people(b"reply-to", sender)]
    rows += [people(b"to"), people(b"cc"), people(b"bcc"), plain(b"in-reply-to"), plain(b"message-id")]
    return b"(" + b" ".join(rows) + b")"


def structure(part: Part, *, extended: bool) -> bytes:
    """Return BODY or BODYSTRUCTURE of a part."""
    if part.maintype == b"MULTIPART" and part.children:
        inner = b"".join(structure(child, extended=extended) for child in part.children)
        tail = b" %s NIL NIL NIL" % _parameter_list(part) if extended else b""
        return b"(%s %s%s)" % (inner, quoted(part.subtype), tail)
    encoding = field_value(part.header, b"content-transfer-encoding") or b"7BIT"
    identity = field_value(part.header, b"content-id")
    fields = [quoted(part.maintype), quoted(part.subtype), _parameter_list(part)]
    fields += [b"NIL" if identity is None else quoted(identity), b"NIL", quoted(encoding.upper())]
    fields.append(b"%d" % len(part.body))
    if (part.maintype, part.subtype) == (b"MESSAGE", b"RFC822") and part.children:
        fields += [envelope(part.body), structure(part.children[0], extended=extended)]
    if part.maintype in {b"TEXT", b"MESSAGE"}:
        fields.append(b"%d" % part.body.count(b"\n"))
    if extended:
        fields += [b"NIL", _disposition(part), b"NIL", b"NIL"]
    return b"(" + b" ".join(fields) + b")"


def _pieces(body: bytes, boundary: bytes) -> list[bytes]:
    mark = re.compile(rb"(?:^|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r\n|$)")
    pieces: list[bytes] = []
    start = None
    at = 0
    while (found := mark.search(body, at)) is not None:
        if start is not None:
            pieces.append(body[start : found.start()])
        if found[1]:
            return pieces
        start = found.end()
        at = start - 2 if body[start - 2 : start] == b"\r\n" else start  # an empty part shares its CRLF
        if at >= len(body):
            break
    if start is not None:
        pieces.append(body[start:])
    return pieces


def _split_section(asked: bytes) -> tuple[list[int], bytes]:
    numbers = []
    rest = asked.strip()
    while match := re.match(rb"(\d+)(?:\.|$)", rest):
        numbers.append(int(match[1]))
        rest = rest[match.end() :]
    name, space, listed = rest.partition(b" ")
    return numbers, name.upper() + space + listed


def _addresses(value: bytes) -> bytes:
    rows = []
    for name, address in getaddresses([value.decode("latin-1")]):
        local, _, domain = address.encode("latin-1").partition(b"@")
        shown = quoted(name.encode("latin-1")) if name else b"NIL"
        rows.append(b"(%s NIL %s %s)" % (shown, quoted(local), quoted(domain)))
    return b"(" + b"".join(rows) + b")" if rows else b"NIL"


def _parameter_list(part: Part) -> bytes:
    if not part.parameters:
        return b"NIL"
    return b"(" + b" ".join(quoted(k) + b" " + quoted(v) for k, v in part.parameters) + b")"


def _disposition(part: Part) -> bytes:
    value = field_value(part.header, b"content-disposition")
    if value is None:
        return b"NIL"
    names = [(m[1].upper(), m[2].strip(b'"')) for m in _PARAMETER.finditer(value)]
    listed = b" ".join(quoted(k) + b" " + quoted(v) for k, v in names)
    return b"(%s %s)" % (quoted(value.split(b";")[0].strip()), b"(" + listed + b")" if names else b"NIL")
