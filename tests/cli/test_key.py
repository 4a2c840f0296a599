"""`mailferry key rotate`: the service key is changed from the command line, and what was sealed opens on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.model.access import Secret
from mailferry.passwords.sealing import KeyRing, Purpose, SealBroken
from mailferry.passwords.service_key import ServiceKey, service_key
from tests.cli.place import DOMAIN, Place

pytestmark = pytest.mark.hazard("T32")

PASSWORD = Secret(b"an old Pa55word")
OLD, NEW = b"the key before, of 32 octets", b"the key behind, of 32 octets"


def seal(place: Place, key: ServiceKey) -> bytes:
    return KeyRing(place.state / "keys", key).seal(DOMAIN, 1, 7, Purpose.PUSH, PASSWORD)


def opens(place: Place, key: ServiceKey, sealed: bytes) -> bool:
    try:
        return KeyRing(place.state / "keys", key).unseal(DOMAIN, 1, 7, Purpose.PUSH, sealed) == PASSWORD
    except SealBroken:
        return False


def audited(place: Place) -> list[str]:
    return [str(row) for row in place.rows("audit") if "key.rotate" in row]


def test_a_key_of_the_services_own_is_replaced_in_one_go_and_the_old_one_opens_nothing(filled: Place) -> None:
    old = service_key(None, filled.state)
    sealed = seal(filled, old)
    assert "1 windows' keys are encrypted under a new service key" in filled.well("key", "rotate").out
    assert opens(filled, service_key(None, filled.state), sealed)
    assert not opens(filled, old, sealed)
    assert len(audited(filled)) == 1


def test_a_configured_key_changes_in_its_steps_and_no_step_can_be_forgotten(filled: Place) -> None:
    files: dict[bytes, Path] = {}
    for name, octets in (("old", OLD), ("new", NEW)):
        files[octets] = filled.folder / f"{name}.key"
        files[octets].write_bytes(octets + b"\n")
    old, new = ServiceKey(Secret(OLD)), ServiceKey(Secret(NEW))
    sealed = seal(filled, old)
    filled.tables["service"]["key"] = {"file": str(files[OLD])}
    filled.write()
    assert "key rotate --to NEW" in filled.fails("key", "rotate", status=2)
    assert "now let service.key name the new one" in filled.well("key", "rotate", "--to", files[NEW]).out
    assert opens(filled, old, sealed)
    assert opens(filled, new, sealed)
    filled.tables["service"]["key"] = {"file": str(files[NEW])}
    filled.write()
    filled.well("key", "rotate", "--former", files[OLD])
    assert (opens(filled, old, sealed), opens(filled, new, sealed)) == (False, True)
    assert len(audited(filled)) == 2
    for key in (OLD, NEW):
        assert key.decode() not in "".join(audited(filled)), "the record names no key"


def test_what_cannot_be_meant_and_what_does_not_open_is_told_and_left_alone(filled: Place) -> None:
    short = filled.folder / "short.key"
    short.write_bytes(b"too short\n")
    assert "made its key itself" in filled.fails("key", "rotate", "--to", short, status=2)
    seal(filled, ServiceKey(Secret(b"somebody else's, of 32 octets")))
    service_key(None, filled.state)
    assert "open under neither key" in filled.run("key", "rotate").fault
    configured = filled.folder / "configured.key"
    configured.write_bytes(OLD + b"\n")
    filled.tables["service"]["key"] = {"file": str(configured)}
    filled.write()
    assert "either --to or --former" in filled.fails(
        "key", "rotate", "--to", short, "--former", short, status=2
    )
    assert f"{short}: " in filled.fails("key", "rotate", "--to", short)
