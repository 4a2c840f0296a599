"""What the roster refuses: the request is understood and cannot be done as things stand."""

from __future__ import annotations


class RosterRefusal(Exception):
    """A request of an administrator that is refused; the message says why and what to do."""
