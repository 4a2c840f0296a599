"""The samples that a newcomer edits are read by the program's own loader, with every key shown."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mailferry.config.domains import DomainsFile, load_domains
from mailferry.config.known_names import every_key
from mailferry.config.loader import load
from mailferry.config.settings import BackendName, Settings, TargetLogin

CONF = Path(__file__).parents[2] / "conf"
_SHOWN = re.compile(r"^#(?=[a-z0-9_]+ = |\[)", re.MULTILINE)


def in_folder(name: str, folder: Path, *, all_keys: bool) -> Path:
    text = (CONF / name).read_text()
    if all_keys:
        text = _SHOWN.sub("", text)
    text = text.replace("/etc/mailferry/", f"{folder}/")
    for secret in re.findall(r'\{file = "([^"]+)"\}', text):
        Path(secret).write_text("sqlite:///of-the-sample.db\n")
    path = folder / name
    path.write_text(text)
    return path


def keys_in(table: dict, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for key, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found |= {inner for item in value for inner in keys_in(item, (*path, key))}
        elif isinstance(value, dict) and not set(value) & {"file", "env", "credential"}:
            found |= keys_in(value, (*path, key))
        else:
            found.add((*path, key))
    return found


def test_the_sample_is_understood_as_it_stands(tmp_path: Path) -> None:
    settings = load(in_folder("mailferry.toml", tmp_path, all_keys=False), {})
    assert [listener.service.value for listener in settings.listen].count("imap") == 2
    assert settings.target.login is TargetLogin.DOVECOT_MASTER
    assert settings.passwords.backend is BackendName.PASSWD_FILE


def test_the_sample_shows_every_key_that_the_program_knows(tmp_path: Path) -> None:
    path = in_folder("mailferry.toml", tmp_path, all_keys=True)
    assert keys_in(tomllib.loads(path.read_text())) == set(every_key(Settings))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/mailferry.key").write_text("k" * 32)
    load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})


def test_the_keys_that_the_sample_only_shows_stand_at_their_defaults(tmp_path: Path) -> None:
    plain = load(in_folder("mailferry.toml", tmp_path, all_keys=False), {})
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/mailferry.key").write_text("k" * 32)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    shown = load(in_folder("mailferry.toml", tmp_path, all_keys=True), environ)
    limits = {key: None for key, value in plain.copy_ if value is None}  # without one there is none
    assert shown.copy_.model_copy(update=limits) == plain.copy_
    assert all(getattr(shown.copy_, key) is not None for key in limits)
    assert shown.shield == plain.shield
    assert shown.target == plain.target
    assert shown.passwords.passwd_file == plain.passwords.passwd_file
    assert shown.service.drain_seconds == plain.service.drain_seconds


@pytest.mark.parametrize("all_keys", [False, True])
def test_the_sample_of_domains_is_understood(tmp_path: Path, *, all_keys: bool) -> None:
    path = in_folder("domains.toml", tmp_path, all_keys=all_keys)
    (entry,) = load_domains(path)
    assert entry.name == "example.com"
    assert entry.source_imap is not None
    if all_keys:
        assert keys_in(tomllib.loads(path.read_text())) == set(every_key(DomainsFile))
