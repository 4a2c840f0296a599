"""`account import` and `account export`: spreadsheets in, spreadsheets out, nothing half done."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from mailferry.model.account import Phase
from tests.cli.place import Place, address

ROWS = "target,source,password\nn1@old.test,,one\nN2@OLD.test,old2@old.test,\n,,\nswitched@old.test,,three\n"


def addresses(place: Place) -> set[str]:
    return {one["address"] for one in place.well("account", "list", "--json").json}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_rows_are_taken_in_as_spreadsheets_write_them(filled: Place, encoding: str) -> None:
    file = filled.folder / "accounts.csv"
    text = ROWS.replace("target", "搬家帐号").replace("source", "待搬家帐号")
    file.write_bytes(text.encode(encoding))
    dry = filled.well("account", "import", file, "--dry-run")
    assert dry.out.splitlines()[0] == "rows: 3; accounts that would be added: 2; passwords: 1"
    assert "n1@old.test" not in addresses(filled)
    told = filled.well("account", "import", file).out.splitlines()
    assert told[0] == "rows: 3; accounts added: 2; passwords: 1"
    assert f"  {address(Phase.SWITCHED)} has started its move and is left as it is" in told
    assert {"n1@old.test", "n2@old.test"} <= addresses(filled)
    shown = filled.well("account", "show", "n2@old.test", "--json").json
    assert shown["source_login"] == "old2@old.test"
    again = filled.well("account", "import", file, "--json").json
    assert (again["rows"], again["added"], again["passwords"], again["faults"]) == (3, 0, 1, [])


def test_one_wrong_row_and_nothing_is_taken_in(filled: Place) -> None:
    file = filled.folder / "accounts.csv"
    file.write_text("target,password\ngood@old.test,x\nx@nix.test,\nno address,\ngood@old.test,y\n")
    before = addresses(filled)
    said = filled.run("account", "import", file)
    assert said.status == 1
    assert [line.split(": ")[0] for line in said.err.splitlines()[:-1]] == [
        f"{file}, line {number}" for number in (3, 4, 5)
    ]
    assert said.err.splitlines()[-1] == "mailferry: wrong rows: 3; nothing was taken in"
    assert addresses(filled) == before
    told = filled.run("account", "import", file, "--json")
    assert told.status == 1
    assert [fault["line"] for fault in told.json["faults"]] == [3, 4, 5]


def test_standard_input_is_a_file_as_well(filled: Place) -> None:
    filled.well("account", "import", "-", stdin="target\nstdin@old.test\n")
    assert "stdin@old.test" in addresses(filled)
    said = filled.run("account", "import", "-")
    assert said.status == 1
    assert said.err.startswith("standard input, line 1: the file is empty")


@pytest.mark.parametrize(
    "octets", [b"\0" * 100, b"\xff\xfe\xff", b"a;b\n1;2\n", b"target\n" + b"x" * 200_000]
)
def test_what_is_no_list_of_accounts_is_refused_in_a_few_lines(filled: Place, octets: bytes) -> None:
    file = filled.folder / "rubbish.csv"
    file.write_bytes(octets)
    said = filled.run("account", "import", file)
    assert said.status == 1, str(said)
    assert "Traceback" not in said.err
    assert len(said.err) < 2000


def test_a_file_that_cannot_be_read_is_wrong_use(filled: Place) -> None:
    assert "No such file" in filled.fails("account", "import", filled.folder / "nix.csv", status=2)
    assert "Is a directory" in filled.fails("account", "import", filled.folder, status=2)


@pytest.mark.hazard("T27")
def test_an_export_opens_in_a_spreadsheet_and_overwrites_nothing(filled: Place) -> None:
    file = filled.folder / "out.csv"
    filled.well("account", "import", "-", stdin='target\n"=cmd()@old.test"\n')
    filled.well("account", "export", file)
    assert f"{file} exists already" == filled.fails("account", "export", file)
    whole = read(file)
    assert {row["target"] for row in whole} >= {address(phase) for phase in Phase}
    assert not any(cell.startswith("=") for row in whole for cell in row.values())
    out = filled.well("account", "export", "-", "--domain", "old.test").out
    assert len(list(csv.reader(io.StringIO(out)))) == len(whole) + 1
    assert "there is no domain nix.test" in filled.fails("account", "export", "-", "--domain", "nix.test")
    assert "No such file" in filled.fails("account", "export", filled.folder / "no" / "where.csv")


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))


def test_a_file_that_cannot_be_made_is_named_as_it_was_asked_for(filled: Place) -> None:
    file = filled.folder / "none" / "accounts.csv"
    assert filled.fails("account", "export", file) == f"{file}: No such file or directory"


def test_a_store_without_accounts_is_exported_as_its_heads(empty: Place) -> None:
    assert empty.well("account", "export", "-").out.lstrip("\ufeff").startswith("target,domain,state,phase")
