"""What the console and the API ask of mail servers: detection, a real login, messages that were not copied,
and a comparison of both sides.

The work itself is done above this floor; the web process hands it in. Whatever an administrator names
is resolved, checked against `allow_networks` and dialled as checked by the one connector (T37).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from mailferry.model.access import Secret, Server
from mailferry.providers.detection import Gathered
from mailferry.store.domains import Domain


class CheckLine(Protocol):
    """One thing that was looked at; `sign` is `ok`, `note`, `fault` or `you` (only people can look)."""

    @property
    def sign(self) -> str:
        """How it ended."""
        ...

    @property
    def what(self) -> str:
        """What was looked at, in English."""
        ...

    @property
    def found(self) -> str:
        """What was seen, in English; a server's own words as it gave them."""
        ...

    @property
    def fix(self) -> str:
        """What to do about it, in English; empty for nothing."""
        ...

    @property
    def fix_zh(self) -> str:
        """What to do about it, in Chinese."""
        ...

    @property
    def what_zh(self) -> str:
        """What was looked at, in Chinese."""
        ...

    @property
    def found_zh(self) -> str:
        """What was seen, in Chinese."""
        ...


class MappedMailbox(Protocol):
    """One mailbox of the account; without a `target` it is left out, and `why` says so."""

    @property
    def source(self) -> str:
        """Its name at the source."""
        ...

    @property
    def target(self) -> str | None:
        """Its name at the target."""
        ...

    @property
    def role(self) -> str | None:
        """Its role there, such as `sent`."""
        ...

    @property
    def why(self) -> str:
        """A word of `MappedBy` or `LeftOut`."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a connection test found."""

    lines: Sequence[CheckLine]
    mapping: Sequence[MappedMailbox] = ()

    @property
    def well(self) -> bool:
        """Whether nothing speaks against a move."""
        return all(line.sign != "fault" for line in self.lines)


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """A message in its file, or why there is none."""

    file: Path | None
    why: str = ""


Gather = Callable[[Gathered, Sequence[Server]], Deferred[Gathered]]
"""Fills in what DNS and servers tell."""


class TestSource(Protocol):
    """Really logs in; `stored` tells whether the domain is in the store, where the outcome is noted then."""

    def __call__(
        self, domain: Domain, account: str | None, password: Secret | None, *, stored: bool
    ) -> Deferred[Report]:
        """Return the report; fails with RosterRefusal or StoreUnavailable."""
        ...


FetchSkipped = Callable[[str, int, int, Path], Deferred[FetchedMessage]]
"""Fetches one message (address, number of the mailbox, source UID) into a folder; fails with RemoteFailure."""


Tell = Callable[[dict[str, Any]], None]
"""Hears of each difference."""

Watch = Callable[[Callable[[], dict[str, Any]]], None]
"""Gets at the beginning what returns the sums as they are."""

Verify = Callable[[str, float, Tell, Watch], Deferred[dict[str, Any]]]
"""Compares an account's two sides (address, share of the bodies) and gives the sums; fails with RosterRefusal,
StoreUnavailable and RemoteFailure."""


@dataclass(frozen=True, slots=True)
class OldHosts:
    """The four questions."""

    gather: Gather
    test: TestSource
    fetch: FetchSkipped
    verify: Verify
