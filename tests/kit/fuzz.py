"""Throws octets at every parser, dialogue and tap for as long as asked: `python -m tests.kit.fuzz --seconds 60`.

Ends with status 1 at the first property that does not hold, with the smallest octets that show it.
"""

from __future__ import annotations

import argparse
import functools
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded

from tests.kit.fuzz_targets import TARGETS, Target

LONGEST = 1.0
"""Seconds of processor time that one input may take."""


def throw(name: str, target: Target, *, inputs: int, seed: int) -> int:
    """Try `inputs` inputs; returns how many were tried. Raises what the property raised, inputs made small."""
    tried = 0

    @functools.wraps(target.holds, assigned=())
    def one(case: Any) -> None:
        nonlocal tried
        tried += 1
        started = time.process_time()
        target.holds(case)
        spent = time.process_time() - started
        assert spent < LONGEST, f"{spent:.1f} s for one input"

    del one.__wrapped__  # hypothesis looks at the signature
    one.__name__ = one.__qualname__ = name.replace(" ", "_")
    rules = settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        verbosity=Verbosity.normal,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run: Callable[[], None] = seeded(seed)(rules(given(target.given)(one)))
    run()
    return tried


def main(arguments: Sequence[str] | None = None) -> int:
    """Go round the targets until the time is over; print how often each was tried."""
    parser = argparse.ArgumentParser(
        prog="fuzz", description="hostile octets for parsers, dialogues and taps"
    )
    parser.add_argument("target", nargs="*", help=f"only these: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="repeat a run")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.target) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}")
    names = chosen.target or list(TARGETS)
    seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    tried = dict.fromkeys(names, 0)
    deadline = time.monotonic() + chosen.seconds
    turn = 0
    while turn == 0 or time.monotonic() < deadline:
        for name in names:
            if turn and time.monotonic() >= deadline:
                break
            try:
                tried[name] += throw(name, TARGETS[name], inputs=200, seed=seed + turn)
            except BaseException:
                print(f"{name} does not hold; repeat it with: --seed {seed + turn} '{name}'", file=sys.stderr)
                raise
        turn += 1
    for name in names:
        print(f"{name:18} {tried[name]:8} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
