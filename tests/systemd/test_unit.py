"""The systemd unit: known keys, a low exposure, secrets by credentials, a reason beside each line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit import debian

UNIT = debian.ROOT / "systemd" / "mailferry.service"
EXPOSURE = 20
"""In tenths, as `systemd-analyze security --threshold` counts; the default of a service is 96."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


def settings() -> list[tuple[str, str]]:
    lines = [line for line in UNIT.read_text().splitlines() if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def verify(unit: Path) -> str:
    """Return what systemd-analyze says about a unit whose program is certainly there."""
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return (ran.stdout + ran.stderr + (f"\nexit status {ran.returncode}" if ran.returncode else "")).strip()


def with_program(tmp_path: Path, text: str) -> Path:
    unit = tmp_path / "mailferry.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    return unit


@needs_systemd
def test_systemd_knows_every_key(tmp_path: Path) -> None:
    assert verify(with_program(tmp_path, UNIT.read_text())) == ""


@needs_systemd
def test_a_misspelt_key_would_be_seen(tmp_path: Path) -> None:
    unit = with_program(tmp_path, UNIT.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "Unknown key" in verify(unit)


@needs_systemd
def test_the_exposure_stays_low() -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", UNIT]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout[-1500:] + ran.stderr


def test_the_unit_is_what_is_promised() -> None:
    unit = dict(settings())
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) >= 10
    assert unit["ExecStart"].endswith(" serve")
    assert unit["RestartPreventExitStatus"] == "2"
    assert int(unit["TimeoutStopSec"]) > 35, "sessions get 30 s and workers 5 s more before they are killed"
    credentials = [value for key, value in settings() if key == "LoadCredential"]
    assert "mailferry.key" in credentials
    assert not any(":" in name for name in credentials), (
        "a credential with a path stops the service when it is missing"
    )


def test_nothing_forbids_what_the_service_needs() -> None:
    unit = dict(settings())
    assert "MemoryDenyWriteExecute" not in unit, "pyOpenSSL's callbacks need it"
    assert "ProcSubset" not in unit, "the boot id is read from /proc/sys"
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} == set(unit["RestrictAddressFamilies"].split())
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"


def test_each_group_of_lines_has_its_reason() -> None:
    bare = []
    reasoned = False
    for line in UNIT.read_text().splitlines():
        if line.startswith("#"):
            reasoned = True
        elif not line or line.startswith("["):
            reasoned = False
        elif not reasoned and not line.startswith(("Description=", "WantedBy=")):
            bare.append(line)
    assert not bare
