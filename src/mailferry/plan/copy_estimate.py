"""How much there is to copy and how long it takes, from a listing and a few messages that were read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailferry.plan.pace import PaceLimits

_DAY = 86400.0
LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Sample:
    """What was listed and read: octets are sums."""

    messages: int
    """All messages of the account."""
    listed: int = 0
    listed_octets: int = 0
    read: int = 0
    read_octets: int = 0
    seconds: float = 0.0
    """How long the reading took."""


class Slowed(StrEnum):
    """What of the source's terms makes a copy take longer than the speed that was measured."""

    BY_DAY = "the octets that it gives a day"
    BY_HOURS = "the hours in which it may be copied from"


@dataclass(frozen=True, slots=True)
class Estimate:
    """`hours` is None where nothing could be read."""

    messages: int
    octets: int
    hours: float | None
    limit: Slowed | None = None


def estimate(sample: Sample, limits: PaceLimits, *, exact_sizes: bool) -> Estimate:
    """Return what the copy of the account is likely to take.

    Sizes are hints where they are not `exact_sizes`: then what was read counts. `limits` are the source's.
    """
    octets = round(sample.messages * octets_each(sample, exact_sizes=exact_sizes))
    if not sample.read:
        return Estimate(sample.messages, octets, 0.0 if not sample.messages else None)
    seconds = sample.seconds or LEAST_SECONDS
    # a small message takes the time of a command, a large one that of its octets
    hours = (
        max(
            sample.messages * seconds / sample.read if not sample.read_octets else 0.0,
            octets * seconds / max(sample.read_octets, 1),
        )
        / 3600.0
    )
    allowed = limits.bytes_per_day
    by_day = octets / allowed * 24.0 if allowed else 0.0
    share = 1.0 if limits.hours is None else limits.hours.share
    if by_day > hours / share:
        return Estimate(sample.messages, octets, by_day, Slowed.BY_DAY)
    if share < 1.0:
        return Estimate(sample.messages, octets, hours / share, Slowed.BY_HOURS)
    return Estimate(sample.messages, octets, hours)


def octets_each(sample: Sample, *, exact_sizes: bool) -> float:
    """Return the size of a message on average, as far as anything tells it."""
    if sample.listed_octets and exact_sizes:
        return sample.listed_octets / max(sample.listed, 1)
    if sample.read:
        return sample.read_octets / sample.read
    return sample.listed_octets / max(sample.listed, 1)
