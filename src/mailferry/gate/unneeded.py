"""Closing a session that nobody gets: its octets go unheard until both ways are closed."""

from __future__ import annotations

from collections.abc import Callable

from mailferry.net.carrier import Carrier, ClosedReason


class Unneeded:
    """Closes a session that proved a password, and calls `on_closed` once when that is done."""

    def __init__(self, carrier: Carrier, on_closed: Callable[[], None]) -> None:
        self._on_closed = on_closed
        carrier.close()
        carrier.attach(self)

    def received(self, data: bytes) -> None:
        """Nothing is heard any more."""

    def pressure(self, full: bool) -> None:
        """Nothing is sent any more."""

    def closed(self, reason: ClosedReason) -> None:  # noqa: ARG002 - whatever the reason
        """Tell that both ways are closed."""
        self._on_closed()
