"""What a dialogue asks of whoever carries its octets: a list of actions after each event.

A dialogue does no I/O and keeps no time. The carrier of a dialogue performs its actions in order;
after `Close`, `Proved` or `Failed` nothing more comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mailferry.model.access import Credentials
from mailferry.model.causes import Answer
from mailferry.wire.proxy_header import Endpoint


@dataclass(frozen=True, slots=True)
class Send:
    """Write these octets; their repr is a count, for they may hold a password."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """Become TLS behind what was sent so far, then call `secured()`."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client gave credentials: find out about them, then call `answer()`.

    `credentials.authcid` is the name as typed, decoded; `mechanism` is for the log. `client` is whom a
    webmail that is believed speaks for, None for who speaks for himself.
    """

    credentials: Credentials
    mechanism: str
    client: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Send what is pending and close; `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Proved:
    """The backend took the login and showed a usable session.

    `proved_by` is the command that showed it. `residual` are octets that the server sent behind its
    last answer; they belong to whoever uses the session next.
    """

    capabilities: tuple[bytes, ...]
    proved_by: str
    residual: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no session. `judged`: the server had the password before it and said no.

    `code` is the response code in upper case, `text` the server's own wording (undecoded) or ours,
    `stage` one of the `Stage` names.
    """

    judged: bool
    code: str | None
    text: bytes
    stage: str


Action = Send | StartTls | Attempt | Close | Proved | Failed


class Stage:
    """Where a backend dialogue stood when it failed."""

    CREDENTIALS = "credentials"
    """Nothing was sent: the credentials have no safe form on the wire, or no mechanism takes them."""
    GREETING = "greeting"
    STARTTLS = "starttls"
    CAPABILITY = "capability"
    LOGIN = "login"
    PROOF = "proof"
    """After the login's OK: the session turned out not to be usable."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The login is good; `capabilities` are the backend's own, for IMAP's answer."""

    capabilities: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """The login is not good, or could not be judged; `text` is what the user reads."""

    answer: Answer
    text: str


LoginAnswer = Granted | Denied


class Frontend(Protocol):
    """A server's side of the conversation before the relay."""

    def start(self) -> list[Action]:
        """Greet."""
        ...

    def feed(self, data: bytes) -> list[Action]:
        """Take octets from the client. While an attempt is pending they are only kept."""
        ...

    def secured(self) -> list[Action]:
        """Go on inside TLS; plaintext sent behind the upgrade closes the session."""
        ...

    def answer(self, answer: LoginAnswer) -> list[Action]:
        """Answer the pending attempt; after a `Denied` kept octets are read on."""
        ...

    def residual(self) -> bytes:
        """Return, once, what the client sent behind its granted login: it goes to the backend."""
        ...

    @property
    def held(self) -> int:
        """How many octets from the client are kept."""
        ...

    @property
    def full(self) -> bool:
        """Whether the client should not be read now: `held` is over the limit and an attempt is pending."""
        ...


class Backend(Protocol):
    """A client's side of the conversation before the relay."""

    def start(self) -> list[Action]:
        """Begin; refuses credentials that have no safe form."""
        ...

    def feed(self, data: bytes) -> list[Action]:
        """Take octets from the server."""
        ...

    def secured(self) -> list[Action]:
        """Go on inside TLS; what was learnt in plaintext is forgotten."""
        ...

    def closed(self) -> list[Action]:
        """The server closed the connection: say as what that counts."""
        ...
