from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.passwords.service_key import BadServiceKey, ServiceKey, service_key


def test_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = service_key(None, tmp_path).derive("x")
    assert service_key(None, tmp_path).derive("x") == first
    (file,) = tmp_path.iterdir()
    assert file.name == "mailferry.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: service_key(None, tmp_path).derive("x"), range(16)))
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mailferry.key"]


def test_a_configured_key_counts_and_no_file_is_made(tmp_path: Path) -> None:
    assert service_key(Secret(b"k" * 32), tmp_path).derive("x") == ServiceKey(Secret(b"k" * 32)).derive("x")
    assert not list(tmp_path.iterdir())


def test_each_purpose_has_a_key_of_its_own() -> None:
    key = ServiceKey(Secret(b"k" * 32))
    assert len({key.derive(purpose) for purpose in ("a", "b", "ab", "")}) == 4
    assert "k" * 32 not in repr(key)


def test_a_short_key_and_an_unwritable_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadServiceKey, match="32 random"):
        ServiceKey(Secret(b"short"))
    with pytest.raises(BadServiceKey, match="No such file"):
        service_key(None, tmp_path / "nowhere")
