"""What a mailbox's books hold beside the ledger: intents, what they brought about, and skipped messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailferry.store.intents import Trait
from mailferry.store.ledger_blocks import LedgerEntry


@dataclass(frozen=True, slots=True)
class PendingIntent:
    """An APPEND of which nobody noted what became of it."""

    id: int
    target_uidvalidity: int
    target_uidnext: int
    source_uidvalidity: int | None
    source_uids: tuple[int, ...]
    age: float
    """Seconds since it was written, on the database's clock."""
    traits: Mapping[int, Trait] = field(default_factory=dict)
    examined: bool = False
    """An earlier pass looked for it and copied what it did not find."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What an intent brought about: its id, entries for the ledger, and how many octets they are."""

    intent: int
    entries: Sequence[LedgerEntry]
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """A message that was left out: why, and whether it is to be tried again now."""

    reason: str
    due: bool
    size: int | None = None
