"""Names that look like paths lead nowhere: whatever a move opens or makes lies in the folders it was given."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.gate.admission import Admitted
from mailferry.lab.premises import LabAccount
from mailferry.model.account import Phase
from tests.kit.move import OLD, USER
from tests.life.conftest import Service
from tests.life.steps import fill

MARK = "climbs"
MAILBOXES = [
    name.encode()
    for name in (
        f"../../../{MARK}",
        f"..\\{MARK}",
        f"etc/cron.d/{MARK}",
        f"~/{MARK}",
        f"$HOME{MARK}",
        f"{MARK};%n",
        ".." + MARK,
    )
]
USERS = [
    f"{name}@old.test"
    for name in (
        f"../../{MARK}",
        f"..{MARK}",
        f"/tmp/{MARK}",
        f"~{MARK}",
        "$HOME" + MARK,
        MARK * 20,
        f"{MARK}|x",
    )
]
CHANGES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
}

_WATCHERS: list[Callable[[str, tuple[Any, ...]], None]] = []


@functools.cache
def _hook() -> None:
    """Python hears of every file that it opens (sys.audit); a hook cannot be taken away again."""

    def heard(event: str, given: tuple[Any, ...]) -> None:
        for watcher in _WATCHERS:
            watcher(event, given)

    sys.addaudithook(heard)


@pytest.fixture
def opened() -> Iterator[list[tuple[str, str, bool]]]:
    """What is opened or changed meanwhile: the event, the path, and whether something may change by it."""
    found: list[tuple[str, str, bool]] = []

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[0], str | bytes):
            writes = bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            found.append((event, os.fsdecode(given[0]), writes))
        elif event in CHANGES:
            found.extend(
                (event, os.fsdecode(path), True) for path in given[:2] if isinstance(path, str | bytes)
            )
        elif event == "sqlite3.connect":
            found.append((event, os.fsdecode(given[0]).removeprefix("file:"), True))

    _hook()
    _WATCHERS.append(watch)
    yield found
    _WATCHERS.remove(watch)


@pytest.mark.hazard("T28")
async def test_no_name_of_a_user_or_a_mailbox_is_a_way_to_a_file(
    service: Service, tmp_path: Path, opened: list[tuple[str, str, bool]]
) -> None:
    accounts = {name: LabAccount(password=OLD) for name in (USER, *USERS)}
    move = await service(source_accounts=accounts)
    fill(move)
    store = move.source.mailstore(USER)
    for name in MAILBOXES:
        store.create(name)
        store.deliver(b"Subject: here\r\n\r\nHi\r\n", mailbox=name)
    begun = 0
    for name in accounts:
        admission = await move.login(name=name)
        if isinstance(admission, Admitted):
            begun += 1
            await move.logout(admission)
    assert begun >= 4, "most of these are names that somebody may have"
    await move.copy()
    await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=120)
    assert sum(MARK.encode() in box.name for box in move.target.mailstore(USER)) == len(MAILBOXES)

    assert [one for one in opened if MARK in one[1]] == [], "no name is part of a path"
    changed = {Path(path).resolve() for _, path, changes in opened if changes and path != ":memory:"}
    outside = {path for path in changed if not path.is_relative_to(tmp_path.resolve())}
    assert {path for path in outside if not path.is_relative_to("/dev")} == set()
    assert any("keys" in path.parts for path in changed), "it was heard"
