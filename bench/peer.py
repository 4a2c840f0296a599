"""What every copier of a comparison is to the bench: one job, prepared, run again and again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.measuring import Cost
from tests.kit.peer_dovecot import Dovecot


@dataclass(frozen=True, slots=True)
class Job:
    """One account that is to be copied into a fresh one."""

    source: Dovecot
    source_user: str
    target: Dovecot
    target_user: str
    protocol: str
    """`imap` or `pop3`: what the source is read by."""
    folder: Path
    """Empty; for the copier's own files."""


class Peer(Protocol):
    """A copier at work on one job."""

    keeps_octets: bool
    """Whether its copies are the same octets; one that adds a header is judged by counts only."""

    def run(self) -> Cost:
        """Bring the target up to date; raises RunFailed."""
        ...

    def finish(self) -> None:
        """End what runs for this job; safe to repeat."""
        ...


class CopierKind(Protocol):
    """A kind of copier."""

    name: str
    protocols: tuple[str, ...]
    """What it can read a source by."""
    repeats: tuple[str, ...]
    """The protocols over which a second run copies only what is new."""
    asks_target: bool
    """Whether it speaks IMAP with the target, so that the target's capabilities are something to it."""

    def version(self) -> str:
        """Return the version; raises PeerMissing when the program is not on this machine."""
        ...

    def prepare(self, job: Job) -> Peer:
        """Get ready for a job; what this takes is not measured."""
        ...
