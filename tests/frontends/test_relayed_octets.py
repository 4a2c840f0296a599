"""Octets are told to the metrics in sums, once a second while they move and when a session ends."""

from __future__ import annotations

from twisted.internet.task import Clock

from mailferry.frontends.relayed_octets import RelayedOctets
from mailferry.observe.metrics import REGISTRY


def told() -> dict[str, float]:
    """Return what the metrics say of both directions."""
    name = "mailferry_relayed_bytes_total"
    return {
        way: REGISTRY.get_sample_value(name, {"direction": way}) or 0.0 for way in ("to_server", "to_client")
    }


def test_octets_are_told_once_a_second_and_none_is_lost_or_told_twice() -> None:
    before, clock = told(), Clock()
    relayed = RelayedOctets(clock.seconds)
    relayed.count("to_server", 10)
    relayed.count("to_client", 500)
    assert told() == before
    clock.advance(1)
    relayed.count("to_server", 1)
    after = told()
    assert (after["to_server"] - before["to_server"], after["to_client"] - before["to_client"]) == (11, 500)
    clock.advance(0.5)
    relayed.count("to_client", 7)
    assert told() == after
    relayed.tell()
    relayed.tell()
    assert told() == {"to_server": after["to_server"], "to_client": after["to_client"] + 7}
