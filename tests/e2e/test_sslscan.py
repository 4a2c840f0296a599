"""sslscan, a scanner of other people's making, finds nothing to hold against any of our doors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.e2e.lab_service import LabService
from tests.kit import debian
from tests.kit.service import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.peer("sslscan"),
    pytest.mark.hazard("T7"),
    pytest.mark.hazard("T8"),
]

DOORS = {
    "imap with STARTTLS": "--starttls-imap",
    "pop3 with STLS": "--starttls-pop3",
    "imap": "",
    "pop3": "",
    "pages": "",
}
OLD = {("ssl", "2"), ("ssl", "3"), ("tls", "1.0"), ("tls", "1.1")}
NEW = {("tls", "1.2"), ("tls", "1.3")}
SHAKY = ("RC4", "DES", "MD5", "NULL", "EXP", "ADH", "AECDH", "anon", "SEED", "IDEA")
LEAST_BITS = 128


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Every kind of TLS that the service speaks."""
    house = LabService(tmp_path_factory.mktemp("sslscan"))
    service = house.service
    implicit = {door: free_port() for door, option in DOORS.items() if not option}
    text = service.config.read_text()
    for door, port in implicit.items():
        name = "web" if door == "pages" else door
        text += (
            f'[[listen]]\nservice = "{name}"\nendpoint = "tcp:{port}:interface=127.0.0.1"\ntls = "implicit"\n'
        )
    service.config.write_text(text)
    try:
        house.apply_domains()
        service.start()
        yield {"imap with STARTTLS": service.imap_port, "pop3 with STLS": service.pop3_port, **implicit}
    finally:
        house.close()


def scanned(port: int, option: str, folder: Path) -> ET.Element:
    """Let sslscan look at a door; return what it found."""
    found = debian.find("sslscan")
    file = folder / "found.xml"
    subprocess.run(
        [found.program, *([option] if option else []), f"--xml={file}", f"127.0.0.1:{port}"],
        env={**found.env, "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    result = ET.parse(file).getroot().find("ssltest")
    assert result is not None, file.read_text()
    return result


@pytest.mark.parametrize("door", DOORS)
def test_no_door_speaks_an_old_version_or_a_weak_cipher(
    ports: dict[str, int], door: str, tmp_path: Path
) -> None:
    found = scanned(ports[door], DOORS[door], tmp_path)
    enabled = {(one.get("type"), one.get("version")) for one in found.findall("protocol[@enabled='1']")}
    assert enabled == NEW
    tried = {(one.get("type"), one.get("version")) for one in found.findall("protocol")}
    assert tried == OLD | NEW, "each was tried"
    (renegotiation,) = found.findall("renegotiation")
    assert renegotiation.get("supported") == "0"
    assert {one.get("supported") for one in found.findall("compression")} <= {"0"}  # Debian's cannot ask
    assert {one.get("vulnerable") for one in found.findall("heartbleed")} == {"0"}
    ciphers = found.findall("cipher")
    assert len(ciphers) >= 4
    for one in ciphers:
        name = str(one.get("cipher"))
        assert int(str(one.get("bits"))) >= LEAST_BITS, name
        assert one.get("strength") in {"strong", "acceptable"}, name
        assert not any(word in name for word in SHAKY), name
        assert name.startswith(("TLS_", "ECDHE-")), "what is recorded cannot be read with a key stolen later"
