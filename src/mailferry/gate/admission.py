"""The words between a face and the gate: a login attempt goes in, an admission comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailferry.model.access import Credentials, Side
from mailferry.model.access import Protocol as MailProtocol
from mailferry.model.account import Trigger
from mailferry.model.causes import Answer, Cause
from mailferry.model.tap import Deletions, Tap
from mailferry.net.carrier import Carrier
from mailferry.wire.proxy_header import Endpoint

_FACES: Mapping[Trigger | None, str] = {Trigger.SMTP: "smtp", Trigger.WEBMAIL: "web"}


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """One try of a user to log in; `credentials` hold the name as typed and the password's octets.

    `client` is where it comes from, as the socket (or a trusted PROXY header) says; `door` is the address
    of ours that it came to, None where it is not known (a web page). `starts_as` is what a first
    accepted login starts the move as, where that is not the protocol of the session (gate/checking.py).
    """

    protocol: MailProtocol
    credentials: Credentials
    client: Endpoint
    session_id: str
    door: Endpoint | None = None
    starts_as: Trigger | None = None

    @property
    def trigger(self) -> Trigger:
        """What a first accepted login starts the move as."""
        return self.starts_as or Trigger(self.protocol.value)

    @property
    def face(self) -> str:
        """Where it came in, as the log and the metrics name it."""
        return _FACES.get(self.starts_as, self.protocol.value)


class Relayed(Protocol):
    """What relays a session, as the gate sees it."""

    def stop(self) -> None:
        """End at the next boundary between commands."""
        ...

    def abort(self, reason: str) -> None:
        """End where the session stands, for the reason given."""
        ...

    def quiet_for(self) -> float | None:
        """Return the seconds since the last octet of either side while the session rests between commands.

        Infinity while it stands in IMAP's IDLE, and None while a command runs or nobody can tell.
        """
        ...

    def deletions(self) -> Deletions:
        """Return what the server deleted for this session so far."""
        ...


class LiveSession(Protocol):
    """A relayed session as the gate sees it: it can be looked at, ended between commands, and it ends."""

    def attach(self, relayed: Relayed) -> None:
        """Register what relays the session."""
        ...

    def ended(self) -> None:
        """Tell that nothing reaches the server any more: its row goes away, with a last look at `deletions`.

        Safe to call twice.
        """
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """The session that proved the password, ready to be relayed.

    `residual` are octets that the server sent behind its last login answer; they go to the client
    first. `capabilities` are the server's own after login. `tap` stands in the pipe, or nobody does.
    `protocol_name` and `side` are for the log and the metrics.
    """

    carrier: Carrier
    side: Side
    session: LiveSession
    capabilities: tuple[bytes, ...] = ()
    residual: bytes = b""
    tap: Tap | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """No session: judged, or could not be asked.

    `text` is what the client reads, `english` the same in ASCII. `cause` is the true one, which a client
    is not always told: an unknown user reads as a wrong password. Rejections that read the same are equal.
    """

    answer: Answer
    text: str
    english: str = ""
    cause: Cause | None = field(default=None, compare=False)


Admission = Admitted | Rejected
