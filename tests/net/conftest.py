"""Every test of this room's sockets is for both carriers: Twisted's transports and descriptors of our own."""

from __future__ import annotations

import pytest

from mailferry.net import chosen


@pytest.fixture(autouse=True, params=["twisted", "descriptor"])
def carriers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose what carries the octets; the test gets its name."""
    monkeypatch.setattr(chosen, "OWN_DESCRIPTORS", request.param == "descriptor")
    return str(request.param)
