"""The life of an account: one enum of phases, one transition table, five states shown.

Phases are stored; states are a pure function of the phase. Trigger, cause and counts are separate
columns of the store and never a phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """Where an account stands (docs/architecture.md draws the table below)."""

    IDLE = "IDLE"
    PRECOPY = "PRECOPY"
    FREEZE = "FREEZE"
    BACKFILL = "BACKFILL"
    BLOCKED = "BLOCKED"
    STALLED = "STALLED"
    SWITCHED = "SWITCHED"
    CLOSED = "CLOSED"
    LOCAL = "LOCAL"


class State(StrEnum):
    """What users, administrators and metrics are shown."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    FAILED = "failed"
    NOT_MIGRATING = "not_migrating"


class Event(StrEnum):
    """What moves an account to another phase."""

    SOURCE_ACCEPTED = "source_accepted"
    SOURCE_ACCEPTED_AT_ONCE = "source_accepted_at_once"
    TARGET_ONLY = "target_only"
    MARKED_LOCAL = "marked_local"
    FREEZE_SET = "freeze_set"
    EARLY_SWITCH = "early_switch"
    TARGET_ACCEPTED_FOREIGN = "target_accepted_foreign"
    GAVE_UP = "gave_up"
    FLIPPED = "flipped"
    BACKED_OUT = "backed_out"
    HISTORY_COMPLETE = "history_complete"
    RETRIED = "retried"
    OLD_PASSWORD_ENTERED = "old_password_entered"  # noqa: S105 - an event, not a password
    RESET = "reset"
    WINDOW_OVER = "window_over"
    WINDOW_REOPENED = "window_reopened"


class Trigger(StrEnum):
    """What started a move; with its time fixed for ever."""

    IMAP = "imap"
    POP3 = "pop3"
    WEBMAIL = "webmail"
    SMTP = "smtp"
    IMPORT = "import"


TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.IDLE, Event.SOURCE_ACCEPTED): Phase.PRECOPY,
    (Phase.IDLE, Event.SOURCE_ACCEPTED_AT_ONCE): Phase.BACKFILL,
    (Phase.IDLE, Event.TARGET_ONLY): Phase.LOCAL,
    (Phase.IDLE, Event.MARKED_LOCAL): Phase.LOCAL,
    (Phase.PRECOPY, Event.FREEZE_SET): Phase.FREEZE,
    (Phase.PRECOPY, Event.EARLY_SWITCH): Phase.BACKFILL,
    (Phase.PRECOPY, Event.TARGET_ACCEPTED_FOREIGN): Phase.BACKFILL,
    (Phase.PRECOPY, Event.GAVE_UP): Phase.BLOCKED,
    (Phase.BLOCKED, Event.EARLY_SWITCH): Phase.BACKFILL,
    (Phase.BLOCKED, Event.TARGET_ACCEPTED_FOREIGN): Phase.BACKFILL,
    (Phase.BLOCKED, Event.RETRIED): Phase.PRECOPY,
    (Phase.FREEZE, Event.FLIPPED): Phase.SWITCHED,
    (Phase.FREEZE, Event.BACKED_OUT): Phase.PRECOPY,
    (Phase.BACKFILL, Event.HISTORY_COMPLETE): Phase.SWITCHED,
    (Phase.BACKFILL, Event.GAVE_UP): Phase.STALLED,
    (Phase.STALLED, Event.RETRIED): Phase.BACKFILL,
    (Phase.LOCAL, Event.OLD_PASSWORD_ENTERED): Phase.BACKFILL,
    (Phase.LOCAL, Event.RESET): Phase.IDLE,
    (Phase.SWITCHED, Event.WINDOW_OVER): Phase.CLOSED,
    (Phase.CLOSED, Event.WINDOW_REOPENED): Phase.SWITCHED,
}

STATES: Mapping[Phase, State] = {
    Phase.IDLE: State.NOT_STARTED,
    Phase.PRECOPY: State.IN_PROGRESS,
    Phase.FREEZE: State.IN_PROGRESS,
    Phase.BACKFILL: State.IN_PROGRESS,
    Phase.BLOCKED: State.FAILED,
    Phase.STALLED: State.FAILED,
    Phase.SWITCHED: State.DONE,
    Phase.CLOSED: State.DONE,
    Phase.LOCAL: State.NOT_MIGRATING,
}

BEFORE_FLIP = frozenset({Phase.IDLE, Phase.PRECOPY, Phase.BLOCKED, Phase.FREEZE})
"""Phases whose sessions are rows in the store: the account may still be, or go, at the source."""

ON_TARGET = frozenset({Phase.BACKFILL, Phase.STALLED, Phase.SWITCHED, Phase.CLOSED, Phase.LOCAL})

FOLLOWED_ON_TARGET = frozenset({Phase.BACKFILL, Phase.STALLED, Phase.SWITCHED})
"""Phases on the target in which mail is fetched from the source, for which its password is kept."""

COPIED_IN = frozenset({Phase.PRECOPY, Phase.BACKFILL})
"""Phases in which the copier works on the account by itself."""


def state_of(phase: Phase) -> State:
    """Return the state that is shown for `phase`."""
    return STATES[phase]


def next_phase(phase: Phase, event: Event) -> Phase | None:
    """Return the phase that `event` leads to from `phase`, or None when it does not apply there."""
    return TRANSITIONS.get((phase, event))
