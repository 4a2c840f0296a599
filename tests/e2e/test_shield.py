"""The guessing shield of a running service with two proxies: clients come through a balancer, over TCP."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailferry.wire.proxy_header import Endpoint, proxy_header
from tests.e2e.lab_service import DOMAIN, USER, LabService
from tests.kit.service import free_port

pytestmark = [pytest.mark.slow, pytest.mark.hazard("T29"), pytest.mark.timeout(300)]

DOOR = Endpoint("192.0.2.1", 143)
AT_ONCE = 40
ONE = "198.51.100.7"
MANY = [f"203.0.113.{n}" for n in range(1, 100)] + [f"2001:db8:{n:x}::1" for n in range(100)]
COLLEAGUE = f"colleague@{DOMAIN}"


class Balanced:
    """The service behind a balancer that everybody comes through."""

    def __init__(self, folder: Path) -> None:
        self.house = LabService(folder, users=(USER, COLLEAGUE))
        self._port = free_port()
        config = self.house.service.config
        door = (
            f'[[listen]]\nservice = "imap"\nendpoint = "tcp:{self._port}:interface=127.0.0.1"\ntls = "none"\n'
        )
        settings = config.read_text().replace("proxy_processes = 1", "proxy_processes = 2")
        config.write_text(settings + door + 'proxy_protocol_from = ["127.0.0.0/8"]\n')
        self.house.apply_domains()
        self.house.service.start()
        assert len(self.house.service.workers("proxy")) == 2

    def login(self, client: str, name: str, password: str) -> bytes:
        """Log in once from an address; returns the answer."""
        version_6 = ":" in client
        door = Endpoint("2001:db8::143", 143) if version_6 else DOOR
        with socket.create_connection(("127.0.0.1", self._port), 120) as raw:
            raw.sendall(proxy_header(Endpoint(client, 40000), door))
            raw.sendall(f'a LOGIN {name} "{password}"\r\nb LOGOUT\r\n'.encode())
            said = b"".join(iter(lambda: raw.recv(4096), b""))
        return next(line for line in said.split(b"\r\n") if line.startswith(b"a "))

    def guess(self, wanted: Iterable[tuple[str, str]]) -> int:
        """Type one wrong password for each address and name; returns how many were judged."""
        with ThreadPoolExecutor(AT_ONCE) as many:
            said = list(many.map(lambda who: self.login(*who[1], f"guess {who[0]}"), enumerate(wanted)))
        assert {line.split(b"]")[0] for line in said} <= {b"a NO [AUTHENTICATIONFAILED", b"a NO [UNAVAILABLE"}
        return sum(b"AUTHENTICATIONFAILED" in line for line in said)

    def asked(self) -> int:
        """Return how many passwords the source refused, of all processes."""
        url = f"http://127.0.0.1:{self.house.service.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as page:
            found = re.findall(
                rb'^mailferry_source_checks_total\{[^}]*verdict="refused"[^}]*\} ([0-9.]+)',
                page.read(),
                re.MULTILINE,
            )
        return int(sum(map(float, found)))


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[Balanced]:
    made = Balanced(tmp_path)
    yield made
    made.house.close()


def test_guesses_of_many_addresses_and_sprays_of_one_reach_the_source_in_small_numbers(
    balanced: Balanced,
) -> None:
    password = balanced.house.password
    assert balanced.login("198.51.100.200", USER, password).startswith(b"a OK")
    assert balanced.guess((client, USER) for client in MANY) == 5
    assert balanced.asked() == 5
    assert balanced.login(MANY[0], USER, password).startswith(b"a OK"), "the owner gets in"
    assert balanced.guess((ONE, f"user{n}@{DOMAIN}") for n in range(60)) <= 15
    assert 5 < balanced.asked() <= 5 + 15
    assert balanced.login(MANY[-1], COLLEAGUE, password).startswith(b"a OK"), "a first login goes on"
