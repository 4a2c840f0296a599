"""The user comes first: whoever holds a session at an account's source leaves when its user wants in.

The gate does not know the copier. A POP3 login writes its session row before it dials, and a login
that the source turns away for too many sessions notes that in the account's row; the copier looks at
both once a second and calls `user_waits`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from mailferry.copying.results import Waits
from mailferry.model.access import Protocol

LOOK_SECONDS = 1.0
"""Between two looks at the store; leaving takes no time, so that a user waits for two seconds at most."""
PAUSE_SECONDS = 5.0
"""How long the copier stays away from a maildrop that its user wanted."""
USER_FIRST = Waits(30.0, "the user needs a session at the source")


class Courtesy:
    """What of one account's sessions at the source can be made to leave. One for each turn of an account."""

    def __init__(self) -> None:
        self._leaving: dict[object, tuple[Protocol, Callable[[], None]]] = {}

    @contextmanager
    def holding(self, protocol: Protocol, leave: Callable[[], None]) -> Iterator[None]:
        """Have `leave` called when the user waits for what is held in here."""
        key = object()
        self._leaving[key] = protocol, leave
        try:
            yield
        finally:
            self._leaving.pop(key, None)

    def user_waits(self, protocols: Collection[Protocol]) -> None:
        """Make everything leave that keeps the user from a login over one of these."""
        for key, (protocol, leave) in list(self._leaving.items()):
            if protocol in protocols:
                self._leaving.pop(key, None)
                leave()
