"""The keys that administrators' files rely on: none loses its name, its kind or its default without a deprecation."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mailferry.config.faults import BadConfiguration
from mailferry.config.loader import load
from mailferry.config.settings import BackendName, Settings, TargetLogin

PROMISED = """
[service]
state_dir = "/var/lib/mailferry"
database = "sqlite"
key = {credential = "mailferry.key"}
proxy_processes = 1
copier_processes = 1
providers_dir = "/etc/mailferry/providers.d"
allow_networks = []
source_addresses = []

[[listen]]
service = "imap"
endpoint = "tcp:143:interface=127.0.0.1"
tls = "starttls"
proxy_protocol_from = []

[tls]
certificate = "/etc/mailferry/tls/fullchain.pem"
key = "/etc/mailferry/tls/privkey.pem"

[target]
imap = "imap://127.0.0.1:10143?tls=none"
pop3 = "pop3://127.0.0.1:10110?tls=none"
login = "dovecot-master"
master_user = "mailferry"
master_password = {file = "master"}
forward_client_address = "none"

[passwords]
backend = "passwd-file"
scheme = "ARGON2ID"
push_from_plaintext = false

[passwords.passwd-file]
path = "/etc/dovecot/users"

[passwords.sql]
url = {file = "sql"}
update = "UPDATE mailbox SET password = :hash WHERE username = :address"
select = "SELECT password FROM mailbox WHERE username = :address"
create = ""

[passwords.command]
argv = ["/usr/local/bin/set-password"]

[copy]
connections_per_account = 2
accounts_at_once = 8
freeze_budget_seconds = 20
early_switch_after_hours = 24
new_mail = "off"

[shield]
wrong_per_account = 5
wrong_per_source_minute = 60

[log]
format = "text"
level = "info"
"""
SITES_OWN = {"service.key", "tls", "target", "listen", "passwords.backend", "passwords.passwd-file.path"}
"""What has no default, or none but a site's: where its hosts and files are."""
TARGET = '[target]\nimap = "imaps://new.test"\n'
MASTER = 'master_user = "ferry"\nmaster_password = {env = "PW"}\n'
FILE = '[passwords.passwd-file]\npath = "/etc/dovecot/users"\n'
SQL = '[passwords.sql]\nurl = "sqlite://"\n'


def reading(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "master").write_text("secret")
    (folder / "sql").write_text("sqlite://")
    (folder / "mailferry.key").write_text("k" * 32)
    path = folder / "mailferry.toml"
    path.write_text(text)
    return load(path, {"CREDENTIALS_DIRECTORY": str(folder), "PW": "secret", **environ})


def plain(table: dict[str, Any], before: str = "") -> dict[str, object]:
    """Return the keys of a table and of the tables in it, except those that are a site's own."""
    found: dict[str, object] = {}
    for key, value in table.items():
        path = f"{before}{key}"
        if path in SITES_OWN:
            continue
        if isinstance(value, dict) and not {"file", "credential"} & set(value):
            found |= plain(value, f"{path}.")
        elif not isinstance(value, dict):
            found[path] = value
    return found


def test_the_promised_file_is_understood_as_it_stands(tmp_path: Path) -> None:
    settings = reading(tmp_path, PROMISED)
    assert settings.target.login is TargetLogin.DOVECOT_MASTER
    assert settings.passwords.backend is BackendName.PASSWD_FILE
    assert settings.service.key is not None


def test_what_is_left_out_is_what_was_promised(tmp_path: Path) -> None:
    short = f"{TARGET}[passwords.sql]\nurl = 'sqlite://'\n[passwords.command]\nargv = ['/x']\n[passwords]\nbackend = 'sql'\n"
    bare = reading(tmp_path, short)
    shown = bare.model_dump(mode="json", by_alias=True)
    shown["service"]["database"] = bare.service.database.reveal().decode()
    for path, promised in plain(tomllib.loads(PROMISED)).items():
        value = shown
        for name in path.split("."):
            value = value[name]
        if path != "passwords.command.argv":
            assert value == promised, path


@pytest.mark.parametrize(
    ("words", "login"),
    [("", "user"), (MASTER, "dovecot-master"), (f"{MASTER}login = 'master'\n", "master")],
    ids=["nobody", "a master", "a master and how"],
)
def test_a_master_that_is_named_is_used(tmp_path: Path, words: str, login: str) -> None:
    assert reading(tmp_path, TARGET + words).target.login == login


@pytest.mark.parametrize(
    ("tables", "backend"),
    [("", "none"), (FILE, "passwd-file"), (SQL, "sql"), (f"[passwords]\nbackend = 'none'\n{SQL}", "none")],
    ids=["no table", "a file", "a database", "a database that is not to be used"],
)
def test_a_password_backend_whose_table_stands_there_is_used(
    tmp_path: Path, tables: str, backend: str
) -> None:
    assert reading(tmp_path, TARGET + tables).passwords.backend == backend


def test_of_two_password_backends_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        reading(tmp_path, TARGET + FILE + SQL)
    (fault,) = caught.value.faults
    assert (fault.key, fault.message) == (
        "passwords", "write backend = one of sql, passwd-file: each has its table",
    )  # fmt: skip
    assert reading(tmp_path, TARGET + FILE + SQL, MAILFERRY_PASSWORDS__BACKEND="sql").passwords.sql


@pytest.mark.hazard("T36")
def test_metrics_are_for_this_machine_unless_an_interface_is_named(tmp_path: Path) -> None:
    listeners = "".join(
        f'[[listen]]\nservice = "{service}"\nendpoint = "{endpoint}"\n'
        for service, endpoint in (
            ("metrics", "tcp:9420"),
            ("metrics", "tcp:9421:interface=0.0.0.0"),
            ("metrics", "systemd:name=numbers"),
        )
    )
    shown = [str(one.endpoint) for one in reading(tmp_path, TARGET + listeners).listen]
    assert shown == ["tcp:9420:interface=127.0.0.1", "tcp:9421:interface=0.0.0.0", "systemd:name=numbers"]


def test_the_usual_folder_of_profiles_need_not_be_there_and_a_named_one_must(tmp_path: Path) -> None:
    usual = reading(tmp_path, TARGET).service
    assert str(usual.providers_dir) == "/etc/mailferry/providers.d"
    assert usual.profiles_folder == (str(usual.providers_dir) if usual.providers_dir.exists() else None)
    named = reading(tmp_path, f'{TARGET}[service]\nproviders_dir = "{tmp_path}/none"\n').service
    assert named.profiles_folder == f"{tmp_path}/none"
