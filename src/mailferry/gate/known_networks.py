"""The client networks from which somebody logged in, as this process saw them.

Kept in memory: a process that starts anew learns them again within a few logins, for which passwords
that are known good need no share of anybody's budget.
"""

from __future__ import annotations

MOST_NETWORKS = 20_000
"""The network that logged in longest ago is forgotten first: 2 MB at most."""


class KnownNetworks:
    """Keyed hashes of networks, in the order of their last login."""

    def __init__(self, *, most: int = MOST_NETWORKS) -> None:
        self._networks: dict[bytes, None] = {}
        self._most = most

    def __contains__(self, network: bytes) -> bool:
        return network in self._networks

    def logged_in(self, network: bytes) -> None:
        """Note a login from `network`."""
        self._networks.pop(network, None)
        self._networks[network] = None  # at the end
        while len(self._networks) > self._most:
            del self._networks[next(iter(self._networks))]
