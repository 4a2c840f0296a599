"""Whether a domain's source still takes good passwords at all, as this process sees it.

Kept in memory: a process that starts anew learns it again within a few logins.
"""

from __future__ import annotations

from collections.abc import Callable

from mailferry.plan.refusal_context import AT_ONCE_SECONDS

MOST_ACCOUNTS = 100
"""So many accounts of a domain are enough to know."""


class SourcePulse:
    """The accounts whose last good password was refused since the last login that was accepted, by domain."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._refused: dict[str, dict[str, float]] = {}

    def accepted(self, domain: str) -> None:
        """Note a login that the source accepted."""
        self._refused.pop(domain, None)

    def good_refused(self, domain: str, address: str) -> None:
        """Note that the source refused the password that it took of this account before."""
        accounts = self._refused.setdefault(domain, {})
        if address in accounts or len(accounts) < MOST_ACCOUNTS:
            accounts[address] = self._seconds()

    def refused_at_once(self, domain: str) -> int:
        """Return how many accounts were refused so within `AT_ONCE_SECONDS`."""
        since = self._seconds() - AT_ONCE_SECONDS
        accounts = self._refused.get(domain, {})
        for address in [address for address, at in accounts.items() if at < since]:
            del accounts[address]
        return len(accounts)
