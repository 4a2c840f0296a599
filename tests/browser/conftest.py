"""One Chromium for a file of tests, and a site over a store of each test's own, whose clock stands still.

`MAILFERRY_PICTURES=docs/images` (make pictures) lets tests keep the pictures that the documents show.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page
from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from mailferry.store.database import Database
from mailferry.web import user_view
from mailferry.web.site import make_site
from tests.browser.judge import Judge
from tests.kit.chromium import chromium
from tests.kit.live_site import live
from tests.kit.peer_plugin import require
from tests.kit.stores import OpenStore
from tests.web.conftest import MakeDesk, keyring, make_desk, store_kind, ticks, wall

__all__ = ["keyring", "make_desk", "store_kind", "ticks", "wall"]
PICTURES = os.environ.get("MAILFERRY_PICTURES", "")
NOW = 1_790_000_000.0  # 2026-09-21 14:13 UTC
"""What the clock of the store says, so that a page shows the same whenever its picture is taken."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require("chromium")
    with chromium() as running:
        yield running


@pytest.fixture
def store(open_store: OpenStore) -> Database:
    return open_store(now=lambda: NOW)


@pytest.fixture
def judge(store: Database) -> Judge:
    """Stands for the hosts behind the page: which password is whose."""
    return Judge(store)


async def at_once(work: Callable[[], Deferred[Any]]) -> Any:
    """Return what a Deferred holds that has its result already."""
    held: list[Any] = []
    work().addBoth(held.append)
    (result,) = held
    return result


@pytest.fixture
def site(make_desk: MakeDesk, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    for state in user_view.LOOKS_AGAIN_SECONDS:
        monkeypatch.setitem(user_view.LOOKS_AGAIN_SECONDS, state, 1)
    return make_site(make_desk(old_mailbox=judge, on_reactor=at_once), doors=())


@pytest.fixture
def address(site: FastAPI) -> Iterator[str]:
    """Where the site is."""
    with live(site) as where:
        yield where


Picture = Callable[[Page, str], None]


@pytest.fixture
def picture() -> Picture:
    """A function that keeps what a page shows as a picture of the name, where pictures are wanted."""

    def take(page: Page, name: str) -> None:
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}.png", animations="disabled")

    return take


Change = Callable[[Callable[[Connection], Any]], Any]


@pytest.fixture
def change(store: Database) -> Change:
    """A function that changes the store behind the pages' back."""
    return lambda work: store.run_now("test", work)
