"""A file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mailferry.copying.new_file import NewFile


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_it_is_whole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with NewFile(path) as file:
        file.stream.write(b"octets")
        assert not path.exists()
        file.keep()
    assert path.read_bytes() == b"octets"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["one"]


def test_what_was_not_kept_leaves_nothing(tmp_path: Path) -> None:
    with NewFile(tmp_path / "one") as file:
        file.stream.write(b"half")
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


@pytest.mark.hazard("T28")
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_nothing_that_is_there_is_ever_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refused(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "one"
    with NewFile(path) as first:
        first.keep()
    with pytest.raises(FileExistsError):
        NewFile(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        NewFile(tmp_path / "dangling")
    with NewFile(tmp_path / "late") as file:
        (tmp_path / "late").write_bytes(b"somebody was faster")
        with pytest.raises(FileExistsError):
            file.keep()
    assert (tmp_path / "late").read_bytes() == b"somebody was faster"
    assert names(tmp_path) == ["dangling", "late", "one"]
