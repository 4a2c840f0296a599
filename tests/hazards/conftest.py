from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.copying.conftest import hosts, lite
from tests.hazards.targets import Target
from tests.kit.peer_plugin import require
from tests.kit.stores import open_store, store, store_kind, store_url

__all__ = ["hosts", "lite", "open_store", "store", "store_kind", "store_url"]


@pytest.fixture
def peer(target: Target, tmp_path: Path) -> Iterator[Any]:
    """The server that the file's own `target` names, running; skips where this machine has none."""
    require(target.peer)
    started = target.start(tmp_path)
    yield started
    started.stop()
