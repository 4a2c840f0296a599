"""`make bench-console`: how long pages of the console take over a store of 100,000 accounts, on both databases.

The whole site answers over HTTP on this machine, signed in, one request after the other; each page is
asked for again and again. The goal is 200 ms for every page of accounts, whatever it is sorted by or
filtered for; the overview is told beside it.
"""

from __future__ import annotations

import argparse
import http.client
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy import Connection, insert

from bench.machine import described
from bench.page import put, table
from mailferry.model.access import Secret
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.observe.log import configure_log, get_log
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import ServiceKey
from mailferry.providers.loader import load_profiles
from mailferry.roster import sign_ins
from mailferry.store import domains
from mailferry.store.database import Database, db_now
from mailferry.store.schema import accounts, history, samples
from mailferry.web.desk import Desk
from mailferry.web.site import make_site
from mailferry.web.throttle import Throttle
from mailferry.web.tickets import Tickets
from tests.kit.live_site import live
from tests.kit.stores import empty_database

GOAL_MS = 200.0
PASSWORD = "of the bench alone"
NAMES = [f"d{number:02}.test" for number in range(12)]
_PHASES = (
    (Phase.IDLE, 30),
    (Phase.PRECOPY, 25),
    (Phase.BACKFILL, 5),
    (Phase.BLOCKED, 8),
    (Phase.SWITCHED, 30),
    (Phase.LOCAL, 2),
)
_CAUSES = (Cause.SERVER_DOWN, Cause.BAD_CREDENTIALS, Cause.PROTOCOL_DISABLED, Cause.EXPIRED, Cause.INCOMPLETE)

PAGES: Mapping[str, Mapping[str, str]] = {
    "first page": {},
    "one domain": {"domain": "d03.test"},
    "one state": {"state": "failed"},
    "state of a domain": {"domain": "d03.test", "state": "in_progress"},
    "one cause": {"cause": "server_down"},
    "who must act": {"actor": "administrator"},
    "search": {"search": "u0999"},
    "search that finds nothing": {"search": "nobody"},
    "search in a state": {"search": "99", "state": "done"},
    "by state": {"sort": "state"},
    "by percent, most first": {"sort": "percent", "down": "1"},
    "by last activity, newest first": {"sort": "activity", "down": "1"},
    "by percent in a state": {"sort": "percent", "state": "in_progress"},
}
"""What a row of the table is called, and what it asks for; each is asked for its first page and for one far behind."""


class Wall:
    """The wall clock."""

    def now(self) -> float:
        """Return the time."""
        return time.time()


def fill(database: Database, count: int, names: Sequence[str] = NAMES) -> None:
    """Make the accounts, with histories and a day of samples."""
    chance = random.Random(1)

    def begin(conn: Connection) -> None:
        for name in names:
            domains.add(conn, name, source_imap=f"imaps://imap.{name}")

    database.run_now("domains", begin)
    now = database.read_now("now", db_now)
    for at in range(0, count, 5000):
        rows = [_account(number, chance, names, now) for number in range(at, min(at + 5000, count))]
        pasts = [
            {
                "account_id": row["id"], "at": now - chance.random() * 30 * 86400, "event": "source_accepted",
                "phase_from": "IDLE", "phase_to": row["phase"], "epoch": 1,
            }
            for row in rows if row["phase"] != "IDLE"
        ]  # fmt: skip

        def write(conn: Connection, rows: Any = rows, pasts: Any = pasts) -> None:
            conn.execute(insert(accounts), rows)
            conn.execute(insert(history), pasts)

        database.run_now("accounts", write)
    minute = int(now // 60)
    points = [
        {
            "domain": name,
            "minute": minute - back,
            "messages": chance.randrange(2000),
            "octets": 10**7,
            "late": back % 7,
        }
        for name in names
        for back in range(1440)
    ]
    database.run_now("samples", lambda conn: conn.execute(insert(samples), points))


def _account(number: int, chance: random.Random, names: Sequence[str], now: float) -> dict[str, Any]:
    phase = chance.choices([one for one, _ in _PHASES], [weight for _, weight in _PHASES])[0]
    failed = phase is Phase.BLOCKED
    begun = phase not in {Phase.IDLE, Phase.LOCAL}
    total = chance.randrange(1, 50_000) if begun else 0
    copied = total if phase is Phase.SWITCHED else chance.randrange(total + 1)
    domain = chance.choice(names)
    return {
        "id": number + 1, "address": f"u{chance.randrange(10**6):06}-{number}@{domain}", "domain": domain,
        "phase": phase.value, "epoch": 1 if begun else 0, "added_at": now - 40 * 86400,
        "started_at": now - chance.random() * 86400 if begun else None,
        "last_run_ended_at": now - chance.random() * 86400 if begun else None,
        "cause": chance.choice(_CAUSES).value if failed else None, "last_result": "failed" if failed else None,
        "total": total, "copied": copied, "skipped": 0, "bytes_total": total * 30_000, "bytes_copied": copied * 30_000,
    }  # fmt: skip


class Reader:
    """A browser that is signed in."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self._connection = http.client.HTTPConnection(self._address.netloc, timeout=60)
        form = urlencode({"name": "bench", "password": PASSWORD})
        headers = {"origin": address, "content-type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/admin/sign-in", form, headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 303, answer.status
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    def get(self, path: str) -> tuple[float, str]:
        """Return the milliseconds until the whole page was there, and the page."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers={"cookie": self._cookie})
        answer = self._connection.getresponse()
        page = answer.read().decode()
        took = (time.perf_counter() - began) * 1000
        assert answer.status == 200, (path, answer.status, page[:500])
        return took, page


def next_of(page: str) -> str | None:
    """Return where the page's link to the next one leads."""
    _, _, rest = page.partition('rel="next" href="')
    return rest.partition('"')[0].replace("&amp;", "&") or None


def measured(reader: Reader, times: int, behind: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """Yield each kind of page with the times of its first page and of one `behind` pages further on."""
    for name, asked in PAGES.items():
        path = "/admin/accounts?" + urlencode(asked)
        further, turned = path, 0
        while turned < behind:
            following = next_of(reader.get(further)[1])
            if following is None:
                break
            further, turned = following, turned + 1
        yield (
            name,
            [reader.get(path)[0] for _ in range(times)],
            [reader.get(further)[0] for _ in range(times)],
        )
    yield "overview with its charts", [reader.get("/admin/?span=7d")[0] for _ in range(times)], []


def site_over(database: Database, folder: Path) -> Any:
    """Return the site; what asks mail servers is not there."""
    nobody: Any = None
    desk = Desk(
        database=database,
        keyring=KeyRing(folder / "keys", ServiceKey(Secret(b"k" * 32))),
        old_mailbox=nobody,
        checker=nobody,
        on_reactor=nobody,
        tickets=Tickets(b"t" * 32, Wall()),
        user_throttle=Throttle(time.monotonic),
        admin_throttle=Throttle(time.monotonic),
        log=get_log("bench"),
        seconds=time.monotonic,
        flips_file=folder / "flips.log",
        profiles=load_profiles(None),
        old_hosts=nobody,
    )
    return make_site(desk, doors=())


def bench(kind: str, count: int, times: int, behind: int) -> list[list[str]]:
    """Return the rows of one database: median and slowest of the first page, and of one far behind."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-console-") as name:
        folder = Path(name)
        url, remove = empty_database(kind, folder)
        database = Database(url)
        try:
            database.upgrade()
            fill(database, count)
            sign_ins.add(database, "bench", Secret(PASSWORD.encode()), who="bench")
            with live(site_over(database, folder)) as address:
                for row in measured(Reader(address), times, behind):
                    rows.append([f"{row[0]}, {kind}", *_cells(row[1]), *_cells(row[2])])
                    print("  ".join(rows[-1]), flush=True)
        finally:
            database.close()
            remove()
    return rows


def _cells(taken: Sequence[float]) -> list[str]:
    return [f"{statistics.median(taken):.0f}", f"{max(taken):.0f}"] if taken else ["", ""]


def missed(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the pages of accounts whose slowest answer took longer than the goal."""
    return [
        row[0]
        for row in rows
        if not row[0].startswith("overview") and any(float(cell) >= GOAL_MS for cell in row[1:] if cell)
    ]


def main() -> int:
    """Measure, print, and with --write put the table on the page; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20, help="requests for each page")
    parser.add_argument(
        "--behind", type=int, default=25, help="how many pages behind the first the far one is"
    )
    parser.add_argument("--store", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    asked = parser.parse_args()
    configure_log(level="error")
    head = ["page", "first, ms (median)", "slowest", "far behind, ms (median)", "slowest"]
    rows = []
    for kind in asked.store or ("sqlite", "postgresql"):
        rows += bench(kind, asked.accounts, asked.times, asked.behind)
    late = missed(rows)
    verdict = (
        f"Over the goal of {GOAL_MS:.0f} ms: {', '.join(late)}."
        if late
        else f"All pages of accounts are under {GOAL_MS:.0f} ms."
    )
    said = f"{asked.accounts:,} accounts in {len(NAMES)} domains, {asked.times} requests for each page, by `make bench-console` on {described(Path.cwd())}."
    text = f"{said}\n\n{table(head, rows)}\n\n{verdict}"
    print(text)
    if asked.write:
        put("console", text)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
