"""What pytest knows about real peers: the fixture that starts them, skips, logs of failures, the last line.

`REQUIRE_PEERS=1` turns every skip for a missing peer into a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.kit import debian, peers
from tests.kit.daemon import DaemonDied

REQUIRED = os.environ.get("REQUIRE_PEERS", "") not in {"", "0"}
STARTED = pytest.StashKey[list[Any]]()


def require(name: str) -> None:
    """Skip the running test when the peer is missing; fail it under REQUIRE_PEERS."""
    try:
        debian.find(name)
    except debian.PeerMissing as error:
        lacking(str(error))


def require_sqlite_in_dovecot() -> None:
    """Skip the running test when this Dovecot cannot ask SQLite for passwords; fail it under REQUIRE_PEERS."""
    require("dovecot")
    if not (debian.find("dovecot").libexec / "modules/auth/libdriver_sqlite.so").exists():
        lacking("this Dovecot lacks its SQLite driver: apt-get install dovecot-sqlite")


def lacking(why: str) -> NoReturn:
    """Skip the running test for want of something outside of the project; fail it under REQUIRE_PEERS."""
    if REQUIRED:
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture
def start_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start servers as `peers.start` does; they are stopped with the test and their logs shown if it fails."""
    started: list[Any] = []
    request.node.stash[STARTED] = started

    def start(name: str, **options: Any) -> Any:
        require(name)
        peer = peers.start(name, tmp_path, **options)
        started.append(peer)
        return peer

    yield start
    for peer in started:
        peer.stop()


@pytest.hookimpl
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `peer(name)` whose peer is missing."""
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            require(name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the peers' logs to a failure; under REQUIRE_PEERS refuse skips that are about a peer."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped and REQUIRED and _about_a_peer(str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"skipped for a missing peer, and REQUIRE_PEERS is set: {report.longrepr}"
    if report.failed and report.when == "call":
        for peer in item.stash.get(STARTED, []):
            report.sections.append((f"log of {peer.name} (pid {peer.pid})", peer.log_text()[-6000:]))
    if call.excinfo is not None and call.excinfo.errisinstance(DaemonDied):
        report.sections.append(("peer", str(call.excinfo.value)))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Name the peers and their versions in the very last line."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput") or config.option.collectonly:
        return
    absent = debian.missing()
    present = [f"{name} {debian.find(name).version}" for name in debian.RECIPES if name not in absent]
    line = "peers: " + (", ".join(present) or "none")
    if absent:
        packages = " ".join(package for name in absent for package in debian.RECIPES[name].packages)
        line += f"; missing: {', '.join(absent)} (make peers, or: apt-get install {packages})"
    terminal.write_line(line)


def _about_a_peer(reason: str) -> bool:
    lowered = reason.lower()
    return "peer" in lowered or any(name in lowered for name in debian.RECIPES)
