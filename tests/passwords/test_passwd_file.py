"""The users file is another program's file: what is not ours in it stays to the octet."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mailferry.model.causes import Unavailable
from mailferry.passwords.backend import PushResult
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.work_threads import WorkThreads
from tests.passwords.beds import new

FILE = (
    b"# a remark: with a colon\n"
    b"\n"
    b"u@a.test:{PLAIN}old:1000:1000:\xff\xfe gecos:/home/u::userdb_quota_rule=*:storage=1G\r\n"
    b"u@a.test:{PLAIN}second\n"
    b"bare@a.test\n"
    b"short@a.test:{PLAIN}x\n"
    b"last@a.test:{PLAIN}x"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_bytes(FILE)
    path.chmod(0o640)
    return path


async def test_only_the_hash_of_the_first_line_changes(path: Path, threads: WorkThreads) -> None:
    backend = PasswdFile(path, threads=threads)
    assert await backend.push("u@a.test", new("{X}new"), expected="{PLAIN}old") is PushResult.DONE
    assert path.read_bytes() == FILE.replace(b"{PLAIN}old", b"{X}new")


@pytest.mark.parametrize("user", ["short@a.test", "last@a.test"])
async def test_a_line_without_further_fields_stays_without(
    path: Path, threads: WorkThreads, user: str
) -> None:
    backend = PasswdFile(path, threads=threads)
    assert await backend.push(user, new("{X}new"), expected="{PLAIN}x") is PushResult.DONE
    old = f"{user}:{{PLAIN}}x".encode()
    assert path.read_bytes() == FILE.replace(old, f"{user}:{{X}}new".encode())


async def test_a_new_line_goes_behind_a_last_one_without_line_end(path: Path, threads: WorkThreads) -> None:
    backend = PasswdFile(path, threads=threads, create=True)
    assert await backend.push("new@a.test", new("{X}new"), expected=None) is PushResult.CREATED
    assert path.read_bytes() == FILE + b"\nnew@a.test:{X}new\n"


async def test_mode_and_owner_stay(path: Path, threads: WorkThreads) -> None:
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    await PasswdFile(path, threads=threads).push("u@a.test", new("{X}new"), expected="{PLAIN}old")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert after.st_ino != before.st_ino


async def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path, threads: WorkThreads) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    await PasswdFile(link, threads=threads).push("u@a.test", new("{X}new"), expected="{PLAIN}old")
    assert link.is_symlink()
    assert b"{X}new" in path.read_bytes()


async def test_nothing_else_is_left_in_the_folder(path: Path, tmp_path: Path, threads: WorkThreads) -> None:
    await PasswdFile(path, threads=threads).push("u@a.test", new("{X}new"), expected="{PLAIN}old")
    assert {one.name for one in tmp_path.iterdir()} == {"users", ".users.mailferry-lock"}


@pytest.mark.hazard("D23")
async def test_each_change_has_a_later_second_than_the_one_before(path: Path, threads: WorkThreads) -> None:
    """Dovecot compares size and second: what it read must never look like what stands there now."""
    backend = PasswdFile(path, threads=threads)
    seconds, stored = [int(path.stat().st_mtime)], "{PLAIN}old"
    for number in range(3):
        fresh = f"{{X}}new{number}"
        assert await backend.push("u@a.test", new(fresh), expected=stored) is PushResult.DONE
        seconds.append(int(path.stat().st_mtime))
        stored = fresh
    assert seconds == sorted(set(seconds))


@pytest.mark.hazard("T25")
@pytest.mark.parametrize("user", ["", "a:b", "a\nroot:x", "a\r", "#a@a.test", "a\x00", "\x1b[2J"])
async def test_a_name_that_would_be_another_line_is_refused(
    path: Path, threads: WorkThreads, user: str
) -> None:
    backend = PasswdFile(path, threads=threads, create=True)
    with pytest.raises(ValueError, match="cannot stand"):
        await backend.push(user, new("{X}new"), expected=None)
    with pytest.raises(ValueError, match="cannot stand"):
        await backend.current(user)
    assert path.read_bytes() == FILE


@pytest.mark.parametrize("new_hash", ["{X}a:b", "{X}a\n", "{X}\x00"])
async def test_a_hash_that_would_be_another_field_is_refused(
    path: Path, threads: WorkThreads, new_hash: str
) -> None:
    with pytest.raises(ValueError, match="no colon"):
        await PasswdFile(path, threads=threads).push("u@a.test", new(new_hash), expected="{PLAIN}old")


async def test_a_missing_file_is_unavailable_and_not_an_empty_one(
    tmp_path: Path, threads: WorkThreads
) -> None:
    backend = PasswdFile(tmp_path / "nowhere", threads=threads, create=True)
    with pytest.raises(Unavailable, match="No such file"):
        await backend.current("u@a.test")
    with pytest.raises(Unavailable):
        await backend.push("u@a.test", new("{X}new"), expected=None)
    assert not list(tmp_path.iterdir())
