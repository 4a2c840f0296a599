"""When an account may be frozen, and what a last pass must have shown before the flip.

Pure decisions over figures that the copier gathered: it waits until the predicted last pass fits
the freeze budget or the rounds are used up, then for a quiet moment, then freezes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_ROUNDS = 6
"""Passes after which a cutover is tried whatever the prediction says."""

QUIET_SECONDS = 60.0
"""An IMAP session silent for so long, or standing in IDLE, rests."""

DRAIN_SECONDS = 10.0
"""A drain that has not ended all sessions by then is dropped."""

FREEZE_MARGIN_SECONDS = 5.0
"""Time inside the freeze that is not the pass: connecting, comparing, committing."""

MAX_OVERRUNS = 3


class Step(StrEnum):
    """What the copier does next with an account before its flip."""

    PASS_AGAIN = "pass_again"  # noqa: S105 - a step, not a password
    HOLD = "hold"
    CUT_OVER = "cut_over"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class PassFigures:
    """What the finished pass measured: its length and what it leaves to a pass that starts now."""

    round_number: int
    seconds: float
    copied: int
    clean: bool
    deletions_held: bool
    quality_good: bool
    uidls_ready: bool
    password_proved: bool


def next_step(figures: PassFigures, *, freeze_budget: float, overruns: int) -> Step:
    """Return what follows a pass.

    A pass that copied nothing predicts the last one best: it took what listing and comparing take.
    HOLD waits for somebody or something else (held deletions, an unproved password, suspect
    completeness); PASS_AGAIN starts another round at once.
    """
    if overruns >= MAX_OVERRUNS:
        return Step.GIVE_UP
    if not figures.clean:
        return Step.PASS_AGAIN if figures.round_number < MAX_ROUNDS else Step.HOLD
    if figures.deletions_held or not figures.quality_good or not figures.password_proved:
        return Step.HOLD
    if not figures.uidls_ready:
        return Step.HOLD
    fits = figures.copied == 0 and figures.seconds <= freeze_budget
    if fits or figures.round_number >= MAX_ROUNDS:
        return Step.CUT_OVER
    return Step.PASS_AGAIN


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One row of the sessions table, as far as a quiet moment is concerned."""

    protocol: str
    resting: bool


def is_quiet(sessions: Sequence[OpenSession]) -> bool:
    """Whether a drain may start: no POP3 session, and each IMAP session rests."""
    return all(s.protocol == "imap" and s.resting for s in sessions)
