"""What can be asked of a rehearsal, judged before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mailferry.lab.quirks import UnknownQuirk, quirks_named, quirks_of_provider
from mailferry.lab.sabotage import SABOTAGES
from mailferry.providers.loader import load_profiles
from mailferry.providers.remedies import no_passwords


class WrongTerms(ValueError):
    """What was asked for cannot be rehearsed; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is rehearsed: a provider's or single quirks, how much mail, and what is broken on purpose."""

    folder: Path
    provider: str = "generic"
    quirks: tuple[str, ...] = ()
    dovecot: bool = False
    """Two real Dovecots instead of the lab's own hosts."""
    sabotage: str | None = None
    messages: int = 400

    def old_hosts_quirks(self) -> tuple[str, ...]:
        """Return all quirks of the old host. Raises WrongTerms."""
        if self.sabotage is not None and self.sabotage not in SABOTAGES:
            raise WrongTerms(f"no sabotage is called {self.sabotage!r}; write one of {', '.join(SABOTAGES)}")
        profile = load_profiles(None).get(self.provider)
        unmovable = None if profile is None else no_passwords(profile)
        if unmovable is not None:
            raise WrongTerms(f"there is no move to rehearse: {unmovable.en}")
        try:
            quirks = quirks_of_provider(self.provider) | quirks_named(self.quirks)
        except UnknownQuirk as error:
            raise WrongTerms(str(error)) from error
        if self.dovecot and (self.quirks or self.provider not in {"generic", "dovecot"}):
            raise WrongTerms("real Dovecots have no quirks to choose; leave --provider and --quirk out")
        return tuple(sorted(quirks))
