"""Every metric of the program, declared once (docs/metrics.md explains each).

No label ever holds an address, a client or anything else of which there can be any number:
`Labels` admits named values only and turns the rest into `other`. With PROMETHEUS_MULTIPROC_DIR
set before the first import (observe/metrics_dir.py) every process writes to a file there and
`render` adds them up; otherwise this process alone is shown.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from typing import Final, Generic, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from mailferry.model.access import Protocol, Side
from mailferry.model.account import State
from mailferry.observe.metrics_dir import VARIABLE, give_back_room_of

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OTHER: Final = "other"
MOST_NAMES: Final = 64
"""How many different names an open label (a provider, a backend, a skip reason) may take."""

REGISTRY: Final = CollectorRegistry()
# A second series beside each counter that tells nothing a restart does not:
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types there

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class Open:
    """A label whose names come from configuration: short, at most `MOST_NAMES` of them."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def admit(self, value: str) -> str:
        """Return `value`, or `other` when it is no short name or there are too many already."""
        if value in self._seen:
            return value
        if len(self._seen) >= MOST_NAMES or not _NAME.fullmatch(value):
            return OTHER
        self._seen.add(value)
        return value


class Closed:
    """A label with a fixed set of values."""

    __slots__ = ("values",)

    def __init__(self, *values: str) -> None:
        self.values = frozenset(values)

    def admit(self, value: str) -> str:
        """Return `value`, or `other` when it is not in the set."""
        return value if value in self.values else OTHER


Labels = Mapping[str, Open | Closed]


ChildT = TypeVar("ChildT", bound=Counter | Gauge)


class _Children(Generic[ChildT]):
    """The series of one metric, each looked up once; what strangers name is looked up each time."""

    __slots__ = ("_known", "_labels", "_metric")

    def __init__(self, metric: ChildT, labels: Labels) -> None:
        self._metric = metric
        self._labels = labels
        self._known: dict[tuple[str, ...], ChildT] = {}

    def of(self, values: Mapping[str, str]) -> ChildT:
        """Return the series with these labels."""
        key = (*values, *values.values())
        known = self._known.get(key)
        if known is not None:
            return known
        labels = self._labels
        if values.keys() != labels.keys():
            raise ValueError(f"labels are {sorted(labels)}, given were {sorted(values)}")
        admitted = {name: labels[name].admit(str(value)) for name, value in values.items()}
        child = cast("ChildT", self._metric.labels(**admitted)) if admitted else self._metric
        if admitted == values:
            self._known[key] = child
        return child


class CountOf:
    """A number that only grows, with bounded labels."""

    kind: Final = "counter"

    def __init__(self, name: str, about: str, labels: Labels | None = None) -> None:
        self.name, self.about, self.labels = name, about, labels or {}
        counter = Counter(name, about, tuple(self.labels), registry=REGISTRY)
        self._children = _Children(counter, self.labels)

    def add(self, amount: float = 1, **labels: str) -> None:
        """Add `amount` under these labels."""
        self._children.of(labels).inc(amount)


class LevelOf:
    """A number that goes up and down.

    `shared="livesum"` adds up what each living process holds (`move` it); `"livemostrecent"` is a
    fact that any process may state, the latest counts (`put` it).
    """

    kind: Final = "gauge"

    def __init__(self, name: str, about: str, labels: Labels | None = None, *, adds_up: bool) -> None:
        self.name, self.about, self.labels = name, about, labels or {}
        gauge = Gauge(
            name,
            about,
            tuple(self.labels),
            registry=REGISTRY,
            multiprocess_mode="livesum" if adds_up else "livemostrecent",
        )
        self._children = _Children(gauge, self.labels)

    def move(self, amount: float, **labels: str) -> None:
        """Add `amount`, which may be negative, to this process's share."""
        self._children.of(labels).inc(amount)

    def put(self, value: float, **labels: str) -> None:
        """State the present value."""
        self._children.of(labels).set(value)


class SpreadOf:
    """How long something took, in seconds, as a histogram."""

    kind: Final = "histogram"

    def __init__(self, name: str, about: str, buckets: tuple[float, ...]) -> None:
        self.name, self.about, self.labels = name, about, dict[str, Open | Closed]()
        self._histogram = Histogram(name, about, buckets=buckets, registry=REGISTRY)

    def took(self, seconds: float) -> None:
        """Record one duration."""
        self._histogram.observe(seconds)


_PROTOCOL = Closed(*(protocol.value for protocol in Protocol), "smtp", "web", "auth_http", "sasl")
_SIDE = Closed(*(side.value for side in Side), "none")
_VERDICT = Closed("accepted", "refused", "temporary")

ACCOUNTS = LevelOf(
    "mailferry_accounts",
    "Accounts by the state that is shown for them.",
    {"state": Closed(*(state.value for state in State))},
    adds_up=False,
)
LOGINS = CountOf(
    "mailferry_logins_total",
    "Logins answered, by protocol, side that judged and verdict.",
    {"protocol": _PROTOCOL, "side": _SIDE, "verdict": _VERDICT},
)
LOGIN_SECONDS = SpreadOf(
    "mailferry_login_seconds",
    "From a client's credentials to our answer.",
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60),
)
SESSIONS = LevelOf(
    "mailferry_sessions",
    "Sessions relayed now.",
    {"protocol": _PROTOCOL, "side": _SIDE},
    adds_up=True,
)
RELAYED_BYTES = CountOf(
    "mailferry_relayed_bytes_total",
    "Bytes relayed, by direction.",
    {"direction": Closed("to_client", "to_server")},
)
SOURCE_CHECKS = CountOf(
    "mailferry_source_checks_total",
    "Passwords asked at a source, by provider profile and verdict.",
    {"provider": Open(), "verdict": Closed("accepted", "refused", "unavailable")},
)
GUESSES_HELD = CountOf(
    "mailferry_guesses_held_total",
    "Login attempts kept away from a source by the guessing shield.",
)
PASSWORD_PUSHES = CountOf(
    "mailferry_password_pushes_total",
    "Passwords set at the target, by backend and result.",
    {
        "backend": Open(),
        "result": Closed("done", "created", "conflict", "missing", "failed", "refused", "proved", "unproved"),
    },
)
COPIED_MESSAGES = CountOf("mailferry_copied_messages_total", "Messages copied to a target.")
COPIED_BYTES = CountOf("mailferry_copied_bytes_total", "Bytes of messages copied to a target.")
SKIPPED_MESSAGES = CountOf(
    "mailferry_skipped_messages_total",
    "Messages that could not be copied, by named reason.",
    {"reason": Open()},
)
COPY_PASS_SECONDS = SpreadOf(
    "mailferry_copy_pass_seconds",
    "Length of one pass over an account.",
    (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
)
COPY_QUEUE = LevelOf("mailferry_copy_queue", "Accounts whose copy work is due and waits.", adds_up=False)
CUTOVERS = CountOf(
    "mailferry_cutovers_total",
    "Attempts to move an account to its target, by result.",
    {"result": Closed("flipped", "backed_out", "overrun", "drain_failed", "deadline")},
)
FREEZE_SECONDS = SpreadOf(
    "mailferry_freeze_seconds",
    "How long an account was served by nobody.",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 25, 60, 300),
)
LATE_MESSAGES = CountOf("mailferry_late_messages_total", "Messages fetched from a source after the flip.")
BACKEND_UP = LevelOf(
    "mailferry_backend_up",
    "1 when the last try to reach this side worked, 0 when it did not.",
    {"side": _SIDE},
    adds_up=False,
)
WINDOWS_ENDING = LevelOf(
    "mailferry_windows_ending",
    "Domains whose window ends within this many days.",
    {"days": Closed("1", "3", "7", "30")},
    adds_up=False,
)
DOMAINS_IN_CLEAR = LevelOf(
    "mailferry_domains_in_clear", "Domains with a server that we speak to without TLS.", adds_up=False
)
NOTICES = CountOf(
    "mailferry_notices_total",
    "Notices to users and administrators, by way and result.",
    {"audience": Closed("user", "webhook", "mail"), "result": Closed("sent", "failed", "dropped")},
)
BUILD_INFO = LevelOf(
    "mailferry_build_info",
    "Always 1; the labels tell what runs.",
    {"version": Open(), "python": Open()},
    adds_up=False,
)

ALL: Final[tuple[CountOf | LevelOf | SpreadOf, ...]] = (
    ACCOUNTS,
    LOGINS,
    LOGIN_SECONDS,
    SESSIONS,
    RELAYED_BYTES,
    SOURCE_CHECKS,
    GUESSES_HELD,
    PASSWORD_PUSHES,
    COPIED_MESSAGES,
    COPIED_BYTES,
    SKIPPED_MESSAGES,
    COPY_PASS_SECONDS,
    COPY_QUEUE,
    CUTOVERS,
    FREEZE_SECONDS,
    LATE_MESSAGES,
    BACKEND_UP,
    WINDOWS_ENDING,
    DOMAINS_IN_CLEAR,
    NOTICES,
    BUILD_INFO,
)
"""All of them, for the page that explains each and the test that compares."""


def tell_build(version: str) -> None:
    """State which version runs."""
    BUILD_INFO.put(1, version=version, python=platform.python_version())


def render(extra_collectors: Iterable[Collector] = ()) -> bytes:
    """Return all metrics of all processes in the text format, and what `extra_collectors` add."""
    registry = CollectorRegistry()
    if os.environ.get(VARIABLE):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types there
    else:
        registry.register(REGISTRY)
    for collector in extra_collectors:
        registry.register(collector)
    shown = generate_latest(registry)
    return shown + b"".join(
        _declared(metric) for metric in ALL if f"# TYPE {metric.name} ".encode() not in shown
    )


def _declared(metric: CountOf | LevelOf | SpreadOf) -> bytes:
    """Return the head of a metric that has no series yet: whoever sets up an alert finds it by its name."""
    return f"# HELP {metric.name} {metric.about}\n# TYPE {metric.name} {metric.kind}\n".encode()


def forget_process(pid: int) -> None:
    """Take the levels of a dead process away; what it counted stays. The parent calls it."""
    if os.environ.get(VARIABLE):
        give_back_room_of(pid)
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types there
