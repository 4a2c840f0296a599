"""What the caller leaves of the standard streams, and words that are no text: one line, never a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection

from mailferry.store import accounts
from mailferry.store.database import Database
from tests.cli.place import DOMAIN, Place
from tests.cli.program import Program

NO_TEXT = os.fsdecode(b"caf\xe9")


def in_shell(place: Place, words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `mailferry` as a shell does, which closes and joins streams; `$M` is the program with its configuration."""
    program = f"{sys.executable} -m mailferry --config {place.config}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", words],
        env={**os.environ, "M": program, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_closed_streams_are_nobodys(filled: Place) -> None:
    assert in_shell(filled, "$M domain list --colour <&- >&- 2>&-").returncode == 2
    said = in_shell(filled, "$M account password li@old.test <&-")
    assert (said.returncode, said.stderr) == (2, b"mailferry: a password has 1 to 255 octets\n")


def test_a_reader_that_has_seen_enough_is_no_fault(filled: Place) -> None:
    database = Database(f"sqlite:///{filled.database}")

    def more(conn: Connection) -> None:
        for number in range(300):
            accounts.ensure(conn, f"user{number}@{DOMAIN}", DOMAIN)

    database.run_now("more", more)
    database.close()
    said = in_shell(filled, "$M account list --json | true")
    assert (said.returncode, said.stderr) == (0, b"")


def test_a_terminal_without_the_characters_is_shown_their_numbers(filled: Place) -> None:
    database = Database(f"sqlite:///{filled.database}")
    database.run_now("one more", lambda conn: accounts.ensure(conn, f"李@{DOMAIN}", DOMAIN))
    database.close()
    latin = {"PYTHONIOENCODING": "latin-1"}
    assert "\\u674e@" in filled.well("account", "list", environment=latin).out
    (found,) = filled.well("account", "list", "--search", "李", "--json", environment=latin).json
    assert found["address"] == f"李@{DOMAIN}"
    assert "李@" in filled.well("account", "list", "--json").out


@pytest.mark.parametrize(
    "words",
    [
        ("domain", "show", NO_TEXT),
        ("account", "show", f"{NO_TEXT}@old.test"),
        ("account", "list", "--search", NO_TEXT),
        ("account", "list", "--domain", NO_TEXT),
        ("domain", "add", f"{NO_TEXT}.test", "--source", "imaps://old.test"),
        ("domain", "add", "x.test", "--source", f"imaps://{NO_TEXT}.test"),
        ("domain", "set", DOMAIN, "--login-form", f"{NO_TEXT}{{local}}"),
        ("admin", "remove", NO_TEXT),
        ("admin", "token", "add", NO_TEXT, "--scope", "read"),
        ("watch", "--once", "--domain", NO_TEXT),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_word_that_is_no_text_is_one_line(filled: Place, words: tuple[str, ...]) -> None:
    said = filled.run(*words)
    assert said.status in {1, 2}, str(said)
    assert said.fault


def test_a_file_may_have_any_name(filled: Place) -> None:
    file = Path(os.fsdecode(os.fsencode(filled.folder) + b"/\xe9.csv"))
    filled.well("account", "export", file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbftarget")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("domain", "list", "--colour"), "No such option: --colour; see mailferry domain list --help"),
        (("domain", "lits"), "No such command 'lits'"),
        (("domain", "show"), "Missing argument 'NAME'; see mailferry domain show --help"),
        (("account", "log", "a@old.test", "--limit", "x"), "Invalid value for '--limit'"),
        (("serve", "--role", "mail"), "Invalid value for '--role'"),
        (("--config",), "Option '--config' requires an argument"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_wrong_words_are_one_line_that_says_where_the_right_ones_stand(
    program: Program, words: tuple[str, ...], line: str
) -> None:
    said = program.run(*words)
    assert (said.status, said.out) == (2, "")
    assert said.fault.startswith(line)
    assert said.fault.endswith(" --help")


def test_an_answer_that_never_comes_is_one_line(program: Program, tmp_path: Path) -> None:
    said = program.run("init", "--directory", tmp_path / "etc", stdin="mail.new.test\n")
    assert said.status == 1
    assert said.fault.endswith("standard input ended before the last answer; nothing was changed")
    assert not (tmp_path / "etc").exists()
