"""Sign-ins as signed tickets: who somebody is, as what, and until when; held by the browser in a cookie.

A ticket is `payload.signature` (HMAC-SHA256 under a key derived from the service key), so that a
restart of the web process signs nobody out. Each sign-in gets a fresh one. One that was ended by
signing out is remembered here until it would have expired.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.clock import Clock

_LONGEST = 2048


class Kind(StrEnum):
    """As what somebody is signed in; a ticket of one kind is none of the other."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says. `mark` binds it to the password that it was given for."""

    kind: Kind
    name: str
    until: float
    mark: str
    number: str


class Tickets:
    """Gives tickets and reads them; usable from any thread."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def give(self, kind: Kind, name: str, *, seconds: float, mark: str = "") -> str:
        """Return a fresh ticket that is good for `seconds`."""
        facts = [kind.value, name, self._clock.now() + seconds, mark, secrets.token_urlsafe(16)]
        payload = base64.urlsafe_b64encode(json.dumps(facts).encode())
        return f"{payload.decode()}.{self._signature(payload)}"

    def read(self, kind: Kind, text: str | None) -> Ticket | None:
        """Return what a ticket of ours says; None for any other text, an expired and an ended one."""
        if text is None or len(text) > _LONGEST or not text.isascii():
            return None
        payload, _, signature = text.partition(".")
        if not hmac.compare_digest(signature, self._signature(payload.encode())):
            return None
        try:
            named, name, until, mark, number = json.loads(base64.urlsafe_b64decode(payload))
        except (ValueError, binascii.Error):  # signed by us, in the shape of another version
            return None
        if named != kind.value or until <= self._clock.now() or number in self._ended:
            return None
        return Ticket(kind, name, until, mark, number)

    def end(self, ticket: Ticket) -> None:
        """Let the ticket be good no longer."""
        now = self._clock.now()
        with self._lock:
            self._ended = {number: until for number, until in self._ended.items() if until > now}
            self._ended[ticket.number] = ticket.until

    def _signature(self, payload: bytes) -> str:
        return hmac.new(self._key, payload, hashlib.sha256).hexdigest()


def mark_of(verifier: str) -> str:
    """Return what a ticket keeps of the verifier it was given for: another password ends the ticket."""
    return hashlib.sha256(verifier.encode()).hexdigest()[:32]
