"""Lists of accounts as spreadsheet programs write and read them (contract, section 2).

Columns `target` (搬家帐号), `source` (待搬家帐号, empty = same) and `password` (待搬家帐号密码, empty = wait
for the login), by header name in any order. Nothing of a file is half done: it has faults, each with
its line, or it is whole. On the way out, cells that a spreadsheet would run as a formula are neutralised.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from mailferry.model.access import MAX_PASSWORD_OCTETS, Secret
from mailferry.plan.addresses import BadAddress, canonical_address

_HEADER_NAMES = {
    "target": "target",
    "搬家帐号": "target",
    "搬家账号": "target",
    "source": "source",
    "待搬家帐号": "source",
    "待搬家账号": "source",
    "password": "password",
    "待搬家帐号密码": "password",
    "待搬家账号密码": "password",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account of a file: `target` in its canonical spelling, `source` the same when its cell was empty."""

    line: int
    target: str
    source: str
    password: Secret | None


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong in which line (the file's first line is 1)."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class AccountFile:
    """What a file holds; its rows may be used only when `faults` is empty."""

    rows: tuple[AccountRow, ...]
    faults: tuple[RowFault, ...]
    encoding: str


def read_account_csv(data: bytes) -> AccountFile:
    """Read a file as Excel, WPS, LibreOffice or a script wrote it; never raises."""
    text, encoding = _decode(data)
    numbered: list[tuple[int, list[str]]] = []
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    begin = 1
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                numbered.append((begin, cells))
            begin = lines.line_num + 1
    except csv.Error as error:
        fault = RowFault(begin, "", f"the quotes do not match up ({error})")
        return AccountFile((), (fault,), encoding)
    if not numbered:
        return AccountFile((), (RowFault(1, "", "the file is empty"),), encoding)
    header_line, header = numbered[0]
    columns, faults = _columns(header, header_line)
    if faults:
        return AccountFile((), tuple(faults), encoding)
    rows: list[AccountRow] = []
    seen: dict[str, int] = {}
    for line, cells in numbered[1:]:
        row, wrong = _row(line, cells, columns)
        if row is not None and (first := seen.setdefault(row.target, line)) != line:
            wrong = [RowFault(line, "target", f"{row.target} stands in line {first} already")]
        faults.extend(wrong)
        if row is not None and not wrong:
            rows.append(row)
    if not rows and not faults:
        faults.append(RowFault(header_line, "", "there is no account below the header"))
    return AccountFile(tuple(rows), tuple(faults), encoding)


def write_account_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a file that spreadsheet programs open as text: UTF-8 with a mark, CRLF, no formulas."""
    return b"".join(csv_lines(header, rows))


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """Yield such a file in pieces, so that a long one is never held whole."""
    yield codecs.BOM_UTF8
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for row in chain((header,), rows):
        writer.writerow([neutral_cell(cell) for cell in row])
        yield out.getvalue().encode("utf-8", "backslashreplace")
        out.seek(0)
        out.truncate()


def neutral_cell(cell: str) -> str:
    """Return `cell` so that no spreadsheet program runs it: a leading `'` where it looks like a formula."""
    return f"'{cell}" if cell.lstrip(" '").startswith(_FORMULA_STARTS) or cell.startswith("'") else cell


def _plain_cell(cell: str) -> str:
    """Undo `neutral_cell` on a name."""
    return cell.removeprefix("'")


def _decode(data: bytes) -> tuple[str, str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "utf-16"
    if data.startswith(codecs.BOM_UTF8):
        return data.decode("utf-8-sig", "replace"), "utf-8"
    if b"\x00" in data[:200]:
        # UTF-16 without a mark: an English header shows on which side the zeros stand
        encoding = "utf-16-le" if data[1:2] == b"\x00" else "utf-16-be"
        return data.decode(encoding, "replace"), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace"), "gb18030"


def _delimiter(text: str) -> str:
    """Return the separator of the first line that holds one (Excel writes `;` or tabs in places)."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=lambda candidate: (first.count(candidate), candidate == ","))


def _columns(header: list[str], line: int) -> tuple[dict[str, int], list[RowFault]]:
    columns: dict[str, int] = {}
    faults: list[RowFault] = []
    for index, cell in enumerate(header):
        shown = cell.strip()
        if not shown:
            continue
        name = _HEADER_NAMES.get(_plain_cell(shown).casefold())
        if name is None:
            faults.append(RowFault(line, shown[:40], "unknown column; known are target, source and password"))
        elif name in columns:
            faults.append(RowFault(line, shown, "this column stands there twice"))
        else:
            columns[name] = index
    if "target" not in columns:
        faults.append(RowFault(line, "target", "the first line must name a column target (搬家帐号)"))
    return columns, faults


def _row(line: int, cells: list[str], columns: dict[str, int]) -> tuple[AccountRow | None, list[RowFault]]:
    def cell(name: str) -> str:
        index = columns.get(name)
        return cells[index] if index is not None and index < len(cells) else ""

    wrong: list[RowFault] = []
    target = _plain_cell(cell("target").strip())
    source = _plain_cell(cell("source").strip())
    try:
        address = canonical_address(target)
    except BadAddress as error:
        address = ""
        wrong.append(RowFault(line, "target", _name_fault(target) or str(error)))
    if source and (fault := _name_fault(source)) is not None:
        wrong.append(RowFault(line, "source", fault))
    spare = [value for index, value in enumerate(cells) if index not in columns.values() and value.strip()]
    if spare and len(cells) > max(columns.values()) + 1:
        wrong.append(RowFault(line, "", "there are more cells than the header has columns"))
    secret: Secret | None = None
    if octets := cell("password").encode("utf-8", "surrogatepass"):
        if len(octets) > MAX_PASSWORD_OCTETS:
            wrong.append(RowFault(line, "password", f"longer than {MAX_PASSWORD_OCTETS} octets"))
        elif any(octet < 0x20 or octet == 0x7F for octet in octets):
            wrong.append(RowFault(line, "password", "holds a line break, tab or other control character"))
        else:
            secret = Secret(octets)
    if wrong:
        return None, wrong
    return AccountRow(line, address, source or address, secret), []


def _name_fault(name: str) -> str | None:
    """Return what is wrong with a login name of the source, which may be no mail address."""
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        return "holds a control character"
    if "�" in name:
        return "cannot be read; save the file as UTF-8"
    if len(name.encode()) > 320:
        return "longer than 320 octets"
    return None
