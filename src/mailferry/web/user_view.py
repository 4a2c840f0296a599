"""What a signed-in user sees of the account: how the move stands, what stopped it, and what may be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailferry.gate.place import Place
from mailferry.model.account import Phase, State, state_of
from mailferry.model.causes import CAUSES, Actor, Cause
from mailferry.model.profile import CheckStep, Profile
from mailferry.providers.remedies import remedies
from mailferry.providers.sentences import user_advice
from mailferry.roster.account_views import eta_seconds, percent

LOOKS_AGAIN_SECONDS: Mapping[State, int] = {State.IN_PROGRESS: 3, State.FAILED: 30}
"""How often an open page asks how the move stands."""

_TELLS_EVERY = 25
"""Percent between two sentences that a screen reader speaks."""
_SHOWS_PROGRESS = frozenset({State.IN_PROGRESS, State.FAILED, State.DONE})
_UNBEGUN = frozenset({Phase.IDLE, Phase.LOCAL})


@dataclass(frozen=True, slots=True)
class Remedy:
    """What mends a failure. `advice` is by language, `steps` are the provider's own, `provider` its name."""

    advice: Mapping[str, str]
    actor: Actor
    steps: tuple[CheckStep, ...] = ()
    provider: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """How the move of one account stands. Times are seconds since 1970."""

    address: str
    state: State
    window_over: bool
    may_start: bool
    window_ends_at: float | None = None
    paused: bool = False
    percent: float = 0.0
    total: int = 0
    copied: int = 0
    skipped: int = 0
    octets: int = 0
    left_seconds: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    remedy: Remedy | None = None

    @property
    def looks_again(self) -> int | None:
        """After how many seconds the page asks again; None when nothing is to come."""
        return LOOKS_AGAIN_SECONDS.get(self.state)

    @property
    def shows_progress(self) -> bool:
        """Whether there is a copy to tell of."""
        return self.state in _SHOWS_PROGRESS and self.total > 0

    @property
    def may_try_again(self) -> bool:
        """Whether another password, or another try, may help."""
        return self.state is State.FAILED

    @property
    def quarter(self) -> int:
        """How many quarters are copied."""
        return int(self.percent // _TELLS_EVERY)


def view_of(place: Place, profiles: Mapping[str, Profile], *, now: float) -> View:
    """Return what the user sees; the servers' own words are the administrator's. `now` as `time.time()`."""
    account, ends_at = place.account, place.domain.window_ends_at
    state = state_of(place.phase)
    unbegun = place.phase in _UNBEGUN
    over = not place.window_open and (unbegun or state is State.DONE)
    may_start = place.window_open and place.listed and unbegun
    if account is None:
        return View(place.address, state, window_over=over, may_start=may_start, window_ends_at=ends_at)
    failed = account.cause if state is State.FAILED else None
    return View(
        place.address,
        state,
        window_over=over,
        may_start=may_start,
        window_ends_at=ends_at,
        paused=account.paused or place.domain.paused,
        percent=percent(account),
        total=account.total,
        copied=account.copied,
        skipped=account.skipped,
        octets=account.bytes_copied,
        left_seconds=eta_seconds(account, now=now),
        started_at=account.started_at,
        finished_at=account.finished_at,
        remedy=None if failed is None else _remedy(failed, profiles.get(place.domain.provider)),
    )


def _remedy(cause: Cause, profile: Profile | None) -> Remedy:
    actor, advice = CAUSES[cause].actor, user_advice(cause)
    steps = () if profile is None else remedies(cause, profile)
    return Remedy(advice, actor, steps, profile.names if profile is not None and steps else None)
