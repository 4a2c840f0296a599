from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.plan.account_csv import neutral_cell, read_account_csv, write_account_csv

ENGLISH = "target,source,password\r\na@x.test,,\r\nb@x.test,old-b@y.test,pw 1\r\n"
CHINESE = "待搬家帐号密码,搬家帐号,待搬家帐号\r\n密码,a@x.test,\r\n,b@x.test,老@y.test\r\n"


def rows(text: str, encoding: str = "utf-8", mark: bytes = b"") -> list[tuple[int, str, str, bytes | None]]:
    made = read_account_csv(mark + text.encode(encoding))
    assert made.faults == ()
    return [
        (r.line, r.target, r.source, None if r.password is None else r.password.reveal()) for r in made.rows
    ]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("gb18030", b""),
    ],
)
def test_files_of_all_spreadsheet_programs_are_read(encoding: str, mark: bytes) -> None:
    assert rows(ENGLISH, encoding, mark) == [
        (2, "a@x.test", "a@x.test", None),
        (3, "b@x.test", "old-b@y.test", b"pw 1"),
    ]
    assert rows(CHINESE, encoding, mark) == [
        (2, "a@x.test", "a@x.test", "密码".encode()),
        (3, "b@x.test", "老@y.test", None),
    ]


def test_tabs_semicolons_quotes_blank_lines_and_lines_in_cells() -> None:
    assert rows("target\tpassword\na@x.test\t1,2;3\n", "utf-16-le", codecs.BOM_UTF16_LE)[0][3] == b"1,2;3"
    assert rows("target;password\na@x.test;x,y\n")[0][3] == b"x,y"
    quoted = '\n"target","password"\n\n"a@x.test","say ""hi"", = you"\n,,\n"b@x.test",""\n'
    assert rows(quoted) == [
        (4, "a@x.test", "a@x.test", b'say "hi", = you'),
        (6, "b@x.test", "b@x.test", None),
    ]


def test_passwords_keep_their_blanks_and_names_lose_theirs() -> None:
    assert rows("target,password\n  A@X.test , pw \n") == [(2, "a@x.test", "a@x.test", b" pw ")]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["line 1: the file is empty"]),
        ("name,mail\n", ["line 1, column name: unknown", "line 1, column mail: unknown", "line 1, column target"]),
        ("target,target\na@x.test,b@x.test\n", ["line 1, column target: this column stands there twice"]),
        ("target\n", ["line 1: there is no account"]),
        ("target\na@x.test\nnobody\n\na@x.test\n", ["line 3, column target", "line 5, column target: a@x.test stands in line 2"]),
        ("target,password\na@x.test," + "x" * 256, ["line 2, column password: longer than 255"]),
        ('target,password\na@x.test,"two\nlines"\nb*c@x.test,\n', ["line 2, column password: holds a line", "line 4, column target"]),
        ('target\n"a@x.test\n', ["line 2: the quotes do not match up"]),
        ("target\na@x.test,left over\n", ["line 2: there are more cells"]),
        ("target,source\na@x.test,a\x07b\n", ["line 2, column source: holds a control"]),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_line_and_nothing_is_half_done(text: str, faults: list[str]) -> None:
    made = read_account_csv(text.encode())
    told = [str(fault) for fault in made.faults]
    assert len(told) == len(faults), told
    assert all(mine.startswith(wanted) for mine, wanted in zip(told, faults, strict=True)), told


def test_secrets_never_show_in_faults() -> None:
    made = read_account_csv(b"target,password\nnobody,topsecret\na@x.test,top\tsecret\n")
    assert "secret" not in repr(made)


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-x", "@SUM", "\tx", " =x", "＝x", "'=x", "'"])
def test_cells_that_look_like_formulas_are_neutralised(cell: str) -> None:
    assert neutral_cell(cell) == "'" + cell
    written = write_account_csv(["target"], [[cell]])
    assert written.startswith(codecs.BOM_UTF8)
    assert b"'" in written


def test_what_is_exported_can_be_imported() -> None:
    written = write_account_csv(["搬家帐号", "待搬家帐号"], [["a@x.test", "=odd\\user"], ["b@x.test", ""]])
    made = read_account_csv(written)
    assert [(r.target, r.source) for r in made.rows] == [("a@x.test", "=odd\\user"), ("b@x.test", "b@x.test")]


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    made = read_account_csv(data)
    assert made.faults or made.rows
    made = read_account_csv(b"target,source,password\n" + data)
    assert made.faults or made.rows


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_no_exported_cell_starts_a_formula(cells: list[str]) -> None:
    for cell in cells:
        assert not neutral_cell(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
