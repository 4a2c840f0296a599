"""Whose turn is next when more accounts are due than there is room for.

Hosts share evenly, then the domains of one host, then its accounts by how long they have been due: so
neither a domain of ten thousand accounts nor a slow host keeps the others waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """Due accounts of one domain."""

    domain: str
    host: str
    accounts: int
    due_at: float
    """Since when the first of them is due."""


def shares(
    waiting: Sequence[Waiting],
    free: int,
    *,
    running_domains: Mapping[str, int],
    running_hosts: Mapping[str, int],
    rooms: Mapping[str, int | None],
    beyond: int = 0,
) -> Counter[str]:
    """Return how many accounts of which domain get the `free` turns.

    `running_*` are the accounts that are worked on now, in whichever process; `rooms` is host to how many
    may be, None for any number. A host of which nothing is worked on gets a turn beyond the
    free ones, at most `beyond` of them: others' long turns do not shut it out.
    """
    by_domain: Counter[str] = Counter(running_domains)
    by_host: Counter[str] = Counter(running_hosts)
    left = {one.domain: one.accounts for one in waiting}
    chosen: Counter[str] = Counter()
    while True:
        ready = [one for one in waiting if left[one.domain] > 0 and _has_room(one.host, by_host, rooms)]
        if free <= 0:
            ready = [one for one in ready if beyond > 0 and not by_host[one.host]]
        if not ready:
            return chosen
        best = min(ready, key=lambda one: (by_host[one.host], by_domain[one.domain], one.due_at, one.domain))
        if free > 0:
            free -= 1
        else:
            beyond -= 1
        chosen[best.domain] += 1
        left[best.domain] -= 1
        by_domain[best.domain] += 1
        by_host[best.host] += 1


def _has_room(host: str, by_host: Mapping[str, int], rooms: Mapping[str, int | None]) -> bool:
    room = rooms.get(host)
    return room is None or by_host[host] < room
