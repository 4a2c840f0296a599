"""Faults of a request that a page tells of: what was posted is no use, or nobody is signed in."""

from __future__ import annotations


class BadRequest(Exception):
    """A request that cannot be used; the message is for its sender and repeats nothing of it."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class NotSignedIn(Exception):
    """A page for somebody who is signed in, asked for by somebody who is not; `door` is where to sign in."""

    def __init__(self, door: str) -> None:
        super().__init__("sign in first")
        self.door = door
