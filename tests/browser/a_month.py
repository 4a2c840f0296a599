"""What a month of a move leaves behind, for pages that show it over time: freezes, flips and samples."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from bench.console import fill
from mailferry.model.account import Event, Phase
from mailferry.store.database import Database, db_now
from mailferry.store.schema import history, samples

DAY = 1440
"""Minutes."""
DAYS = 30
OCTETS_EACH = 30_000


def fill_month(store: Database, count: int, names: Sequence[str]) -> None:
    """Make so many accounts of domains, and what they did in the last month."""
    fill(store, count, names)

    def work(conn: Connection) -> None:
        chance, now = random.Random(2), db_now(conn)
        moved = conn.execute(
            select(history.c.id, history.c.account_id, history.c.at).where(
                history.c.phase_to == Phase.SWITCHED.value
            )
        ).all()
        conn.execute(
            update(history)
            .where(history.c.id.in_([row.id for row in moved]))
            .values(phase_to=Phase.PRECOPY.value)
        )
        flips = [row for one in moved for row in _flip(one.account_id, one.at, now, chance)]
        conn.execute(insert(history), flips)
        conn.execute(delete(samples))
        conn.execute(insert(samples), list(_samples(chance, int(now // 60), names)))

    store.run_now("a month", work)


def _flip(account_id: int, began: float, now: float, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Freeze an account for some tenths of a second before it lives on the target."""
    took = 0.1 + chance.random() ** 3
    flipped = began + took + (now - began - took) * chance.random()
    for epoch, (at, event, before, after) in enumerate(
        (
            (flipped - took, Event.FREEZE_SET, Phase.PRECOPY, Phase.FREEZE),
            (flipped, Event.FLIPPED, Phase.FREEZE, Phase.SWITCHED),
        ),
        start=2,
    ):
        yield {
            "account_id": account_id, "at": at, "event": event.value,
            "phase_from": before.value, "phase_to": after.value, "epoch": epoch,
        }  # fmt: skip


def _samples(chance: random.Random, last: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Copies go at night, logins come by day, and late mail grows with those who have moved."""
    backs = [*range(2 * DAY), *range(2 * DAY, DAYS * DAY, 15)]
    for back in backs:
        minutes = 1 if back < 2 * DAY else 15
        night = 1 + math.cos((last - back) / DAY * math.tau)
        for number, name in enumerate(names, start=1):
            messages = round(200 * minutes * (0.3 + night) * (0.7 + 0.3 * chance.random()) / number)
            yield {
                "domain": name, "minute": last - back, "messages": messages,
                "octets": messages * OCTETS_EACH, "logins": round((2.3 - night) * 12 * minutes / number),
                "late": int((DAYS - back / DAY) / 100 * minutes / number + chance.random()),
            }  # fmt: skip
