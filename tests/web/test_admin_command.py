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
from mailferry.roster import sign_ins, tokens
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.database import Database
from tests.kit.canary import canary, search_files
from tests.web.accounts import add_domain


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


def test_a_sign_in_has_a_role_and_domains(config: Path) -> None:
    store = database(config)
    store.upgrade()
    for name in ("a.test", "b.test"):
        add_domain(store, name)
    call(config, "add", "anna", stdin="a good password\n")
    call(config, "add", "bo", "--role", "reader", stdin="a good password\n")
    call(config, "add", "chen", "--role", "reader", "--domain", "a.test", stdin="a good password\n")
    two = ("--domain", "a.test", "--domain", "b.test")
    call(config, "add", "deng", "--role", "domain-admin", *two, stdin="a good password\n")
    found = {
        one["name"]: (one["role"], one["domains"])
        for one in json.loads(call(config, "list", "--json").output)
    }
    assert found == {
        "anna": ("owner", None),
        "bo": ("reader", None),
        "chen": ("domain-reader", ["a.test"]),
        "deng": ("domain-admin", ["a.test", "b.test"]),
    }
    table = call(config, "list").output
    assert "domain-admin" in table
    assert "a.test b.test" in table
    store.close()


@pytest.mark.parametrize(
    "words",
    [
        ("--domain", "a.test"),
        ("--role", "owner", "--domain", "a.test"),
        ("--role", "domain-admin"),
    ],
    ids=" ".join,
)
def test_a_role_that_lacks_its_domains_is_wrong_use(config: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(WrongUse):
        call(config, "add", "anna", *words, stdin="a good password\n")


@pytest.mark.hazard("T31")
def test_a_token_is_written_once_and_kept_nowhere(config: Path, tmp_path: Path) -> None:
    made = call(config, "token", "add", "robot", "--scope", "read", "--scope", "login", "--days", "9")
    token = made.stdout.strip()
    assert token.startswith("mailferry_")
    assert "not shown again" in made.stderr
    store = database(config)
    found = tokens.bearer(store, Secret(token.encode()))
    assert found is not None
    assert {scope.value for scope in found.scopes} == {"login", "read"}
    listed = json.loads(call(config, "token", "list", "--json").output)
    assert [(one["name"], one["scopes"], one["domain"]) for one in listed] == [
        ("robot", ["login", "read"], None)
    ]
    assert "robot" in call(config, "token", "list").output
    call(config, "token", "remove", "robot")
    assert tokens.bearer(store, Secret(token.encode())) is None
    store.close()
    assert not search_files(tmp_path, [token])


def test_a_token_without_a_scope_is_wrong_use(config: Path) -> None:
    assert call(config, "token", "add", "robot").exit_code == 2
    assert call(config, "token", "add", "robot", "--scope", "all").exit_code == 2
