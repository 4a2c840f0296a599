"""`mailferry admin`: console sign-ins from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailferry.cli.admin import commands
from mailferry.cli.program import Invocation, WrongUse
from mailferry.config.loader import load
from mailferry.model.access import Secret
from mailferry.roster import sign_ins
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.database import Database
from tests.kit.canary import canary, search_files


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mailferry.toml"
    (tmp_path / "state").mkdir(mode=0o700)
    path.write_text(
        f'[service]\nstate_dir = "{tmp_path}/state"\n[target]\nimap = "imap://127.0.0.1?tls=none"\n'
        'login = "user"\n[passwords]\nbackend = "none"\n'
    )
    return path


def call(config: Path, *words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(
        commands, list(words), input=stdin, obj=Invocation(config), catch_exceptions=False
    )


def database(config: Path) -> Database:
    return Database(load(config).service.database_url.reveal().decode())


def test_a_sign_in_is_added_listed_and_removed(config: Path, tmp_path: Path) -> None:
    password = canary()
    assert "anna may sign in" in call(config, "add", "anna", stdin=password + "\n").output
    store = database(config)
    assert sign_ins.is_theirs(store, "anna", Secret(password.encode()))
    found = json.loads(call(config, "list", "--json").output)
    assert [one["name"] for one in found] == ["anna"]
    assert "anna" in call(config, "list").output
    assert not search_files(tmp_path, [password])
    call(config, "remove", "anna")
    assert json.loads(call(config, "list", "--json").output) == []
    store.close()


def test_a_second_add_gives_another_password(config: Path) -> None:
    for password in ("first password", "second password"):
        call(config, "add", "anna", stdin=password + "\n")
    store = database(config)
    assert sign_ins.is_theirs(store, "anna", Secret(b"second password"))
    assert not sign_ins.is_theirs(store, "anna", Secret(b"first password"))
    store.close()


@pytest.mark.parametrize(
    ("words", "stdin", "fault"),
    [
        (("add", "anna"), "short\n", RosterRefusal),
        (("add", "anna"), "", WrongUse),
        (("add", "an na"), "a good password\n", RosterRefusal),
    ],
)
def test_what_cannot_sign_in_is_refused(config: Path, words, stdin: str, fault) -> None:
    with pytest.raises(fault):
        call(config, *words, stdin=stdin)


def test_removing_nobody_is_refused(config: Path) -> None:
    call(config, "add", "anna", stdin="a good password\n")
    with pytest.raises(RosterRefusal):
        call(config, "remove", "bo")
