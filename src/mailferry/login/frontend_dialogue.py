"""What both frontends do alike: the way from greeting to login, the upgrade to TLS, SASL, and the limits.

A client's octets are read only until they give credentials. What it pipelined behind them is kept
unread: after a granted login it goes to the backend once, after a denied one it is read on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum, auto

from mailferry.login.actions import Action, Attempt, Close, Denied, Granted, LoginAnswer, Send, StartTls
from mailferry.login.limits import (
    MAX_BAD_COMMANDS,
    MAX_DENIALS,
    MAX_LINE_OCTETS,
    REFUSED_TEXT,
    RESIDUAL_LIMIT,
)
from mailferry.login.names import RefusedAtTheDoor, typed_credentials
from mailferry.login.sasl_exchange import Cancelled, SaslExchange
from mailferry.model.causes import Answer
from mailferry.wire.line_buffer import LineBuffer, PlaintextBehindUpgrade
from mailferry.wire.proxy_header import Endpoint
from mailferry.wire.sasl import BadSasl
from mailferry.wire.server_text import visible


class State(Enum):
    """Where a client stands before its login."""

    COMMANDS = auto()
    SASL = auto()
    UPGRADING = auto()
    ASKING = auto()
    GRANTED = auto()
    CLOSED = auto()


class FrontendDialogue(ABC):
    """One client's conversation up to its login; a subclass reads commands and has the protocol's words.

    `tls_available`: the upgrade to TLS can be offered. `tls_active`: the connection is TLS already.
    `plaintext_login`: credentials are taken without TLS as well. `webmail`: the client is believed when it
    says whom it speaks for. `refused_text` is read by users whose credentials are refused at the door; it
    is what a wrong password is answered with.
    """

    _upgrade_command: str

    def __init__(
        self,
        hostname: str,
        *,
        tls_available: bool,
        tls_active: bool,
        plaintext_login: bool,
        webmail: bool = False,
        refused_text: str = REFUSED_TEXT,
    ) -> None:
        self._refused_text = refused_text
        self._hostname = visible(hostname)
        self._offers_tls = tls_available and not tls_active
        self._takes_login = tls_active or plaintext_login
        self._webmail = webmail
        self._state = State.COMMANDS
        self._exchange: SaslExchange | None = None
        self._bad = 0
        self._denials = 0
        self._out: list[Action] = []
        self._forget()

    @property
    def held(self) -> int:
        """How many octets from the client are kept."""
        return len(self._buffer)

    @property
    def full(self) -> bool:
        """Whether the client should not be read now."""
        waits = self._state is State.ASKING or self._state is State.GRANTED
        return waits and self.held > RESIDUAL_LIMIT

    @abstractmethod
    def start(self) -> list[Action]:
        """Greet."""

    def feed(self, data: bytes) -> list[Action]:
        """Take octets from the client."""
        if self._state is State.UPGRADING:
            data = data[:1]  # enough for `secured()` to see that there was something
        if self._state is not State.CLOSED:
            self._buffer.feed(data)
        return self._read_on()

    def secured(self) -> list[Action]:
        """Go on inside TLS; ends the session when plaintext came behind the command that asked for it."""
        if self._state is not State.UPGRADING:
            return []
        try:
            self._buffer.upgrade()
        except PlaintextBehindUpgrade:
            self._close(f"plaintext behind {self._upgrade_command}")
            return self._flush()
        self._offers_tls = False
        self._takes_login = True
        self._forget()
        self._state = State.COMMANDS
        return []

    def answer(self, answer: LoginAnswer) -> list[Action]:
        """Answer the pending attempt."""
        if self._state is not State.ASKING:
            return []
        if isinstance(answer, Granted):
            self._state = State.GRANTED
            self._say_granted(answer)
            return self._flush()
        self._state = State.COMMANDS
        self._deny(answer)
        return self._read_on()

    def residual(self) -> bytes:
        """Return, once, what the client sent behind its granted login."""
        return self._buffer.take_rest() if self._state is State.GRANTED else b""

    # --- the protocol's own

    @abstractmethod
    def _read_on(self) -> list[Action]:
        """Do what the octets at hand ask, until there is nothing to read now."""

    @abstractmethod
    def _say_granted(self, granted: Granted) -> None: ...

    @abstractmethod
    def _say_denied(self, denied: Denied) -> None: ...

    @abstractmethod
    def _say_bad(self, text: bytes) -> None: ...

    @abstractmethod
    def _say_prompt(self, prompt: bytes) -> None: ...

    @abstractmethod
    def _say_farewell(self, text: bytes) -> None: ...

    # --- what both do

    def _forget(self) -> None:
        """Begin anew with what the client has said so far unread and unknown."""
        self._buffer = LineBuffer(MAX_LINE_OCTETS)
        self._speaks_for: Endpoint | None = None

    def _may_upgrade(self) -> bool:
        if not len(self._buffer):
            return True
        # Somebody on the way may have put commands there (CVE-2011-0411): none is answered.
        self._close(f"plaintext behind {self._upgrade_command}")
        return False

    def _await_tls(self) -> None:
        self._out.append(StartTls())
        self._state = State.UPGRADING

    def _begin_exchange(self, mechanism: str, initial: bytes | None) -> None:
        self._exchange = SaslExchange(mechanism)
        self._state = State.SASL
        if initial is None:
            self._say_prompt(self._exchange.prompt)
        else:
            self._sasl_response(initial, initial=True)

    def _sasl_response(self, line: bytes, *, initial: bool = False) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            fields = exchange.respond(line, initial=initial)
        except BadSasl as fault:
            self._end_exchange()
            self._bad_command(b"Invalid response: %s." % str(fault).encode())
            return
        if fields is None:
            self._say_prompt(exchange.prompt)
            return
        self._end_exchange()
        if isinstance(fields, Cancelled):
            self._bad_command(b"Authentication cancelled.")
            return
        self._attempt(fields.authcid, fields.password.reveal(), fields.authzid, exchange.mechanism)

    def _end_exchange(self) -> None:
        self._exchange = None
        self._state = State.COMMANDS

    def _attempt(self, name: bytes, password: bytes, authzid: bytes, mechanism: str) -> None:
        try:
            credentials = typed_credentials(name, password, authzid)
        except RefusedAtTheDoor:
            self._deny(Denied(Answer.REFUSED, self._refused_text))
            return
        self._state = State.ASKING
        self._out.append(Attempt(credentials, mechanism, self._speaks_for))

    def _deny(self, denied: Denied) -> None:
        self._say_denied(denied)
        self._denials += 1
        if self._denials >= MAX_DENIALS:
            self._say_farewell(b"Too many failed logins.")
            self._close("too many failed logins")

    def _bad_command(self, text: bytes) -> None:
        self._say_bad(text)
        self._count_bad()

    def _count_bad(self) -> None:
        self._bad += 1
        if self._bad >= MAX_BAD_COMMANDS:
            self._say_farewell(b"Too many invalid commands.")
            self._close("too many invalid commands")

    def _send(self, line: bytes) -> None:
        self._out.append(Send(line + b"\r\n"))

    def _close(self, reason: str) -> None:
        self._state = State.CLOSED
        self._forget()
        self._out.append(Close(reason))

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out
