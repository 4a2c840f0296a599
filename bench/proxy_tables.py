"""The page's tables about the proxy: medians of the rounds, beside the others, and the goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.goal import goals_table
from bench.page import table
from bench.proxy_figures import AFTER, BEFORE, BULK, DIRECT, LOGIN, NOOP, Figures
from bench.proxy_goals import GOALS, bulk_times, login_times
from bench.proxy_peers import DOVECOT, HAPROXY, NGINX, PERDITION
from bench.ratios import BUSY_GENERATOR

ROWS = (DIRECT, HAPROXY.name, NGINX.name, DOVECOT.name, PERDITION.name, AFTER, BEFORE)
OURS = (AFTER, BEFORE)
_SHOWN = {LOGIN: "logins", BULK: "bulk", NOOP: "round trips"}


def section(
    figures: Figures, versions: Mapping[str, str], *, told: str, sessions: Sequence[int], goals: bool = True
) -> str:
    """Return everything that is said about the proxy; `told` says how and where it was measured."""
    parts = [
        told,
        _login(figures, versions),
        _bulk(figures, versions),
        _idle(figures, versions, sessions),
        _trips(figures, versions),
        _strangers(figures),
        _beside(figures),
        _busy(figures),
        _failed(figures),
        goals_table(GOALS, figures) if goals else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _named(lane: str, versions: Mapping[str, str]) -> str:
    name, comma, more = lane.partition(",")
    return f"{name} {versions[name]}{comma}{more}" if name in versions else lane


def _cell(values: Sequence[float], form: str) -> str:
    return format(median(values), form) if values else ""


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}x"


def _rows(figures: Figures, step: str) -> list[str]:
    return [lane for lane in ROWS if (lane, step, False) in figures.runs]


def _login(figures: Figures, versions: Mapping[str, str]) -> str:
    rows = []
    for lane in _rows(figures, LOGIN):
        plain, secure = (figures.cpu_of_thousand(lane, tls=tls) for tls in (False, True))
        compared = lane not in {DIRECT, NGINX.name}
        rows.append(
            [
                _named(lane, versions),
                _cell(figures.rates(lane, tls=False), ",.0f"),
                _spread(plain),
                _times(login_times(lane, NGINX.name, tls=False)(figures)) if compared else "",
                _spread(secure),
                _times(login_times(lane, NGINX.name, tls=True)(figures)) if compared else "",
            ]
        )
    head = ["proxy", "cycles/s", "CPU s per 1,000", "times nginx", "TLS: CPU s per 1,000", "times nginx"]
    return _headed("Login, SELECT, LOGOUT", head, rows)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _bulk(figures: Figures, versions: Mapping[str, str]) -> str:
    rows = []
    for lane in _rows(figures, BULK):
        cells = [_named(lane, versions)]
        for tls in (False, True):
            cells += [
                _cell(figures.megabytes(lane, tls=tls), ",.0f"),
                _cell(figures.cpu_of_gigabyte(lane, tls=tls), ".2f"),
                _times(bulk_times(lane, tls=tls)(figures)) if lane in OURS else "",
            ]
        rows.append(cells)
    columns = ["MB/s", "CPU s per GB", "times the faster of haproxy and nginx"]
    head = ["proxy", *columns, *(f"TLS: {column}" for column in columns)]
    return _headed("One stream of large messages", head, rows)


def _idle(figures: Figures, versions: Mapping[str, str], sessions: Sequence[int]) -> str:
    rows = []
    for lane in ROWS:
        cells = [
            _cell(figures.grown.get((lane, tls, count), []), ".1f")
            for tls in (False, True)
            for count in sessions
        ]
        if any(cells):
            base = figures.base.get(lane, [])
            rows.append([_named(lane, versions), *cells, _cell(base, ".1f")])
    head = [
        "proxy", *(f"at {count:,}" for count in sessions), *(f"TLS: at {count:,}" for count in sessions),
        "without sessions, MB",
    ]  # fmt: skip
    return _headed("Memory of an idle session, KiB", head, rows)


def _trips(figures: Figures, versions: Mapping[str, str]) -> str:
    rows = []
    direct = figures.trips(DIRECT, tls=False)
    for lane in _rows(figures, NOOP):
        cells = [_named(lane, versions)]
        for tls in (False, True):
            middle = figures.trips(lane, tls=tls)
            added = [a - b for a, b in zip(middle, direct, strict=False)]
            worst = figures.trips(lane, tls=tls, worst=True)
            cells += [
                _cell(middle, ".0f"),
                _cell(worst, ".0f"),
                "" if lane == DIRECT else _cell(added, ".0f"),
            ]
        rows.append(cells)
    columns = ["p50", "p99", "added to p50"]
    head = ["proxy", *columns, *(f"TLS: {column}" for column in columns)]
    return _headed("Round trip of a NOOP, microseconds", head, rows)


def _strangers(figures: Figures) -> str:
    lines = []
    for trial in figures.strangers:
        lives = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in trial.lives.items())
        gone = "all were gone" if not trial.left else f"**{trial.left:,} were kept**"
        lines.append(
            f"{trial.came:,} connections that never log in: {gone}; longest lives: {lives}. "
            f"{trial.logins.done:,} good logins meanwhile: p50 {trial.logins.p50 * 1000:.0f} ms, p99 "
            f"{trial.logins.p99 * 1000:.0f} ms, longest {trial.logins.worst * 1000:.0f} ms. "
            f"All of it took {trial.cpu:.1f} CPU s."
        )
    return "\n".join(["**Who never logs in**", "", *lines]) if lines else ""


def _beside(figures: Figures) -> str:
    if not figures.beside:
        return ""
    rows = []
    columns: list[tuple[str, Callable[[float], str]]] = [
        ("login p50, ms", lambda seconds: f"{seconds * 1e3:.1f}"),
        ("login p99, ms", lambda seconds: f"{seconds * 1e3:.1f}"),
        ("NOOP p50, us", lambda seconds: f"{seconds * 1e6:.0f}"),
        ("NOOP p99, us", lambda seconds: f"{seconds * 1e6:.0f}"),
    ]
    for name, logins, trips in (
        (
            "no copies",
            [one.login_alone for one in figures.beside],
            [one.noop_alone for one in figures.beside],
        ),
        (
            "two copies",
            [one.login_beside for one in figures.beside],
            [one.noop_beside for one in figures.beside],
        ),
    ):
        values = [
            median(load.p50 for load in logins),
            median(load.p99 for load in logins),
            median(load.p50 for load in trips),
            median(load.p99 for load in trips),
        ]
        rows.append([name, *(shown(value) for (_, shown), value in zip(columns, values, strict=True))])
    return _headed("Sessions while accounts are copied", ["", *(name for name, _ in columns)], rows)


def _busy(figures: Figures) -> str:
    """Say how busy the generator was, and where it was too busy for a ratio."""
    lines = []
    for step, shown in _SHOWN.items():
        for tls in (False, True):
            lanes = [lane for lane in ROWS if (lane, step, tls) in figures.runs]
            shares = {lane: figures.busy([lane], step, tls=tls) for lane in lanes}
            for lane, share in shares.items():
                if share > BUSY_GENERATOR and lane != DIRECT:
                    lines.append(f"- {shown}{', TLS' * tls}, {lane}: {share:.2f} of a core")
    if not lines:
        return ""
    return "\n".join(
        ["The generator was at its own limit here, so that no ratio is made of these:", "", *lines]
    )


def _failed(figures: Figures) -> str:
    return "\n".join(f"- {lane} failed and is left out: {why}" for lane, why in figures.failed.items())


def _headed(heading: str, head: list[str], rows: list[list[str]]) -> str:
    return f"**{heading}**\n\n{table(head, rows)}" if rows else ""
