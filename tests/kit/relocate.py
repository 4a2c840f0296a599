"""Programs that carry their own folder's name inside, made to run from where they were unpacked.

Dovecot looks for its modules (TLS among them) and for `doveconf` under names fixed when it was built.
Those names are overwritten, octet for octet, with a link of the same length under /tmp that leads to the
unpacked folder. The files on disk are a copy of ours; nothing of the system is touched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

DOVECONF = b"/usr/bin/doveconf"
PROGRAMS = {"d": "usr/bin/doveconf", "doveadm": "usr/bin/doveadm", "dovecot": "usr/sbin/dovecot"}
"""What is named inside the folder too, so that the link alone leads to everything."""


def link_for(home: Path) -> Path:
    """Return the link that programs unpacked below `home` look through (15 characters)."""
    return Path("/tmp/mf-" + hashlib.sha256(os.fsencode(home)).hexdigest()[:7])


def rewrite(unpacked: Path, home: Path, lives_in: str) -> None:
    """Put the link into every program below `unpacked`, which will be moved to `home` afterwards."""
    link = os.fsencode(link_for(home))
    names = {os.fsencode(lives_in): link + b"/", DOVECONF: link + b"/d"}
    for old, new in names.items():
        if len(old) != len(new):
            raise OSError(f"{old!r} cannot be replaced in place by {new!r}")
    for path in unpacked.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        octets = path.read_bytes()
        if not octets.startswith(b"\x7fELF"):
            continue
        changed = octets
        for old, new in names.items():
            changed = changed.replace(old, new)
        if changed != octets:
            path.write_bytes(changed)
    inner = unpacked / lives_in.lstrip("/")
    for name, program in PROGRAMS.items():
        (inner / name).symlink_to(os.path.relpath(unpacked / program, inner))


def reachable(home: Path, lives_in: str) -> Path:
    """Make the link lead to the peer at `home`: directly, or to a copy where others may not enter `home`."""
    link, inner = link_for(home), home / lives_in.lstrip("/")
    _refuse_foreign(link)
    if _all_may_enter(inner):
        if not (link.is_symlink() and link.readlink() == inner):
            fresh = _beside(link)
            fresh.symlink_to(inner)
            _clear(link)
            fresh.replace(link)
        return link
    stamp = link / ".of"
    text = f"{inner} {(home.parent / 'complete').stat().st_mtime_ns}"
    if link.is_dir() and not link.is_symlink() and stamp.exists() and stamp.read_text() == text:
        return link
    fresh = _beside(link)
    shutil.copytree(inner, fresh, symlinks=False)
    fresh.chmod(0o755)
    (fresh / stamp.name).write_text(text)
    _clear(link)
    try:
        fresh.rename(link)
    except OSError:  # another test run was faster
        shutil.rmtree(fresh)
    return link


def enterable(home: Path) -> Path:
    """Return `home`, or a copy of it below /tmp where the user that a peer runs as may not enter `home`."""
    if _all_may_enter(home):
        return home
    copy = link_for(home)
    _refuse_foreign(copy)
    if not copy.is_dir():
        fresh = _beside(copy)
        shutil.copytree(home, fresh, symlinks=True)
        fresh.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:  # another test run was faster
            shutil.rmtree(fresh)
    return copy


def _beside(link: Path) -> Path:
    """Return a name of this process's own, so that what `link` leads to is whole from its first moment."""
    return link.with_name(f"{link.name}.{os.getpid()}")


def _all_may_enter(path: Path) -> bool:
    if os.getuid() != 0:
        return True  # the peer runs as ourselves
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _refuse_foreign(link: Path) -> None:
    """Whoever owns the link decides what we start: that must be ourselves or root."""
    try:
        owner = link.lstat().st_uid
    except FileNotFoundError:
        return
    if owner not in {0, os.getuid()}:
        raise OSError(f"{link} belongs to user {owner}; remove it")


def _clear(link: Path) -> None:
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
