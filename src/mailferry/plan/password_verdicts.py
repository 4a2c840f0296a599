"""What follows from a password that the source accepted: what is pushed to the target, and who is still let in.

Design A4 as one table, read from the top: the first rule whose conditions hold is the verdict. Before
the flip the source is the authority; after it the target is, and the source is heard only about
passwords that the target still holds from us. Which server judges a login, and what follows from
every other answer, is `plan/routing`; a password gets here only when that table follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from mailferry.model.account import BEFORE_FLIP, Phase


class Holds(StrEnum):
    """Whose password the target holds now."""

    NOTHING_PUSHED = "nothing_pushed"
    """We never wrote one there."""
    OURS = "ours"
    """What we wrote: the stored hash is unchanged, or the last pushed password still logs in there."""
    OURS_UNPROVED = "ours_unproved"
    """A push was begun and no target login has shown yet that it arrived."""
    FOREIGN = "foreign"
    """Somebody changed it at the target, or chose one there before we wrote any."""
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
    """Everything that a verdict depends on; after the flip the target has refused the password before."""

    phase: Phase
    holds: Holds = Holds.NOTHING_PUSHED
    target_wins: bool = False
    """Somebody changed the password at the target before; an administrator resets this."""
    refused_before: bool = False
    """This password was accepted once and refused later: it is never accepted again."""
    pushed_by_us: bool = False
    """This password is the one that we pushed last; after the flip: and that worked at the target."""
    may_push: bool = True
    """The witness was confidential, or the domain pushes from plaintext, and it is no mere code."""


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """What follows for the client, for the store and for the target's backend."""

    let: Let
    push: Push = Push.NO
    sets_target_wins: bool = False
    why: str = ""
    """The rule's name, for logs and tests."""


def _before(f: PasswordFacts) -> bool:
    return f.phase in BEFORE_FLIP


_IN, _REFUSED, _TEMPORARY = (
    PasswordVerdict(Let.IN),
    PasswordVerdict(Let.REFUSED),
    PasswordVerdict(Let.TEMPORARY),
)
_WRITTEN = PasswordVerdict(Let.IN, push=Push.YES)
_WRITTEN_IF_UNCHANGED = PasswordVerdict(Let.IN, push=Push.IF_UNCHANGED)
_TARGET_WINS = PasswordVerdict(Let.REFUSED, sets_target_wins=True)

_RULES: tuple[tuple[str, Callable[[PasswordFacts], bool], PasswordVerdict], ...] = (
    # before the flip: the source is the authority
    ("source_accepts_but_target_wins", lambda f: _before(f) and f.target_wins, _IN),
    ("source_accepts", lambda f: _before(f) and f.may_push, _WRITTEN),
    ("source_accepts_unwitnessed", _before, _IN),
    # after the flip: the target is the authority
    ("refused_before", lambda f: f.refused_before, _REFUSED),
    ("target_wins", lambda f: f.target_wins, _REFUSED),
    ("what_we_pushed_is_refused", lambda f: f.pushed_by_us, _TARGET_WINS),
    ("changed_at_the_target", lambda f: f.holds is Holds.FOREIGN, _TARGET_WINS),
    ("whose_it_is_cannot_be_read", lambda f: f.holds is Holds.UNKNOWN, _TEMPORARY),
    ("nothing_may_be_pushed", lambda f: not f.may_push, _REFUSED),
    ("the_move_starts_late", lambda f: f.phase is Phase.LOCAL, _WRITTEN_IF_UNCHANGED),
    ("push_again", lambda f: f.holds is Holds.OURS_UNPROVED, _WRITTEN),
    ("first_push_after_the_flip", lambda f: f.holds is Holds.NOTHING_PUSHED, _WRITTEN_IF_UNCHANGED),
    ("follow_the_source", lambda _: True, _WRITTEN_IF_UNCHANGED),
)


def judge(facts: PasswordFacts) -> PasswordVerdict:
    """Return the verdict for `facts`; its `why` names the rule that spoke.

    `let` is what the client is told once a push named in the verdict has succeeded; when the push
    itself fails the answer is temporary, and when its compare-and-set fails the target wins.
    """
    for name, holds, verdict in _RULES:
        if holds(facts):
            return replace(verdict, why=name)
    raise AssertionError("the last rule always holds")
