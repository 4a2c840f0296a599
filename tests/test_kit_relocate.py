"""A program unpacked anywhere finds its own folder through a link that only we or root may own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import relocate

LIVES_IN = "/usr/lib/dovecot"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An unpacked and relocated peer of a few files."""
    building, home = tmp_path / "building", tmp_path / "home"
    for folder in ("usr/lib/dovecot/modules", "usr/bin", "usr/sbin"):
        (building / folder).mkdir(parents=True)
    for program in ("usr/bin/doveconf", "usr/bin/doveadm", "usr/sbin/dovecot"):
        (building / program).write_bytes(b"\x7fELF /usr/lib/dovecot/modules\0/usr/bin/doveconf\0")
    (building / "usr/lib/dovecot/readme").write_bytes(b"text about /usr/lib/dovecot")
    relocate.rewrite(building, home, LIVES_IN)
    building.rename(home)
    (tmp_path / "complete").write_text("")
    yield home
    link = relocate.link_for(home)
    link.unlink(missing_ok=True) if link.is_symlink() else shutil.rmtree(link, ignore_errors=True)


def test_names_inside_programs_are_replaced_octet_for_octet(home: Path) -> None:
    link = os.fsencode(relocate.link_for(home))
    assert len(link) == 15
    written = (home / "usr/sbin/dovecot").read_bytes()
    assert written == b"\x7fELF " + link + b"//modules\0" + link + b"/d\0"
    assert (home / "usr/lib/dovecot/readme").read_bytes() == b"text about /usr/lib/dovecot"


def test_everything_is_reached_through_the_link(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for all_may_enter in (True, False, True):
        monkeypatch.setattr(relocate, "_all_may_enter", lambda _, may=all_may_enter: may)
        for _ in range(2):
            link = relocate.reachable(home, LIVES_IN)
            assert link.is_symlink() == all_may_enter
            assert (link / "d").read_bytes() == (home / "usr/bin/doveconf").read_bytes()
            assert (link / "modules").is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a link to somebody else")
def test_a_link_that_somebody_else_owns_is_not_followed(home: Path) -> None:
    link = relocate.reachable(home, LIVES_IN)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(OSError, match="belongs to user 65534"):
        relocate.reachable(home, LIVES_IN)
