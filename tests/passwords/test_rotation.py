"""The service key is changed while the service works, killed at any step, and everything still opens."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.passwords import rotation, sealing, wrapping
from mailferry.passwords.rotation import leave_behind, rotate_own, wrap_for
from mailferry.passwords.sealing import KeyDestroyed, KeyRing, Purpose, SealBroken
from mailferry.passwords.service_key import BadServiceKey, ServiceKey, service_key
from tests.kit.crash import KILLED, crash_at

ROOT = Path(__file__).parents[2]
DOMAINS = ["a.test", "b.test", "公司.cn"]
PASSWORD = Secret(b"old pass")


def ring(place: Path) -> KeyRing:
    """Return the ring as a process of the service builds it."""
    return KeyRing(place / "keys", service_key(None, place), newest=lambda: service_key(None, place))


def seal(keyring: KeyRing, domain: str = "a.test", window: int = 1) -> bytes:
    return keyring.seal(domain, window, 7, Purpose.PUSH, PASSWORD)


def opens(keyring: KeyRing, sealed: bytes, domain: str = "a.test", window: int = 1) -> bool:
    return keyring.unseal(domain, window, 7, Purpose.PUSH, sealed) == PASSWORD


def key_files(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "keys").iterdir()}


@pytest.mark.hazard("T32")
def test_a_new_service_key_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    running = ring(tmp_path)
    old = service_key(None, tmp_path)
    sealed = {domain: seal(running, domain) for domain in DOMAINS}
    done = rotate_own(tmp_path, tmp_path / "keys", DOMAINS)
    assert (done.files, done.unopened) == (3, ())
    new = service_key(None, tmp_path)
    assert new.derive("x") != old.derive("x")
    for keyring in (running, ring(tmp_path)):  # one that started before, one after
        assert all(opens(keyring, one, domain) for domain, one in sealed.items())
    stale = KeyRing(tmp_path / "keys", old)
    with pytest.raises(SealBroken, match="service key"):
        opens(stale, sealed["a.test"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "mailferry.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "mailferry.key"]


def test_a_key_that_is_made_during_a_change_opens_afterwards(tmp_path: Path) -> None:
    running, others = ring(tmp_path), ring(tmp_path)
    seal(running)
    stop = threading.Event()
    sealed: dict[int, bytes] = {}

    def works() -> None:
        window = 2
        while not stop.is_set() or window < 12:
            sealed[window] = seal(running, window=window)
            assert opens(others, sealed[window], window=window)
            window += 1

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(works)
        for _ in range(6):
            rotate_own(tmp_path, tmp_path / "keys", DOMAINS)
        stop.set()
        working.result(60)
    fresh = ring(tmp_path)
    assert all(opens(fresh, one, window=window) for window, one in sealed.items())


@pytest.mark.hazard("T32")
def test_a_destroyed_key_stays_destroyed_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    running = ring(tmp_path)
    sealed = seal(running)
    remains = tmp_path / "keys" / ".a.test.1.key.4711.abcd"  # of a process that was killed
    remains.write_bytes(key_files(tmp_path)["a.test.1.key"])
    running.destroy("a.test", 1)
    assert not remains.exists()
    assert rotate_own(tmp_path, tmp_path / "keys", DOMAINS).files == 0
    with pytest.raises(KeyDestroyed):
        opens(running, sealed)
    assert list(key_files(tmp_path)) == ["a.test.1.destroyed"]


@pytest.mark.hazard("T32")
def test_a_key_is_not_made_behind_its_destruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running, other = ring(tmp_path), ring(tmp_path)
    seal(running, "b.test", 1)  # the folder is there
    lock = sealing.folder_lock

    @contextlib.contextmanager
    def destroyed_in_between(folder: Path, *, alone: bool) -> Iterator[None]:
        """Another process destroys the window's key after this one saw no sign of it."""
        monkeypatch.setattr(sealing, "folder_lock", lock)
        other.destroy("a.test", 1)
        with lock(folder, alone=alone):
            yield

    monkeypatch.setattr(sealing, "folder_lock", destroyed_in_between)
    with pytest.raises(KeyDestroyed):
        seal(running)
    assert "a.test.1.key" not in key_files(tmp_path)


def test_windows_with_keys_are_known_by_number(tmp_path: Path) -> None:
    running = ring(tmp_path)
    assert running.windows("a.test") == []
    for domain, window in [("a.test", 1), ("a.test", 12), ("b.a.test", 3), ("公司.cn", 2)]:
        seal(running, domain, window)
    assert running.windows("a.test") == [1, 12]
    assert running.windows("公司.cn") == [2]
    running.destroy("a.test", 12)
    assert running.windows("a.test") == [1]


PROGRAM = """
import sys
from pathlib import Path
from mailferry.passwords.rotation import rotate_own
place = Path(sys.argv[1])
rotate_own(place, place / "keys", ["a.test", "b.test", "公司.cn"])
"""


@pytest.mark.hazard("D23")
@pytest.mark.hazard("T32")
@pytest.mark.parametrize(
    ("label", "passage"),
    [
        ("key-wrapped-anew", 1),
        ("key-wrapped-anew", 2),
        ("keys-wrapped-twice", 1),
        ("service-key-changed", 1),
        ("key-wrapped-anew", 4),
        ("key-wrapped-anew", 6),
    ],
)
def test_killed_at_any_step_everything_opens_and_the_next_change_ends_it(
    tmp_path: Path, label: str, passage: int
) -> None:
    running = ring(tmp_path)
    sealed = {domain: seal(running, domain) for domain in DOMAINS}
    first = service_key(None, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **crash_at(label, passage)}
    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, check=False, timeout=60
    )
    assert killed.returncode == KILLED
    for keyring in (running, ring(tmp_path)):
        assert all(opens(keyring, one, domain) for domain, one in sealed.items())
    later = seal(ring(tmp_path), "c.test")
    done = rotate_own(tmp_path, tmp_path / "keys", [*DOMAINS, "c.test"])
    assert (done.files, done.unopened) == (4, ())
    for keyring in (running, ring(tmp_path)):
        assert all(opens(keyring, one, domain) for domain, one in sealed.items())
        assert opens(keyring, later, "c.test")
    with pytest.raises(SealBroken):
        opens(KeyRing(tmp_path / "keys", first), sealed["a.test"])
    assert {len(wrapping.read(octets)) for octets in key_files(tmp_path).values()} == {1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "mailferry.key"]


def test_a_configured_key_changes_in_two_steps_around_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    old, new = ServiceKey(Secret(b"the key before" * 3)), ServiceKey(Secret(b"the key behind" * 3))
    before = KeyRing(folder, old)
    sealed = seal(before)
    assert wrap_for(folder, DOMAINS, old, new).files == 1
    assert wrap_for(folder, DOMAINS, old, new).files == 1
    after = KeyRing(folder, new)
    assert opens(before, sealed)
    assert opens(after, sealed)
    meanwhile = seal(before, "b.test")  # by a process that has not been restarted yet
    assert leave_behind(folder, DOMAINS, new, old).files == 2
    assert opens(after, sealed)
    assert opens(after, meanwhile, "b.test")
    with pytest.raises(SealBroken):
        opens(before, sealed)


def test_what_opens_under_neither_key_is_named_and_left_alone(tmp_path: Path) -> None:
    seal(ring(tmp_path))
    (tmp_path / "keys" / "b.test.1.key").write_bytes(b"rubbish")
    KeyRing(tmp_path / "keys", ServiceKey(Secret(b"somebody else's" * 3))).seal(
        "c.test", 1, 7, Purpose.COPY, PASSWORD
    )
    before = key_files(tmp_path)
    done = rotate_own(tmp_path, tmp_path / "keys", DOMAINS)
    assert (done.files, done.unopened) == (1, ("b.test.1.key", "c.test.1.key"))
    after = key_files(tmp_path)
    assert {name for name in before if before[name] == after[name]} == {"b.test.1.key", "c.test.1.key"}


def test_a_state_directory_without_keys_has_nothing_to_change(tmp_path: Path) -> None:
    with pytest.raises(BadServiceKey, match="no folder of keys"):
        rotate_own(tmp_path, tmp_path / "keys", DOMAINS)


def test_files_of_the_first_form_open_and_are_written_anew(tmp_path: Path) -> None:
    running = ring(tmp_path)
    sealed = seal(running)
    file = tmp_path / "keys" / "a.test.1.key"
    (wrap,) = wrapping.read(file.read_bytes())
    file.write_bytes(b"mailferry key 1\n" + wrap.nonce + wrap.cipher)
    assert opens(running, sealed)
    rotate_own(tmp_path, tmp_path / "keys", DOMAINS)
    assert opens(running, sealed)
    assert file.read_bytes().startswith(b"mailferry key 2\n")


def test_the_old_octets_are_overwritten_where_they_lay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(ring(tmp_path))
    kept = []
    real = rotation.overwrite

    def overwrite(descriptor: int) -> None:
        kept.append(os.pread(descriptor, 4096, 0))
        real(descriptor)
        assert os.pread(descriptor, 4096, 0) != kept[-1]

    monkeypatch.setattr(rotation, "overwrite", overwrite)
    before = key_files(tmp_path)["a.test.1.key"]
    service = (tmp_path / "mailferry.key").read_bytes()
    rotate_own(tmp_path, tmp_path / "keys", DOMAINS)
    assert before in kept
    assert service in kept
