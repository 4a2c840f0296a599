from __future__ import annotations

from mailferry.lab.free_ports import free_port


def test_ports_are_free_distinct_and_below_those_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < 32768
