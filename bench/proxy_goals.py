"""The proxy's figures that a release must reach: beside nginx and haproxy in the same run, or by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from bench.goal import Goal
from bench.load_generator import Load
from bench.proxy_figures import AFTER, BEFORE, BULK, LOGIN, Beside, Figures
from bench.proxy_peers import HAPROXY, NGINX
from bench.ratios import ratio

Read = Callable[[Figures], float | None]


def login_times(lane: str, other: str, *, tls: bool) -> Read:
    """Return what reads how many times the CPU of another proxy a login through this lane takes."""

    def read(figures: Figures) -> float | None:
        ours, theirs = (figures.cpu_of_thousand(one, tls=tls) for one in (lane, other))
        return ratio(ours, theirs, generator_busy=figures.busy((lane, other), LOGIN, tls=tls))

    return read


def bulk_times(lane: str, *, tls: bool = False) -> Read:
    """Return what reads how many times as fast as the faster of haproxy and nginx this lane relays."""
    others = (HAPROXY.name, NGINX.name)

    def read(figures: Figures) -> float | None:
        rounds = [figures.megabytes(other, tls=tls) for other in others]
        fastest = [max(pair) for pair in zip(*rounds, strict=False)]
        busy = figures.busy((lane, *others), BULK, tls=tls)
        return ratio(figures.megabytes(lane, tls=tls), fastest, generator_busy=busy)

    return read


def _idle(lane: str, *, tls: bool) -> Read:
    """Return what reads the KiB of a session, where there were most of them."""

    def read(figures: Figures) -> float | None:
        counts = [key[2] for key in figures.grown if key[:2] == (lane, tls)]
        return median(figures.grown[lane, tls, max(counts)]) if counts else None

    return read


def _tap(figures: Figures) -> float | None:
    with_tap, without = (_idle(lane, tls=False)(figures) for lane in (BEFORE, AFTER))
    return None if with_tap is None or without is None else with_tap - without


def _trip_times(*, tls: bool) -> Read:
    """Return what reads how many times nginx's whole round trip ours takes."""
    return lambda figures: ratio(figures.trips(AFTER, tls=tls), figures.trips(NGINX.name, tls=tls))


def _longest_life(figures: Figures) -> float | None:
    """Read when the last was gone: 60 s from its coming, and what a busy loop is late by."""
    trials: Sequence[float] = [
        trial.longest if not trial.left else float("inf") for trial in figures.strangers
    ]
    return max(trials) if trials else None


def _login_meanwhile(figures: Figures) -> float | None:
    trials = [trial.logins.p99 * 1000 for trial in figures.strangers]
    return max(trials) if trials else None


def _beside(alone: Callable[[Beside], float], beside: Callable[[Beside], float]) -> Read:
    return lambda figures: ratio(
        [beside(one) for one in figures.beside], [alone(one) for one in figures.beside]
    )


def _p50(load: Load) -> float:
    return load.p50


def _p99(load: Load) -> float:
    return load.p99


GOALS: tuple[Goal[Figures], ...] = (
    Goal("login CPU after the flip, times nginx's", 1.5, 1.1, login_times(AFTER, "nginx", tls=False), more_is_better=False),
    Goal("the same over TLS", 1.3, 1.1, login_times(AFTER, "nginx", tls=True), more_is_better=False),
    Goal("login CPU before the flip, times nginx's", 3, 2, login_times(BEFORE, "nginx", tls=False), more_is_better=False),
    Goal("bulk without a tap, times the faster of haproxy and nginx", 1.2, 1.6, bulk_times(AFTER)),
    Goal("bulk with a tap, times the faster of both", 0.9, 0.9, bulk_times(BEFORE)),
    Goal("an idle session, KiB", 2, 1, _idle(AFTER, tls=False), more_is_better=False),
    Goal("an idle session over TLS, KiB", 20, 16, _idle(AFTER, tls=True), more_is_better=False),
    Goal("what a tap adds to an idle session, KiB", 16, 16, _tap, more_is_better=False),
    Goal("NOOP p50, times nginx's", 1.5, 1.15, _trip_times(tls=False), more_is_better=False),
    Goal("the same over TLS", 1.6, 1.15, _trip_times(tls=True), more_is_better=False),
    Goal("longest life of a connection without login, s", 61, 61, _longest_life, more_is_better=False),
    Goal("login p99 beside these, ms", 500, 500, _login_meanwhile, more_is_better=False),
    Goal(
        "login p50 beside two copies, times without",
        2, 1.3, _beside(lambda one: _p50(one.login_alone), lambda one: _p50(one.login_beside)), more_is_better=False,
    ),
    Goal(
        "NOOP p99 beside two copies, times without",
        2, 1.3, _beside(lambda one: _p99(one.noop_alone), lambda one: _p99(one.noop_beside)), more_is_better=False,
    ),
)  # fmt: skip
