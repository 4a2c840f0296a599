"""What a password that some server judged means: who is let in, what is kept, what is pushed.

Design A3 and A4 as one table, read from the top: the first rule whose conditions hold is the
verdict. Before the flip the source is the authority; after it the target is, and the source is
heard only while the window is open and only about passwords that the target still holds from us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.account import Phase


class Said(StrEnum):
    """What one server said about one password."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    NOT_ASKED = "not_asked"


class Holds(StrEnum):
    """Whose password the target holds now."""

    NOTHING_PUSHED = "nothing_pushed"
    """We never wrote one there."""
    OURS = "ours"
    """What we wrote: the stored hash is unchanged, or the last pushed password still logs in."""
    OURS_UNPROVED = "ours_unproved"
    """A push was begun and no target login has shown yet that it arrived."""
    FOREIGN = "foreign"
    """Somebody changed it at the target."""
    UNKNOWN = "unknown"
    """It could not be read."""


class Let(StrEnum):
    """What the client is told."""

    IN = "in"
    REFUSED = "refused"
    TEMPORARY = "temporary"


class Push(StrEnum):
    """What is written to the target's password backend."""

    NO = "no"
    YES = "yes"
    """The source is the authority: write it."""
    IF_UNCHANGED = "if_unchanged"
    """Write it by compare-and-set on what we wrote last; when that fails the target wins."""


@dataclass(frozen=True, slots=True)
class PasswordFacts:
    """Everything that a verdict depends on."""

    phase: Phase
    source: Said
    target: Said
    window_open: bool = True
    holds: Holds = Holds.NOTHING_PUSHED
    target_wins: bool = False
    """Somebody changed the password at the target before; an administrator resets this."""
    refused_before: bool = False
    """This password was accepted once and refused later: it is never accepted again."""
    accepted_before: bool = False
    """This password matches a verifier of ours: some server accepted it once."""
    pushed_by_us: bool = False
    """This password is the one that we pushed last."""
    may_push: bool = True
    """The witness was confidential, or the domain pushes from plaintext, and it is no mere code."""


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """What follows for the client, for the store and for the target's backend."""

    let: Let
    push: Push = Push.NO
    keep: bool = False
    """Becomes the newest verified password: verifier, and sealed while a copy needs it."""
    proves_push: bool = False
    """The target took the password that we pushed: the push counts from now on."""
    sets_target_wins: bool = False
    remember_refused: bool = False
    """Kept as a slow hash and never accepted again."""
    why: str = ""
    """The rule's name, for logs and tests."""


_BEFORE = frozenset({Phase.IDLE, Phase.PRECOPY, Phase.BLOCKED})
_FOLLOWING = frozenset({Phase.BACKFILL, Phase.STALLED, Phase.SWITCHED})

_Condition = Callable[[PasswordFacts], bool]


def _target_alone(f: PasswordFacts) -> bool:
    return f.phase is Phase.CLOSED or (
        not f.window_open and f.phase not in {Phase.PRECOPY, Phase.BLOCKED, Phase.FREEZE}
    )


def _before(f: PasswordFacts) -> bool:
    return f.phase in _BEFORE


def _after(f: PasswordFacts) -> bool:
    return f.phase in _FOLLOWING or f.phase is Phase.LOCAL


def _source_only(f: PasswordFacts) -> bool:
    return _after(f) and f.target is Said.REFUSED and f.source is Said.ACCEPTED


_IN, _REFUSED, _TEMPORARY = Let.IN, Let.REFUSED, Let.TEMPORARY

_RULES: tuple[tuple[str, _Condition, PasswordVerdict], ...] = (
    ("freeze_waits", lambda f: f.phase is Phase.FREEZE, PasswordVerdict(_TEMPORARY)),
    (
        "target_alone_accepts",
        lambda f: _target_alone(f) and f.target is Said.ACCEPTED,
        PasswordVerdict(_IN),
    ),
    (
        "target_alone_refuses",
        lambda f: _target_alone(f) and f.target is Said.REFUSED,
        PasswordVerdict(_REFUSED),
    ),
    ("target_alone_is_down", _target_alone, PasswordVerdict(_TEMPORARY)),
    # before the flip: the source is the authority
    (
        "source_accepts_but_target_wins",
        lambda f: _before(f) and f.source is Said.ACCEPTED and f.target_wins,
        PasswordVerdict(_IN, keep=True),
    ),
    (
        "source_accepts",
        lambda f: _before(f) and f.source is Said.ACCEPTED and f.may_push,
        PasswordVerdict(_IN, push=Push.YES, keep=True),
    ),
    (
        "source_accepts_unwitnessed",
        lambda f: _before(f) and f.source is Said.ACCEPTED,
        PasswordVerdict(_IN, keep=True),
    ),
    (
        "source_took_it_back",
        lambda f: _before(f) and f.source is Said.REFUSED and f.pushed_by_us,
        PasswordVerdict(_REFUSED, remember_refused=True),
    ),
    (
        "refused_for_ever",
        lambda f: _before(f) and f.source is Said.REFUSED and f.refused_before,
        PasswordVerdict(_REFUSED),
    ),
    (
        "target_accepts_a_foreign_one",
        lambda f: _before(f) and f.source is Said.REFUSED and f.target is Said.ACCEPTED,
        PasswordVerdict(_IN),
    ),
    (
        "both_refuse",
        lambda f: _before(f) and f.source is Said.REFUSED and f.target is Said.REFUSED,
        PasswordVerdict(_REFUSED),
    ),
    (
        "source_down_target_accepts",
        lambda f: f.phase is Phase.IDLE and f.source is Said.UNAVAILABLE and f.target is Said.ACCEPTED,
        PasswordVerdict(_IN),
    ),
    ("source_cannot_be_asked", _before, PasswordVerdict(_TEMPORARY)),
    # after the flip: the target is the authority
    (
        "target_accepts_what_we_pushed",
        lambda f: _after(f) and f.target is Said.ACCEPTED and f.pushed_by_us,
        PasswordVerdict(_IN, proves_push=True),
    ),
    ("target_accepts", lambda f: _after(f) and f.target is Said.ACCEPTED, PasswordVerdict(_IN)),
    (
        "target_cannot_be_asked",
        lambda f: _after(f) and f.target is not Said.REFUSED,
        PasswordVerdict(_TEMPORARY),
    ),
    ("refused_before", lambda f: _after(f) and f.refused_before, PasswordVerdict(_REFUSED)),
    ("target_wins", lambda f: _after(f) and f.target_wins, PasswordVerdict(_REFUSED)),
    (
        "the_move_starts_late",
        lambda f: _source_only(f) and f.phase is Phase.LOCAL and f.may_push,
        PasswordVerdict(_IN, push=Push.YES, keep=True),
    ),
    (
        "changed_at_the_target",
        lambda f: _source_only(f) and f.holds is Holds.FOREIGN,
        PasswordVerdict(_REFUSED, sets_target_wins=True),
    ),
    (
        "whose_it_is_cannot_be_read",
        lambda f: _source_only(f) and f.holds is Holds.UNKNOWN,
        PasswordVerdict(_TEMPORARY),
    ),
    ("nothing_may_be_pushed", lambda f: _source_only(f) and not f.may_push, PasswordVerdict(_REFUSED)),
    (
        "push_again",
        lambda f: _source_only(f) and f.holds is Holds.OURS_UNPROVED,
        PasswordVerdict(_IN, push=Push.YES, keep=True),
    ),
    (
        "first_push_after_the_flip",
        lambda f: _source_only(f) and f.holds is Holds.NOTHING_PUSHED,
        PasswordVerdict(_IN, push=Push.IF_UNCHANGED, keep=True),
    ),
    ("follow_the_source", _source_only, PasswordVerdict(_IN, push=Push.IF_UNCHANGED, keep=True)),
    (
        "both_took_it_back",
        lambda f: f.source is Said.REFUSED and f.accepted_before,
        PasswordVerdict(_REFUSED, remember_refused=True),
    ),
    ("both_refuse_after", lambda f: f.source is Said.REFUSED, PasswordVerdict(_REFUSED)),
    ("source_down_after", lambda f: f.source is Said.UNAVAILABLE, PasswordVerdict(_TEMPORARY)),
    ("source_not_asked_yet", lambda _: True, PasswordVerdict(_REFUSED)),
)


def judge(facts: PasswordFacts) -> PasswordVerdict:
    """Return the verdict for `facts`; its `why` names the rule that spoke.

    `let` is what the client is told once a push named in the verdict has succeeded; when the push
    itself fails the answer is temporary, and when its compare-and-set fails the target wins.
    """
    for name, holds, verdict in _RULES:
        if holds(facts):
            return PasswordVerdict(
                let=verdict.let,
                push=verdict.push,
                keep=verdict.keep,
                proves_push=verdict.proves_push,
                sets_target_wins=verdict.sets_target_wins,
                remember_refused=verdict.remember_refused,
                why=name,
            )
    raise AssertionError("the last rule always holds")
