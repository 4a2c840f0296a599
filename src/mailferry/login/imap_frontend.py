"""The IMAP server that a mail program meets before its login (RFC 3501, 2595, 2971, 4959, 7888).

It reads commands only until one gives credentials. What the client pipelined behind them is kept
unread: after a granted login it goes to the backend once, after a denied one it is read on here, as
commands before login, literals included.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from mailferry.login.actions import Action, Attempt, Close, Denied, Granted, LoginAnswer, Send, StartTls
from mailferry.login.denial import denial_text
from mailferry.login.imap_command_reader import BadCommand, Command, CommandReader, HostileInput
from mailferry.login.limits import (
    MAX_BAD_COMMANDS,
    MAX_DENIALS,
    MAX_LINE_OCTETS,
    REFUSED_TEXT,
    RESIDUAL_LIMIT,
)
from mailferry.login.names import RefusedAtTheDoor, typed_credentials
from mailferry.login.sasl_exchange import MECHANISMS, Cancelled, SaslExchange
from mailferry.model.causes import Answer
from mailferry.wire.imap_values import BadResponse, parse_values
from mailferry.wire.line_buffer import LineBuffer, LineTooLong, PlaintextBehindUpgrade
from mailferry.wire.sasl import BadSasl, PlainResponse
from mailferry.wire.server_text import visible

MAX_ID_VALUES = 60
"""Thirty pairs (RFC 2971 section 3.3)."""

_CAPABILITIES = b"IMAP4rev1 LITERAL+ SASL-IR ID"


class _State(Enum):
    COMMANDS = auto()
    SASL = auto()
    UPGRADING = auto()
    ASKING = auto()
    GRANTED = auto()
    CLOSED = auto()


class ImapFrontend:
    """One client's conversation up to its login.

    `tls_available`: STARTTLS can be offered. `tls_active`: the connection is TLS already.
    `plaintext_login`: credentials are taken without TLS as well. `refused_text` is read by users whose
    credentials are refused at the door; it is what a wrong password is answered with.
    """

    def __init__(
        self,
        hostname: str,
        *,
        tls_available: bool,
        tls_active: bool,
        plaintext_login: bool,
        refused_text: str = REFUSED_TEXT,
    ) -> None:
        self._refused = Denied(Answer.REFUSED, refused_text)
        self._hostname = visible(hostname)
        self._offers_tls = tls_available and not tls_active
        self._takes_login = tls_active or plaintext_login
        self._buffer = LineBuffer(MAX_LINE_OCTETS)
        self._reader = CommandReader(self._buffer, invites_literals=self._takes_login)
        self._state = _State.COMMANDS
        self._tag = b"*"
        self._exchange: SaslExchange | None = None
        self._bad = 0
        self._denials = 0
        self._out: list[Action] = []
        self._verbs: dict[bytes, Callable[[Command], None]] = {
            b"CAPABILITY": self._capability,
            b"NOOP": self._noop,
            b"ID": self._id,
            b"LOGOUT": self._logout,
            b"STARTTLS": self._starttls,
            b"LOGIN": self._login,
            b"AUTHENTICATE": self._authenticate,
        }

    @property
    def held(self) -> int:
        """How many octets from the client are kept."""
        return len(self._buffer) + self._reader.held

    @property
    def full(self) -> bool:
        """Whether the client should not be read now."""
        return self._state in {_State.ASKING, _State.GRANTED} and self.held > RESIDUAL_LIMIT

    def start(self) -> list[Action]:
        """Greet with the listener's capabilities."""
        return [Send(b"* OK [CAPABILITY %s] %s ready.\r\n" % (self._offered(), self._hostname.encode()))]

    def feed(self, data: bytes) -> list[Action]:
        """Take octets from the client."""
        if self._state is _State.UPGRADING:
            data = data[:1]  # enough for `secured()` to see that there was something
        if self._state is not _State.CLOSED:
            self._buffer.feed(data)
        return self._read_on()

    def secured(self) -> list[Action]:
        """Go on inside TLS; ends the session when plaintext came behind STARTTLS."""
        if self._state is not _State.UPGRADING:
            return []
        try:
            self._buffer.upgrade()
        except PlaintextBehindUpgrade:
            self._close("plaintext behind STARTTLS")
            return self._flush()
        self._offers_tls = False
        self._takes_login = True
        self._reader.invites_literals = True
        self._state = _State.COMMANDS
        return []

    def answer(self, answer: LoginAnswer) -> list[Action]:
        """Answer the pending attempt under its tag."""
        if self._state is not _State.ASKING:
            return []
        if isinstance(answer, Granted):
            self._state = _State.GRANTED
            words = [word for word in answer.capabilities if _passes(word)]
            code = b"[CAPABILITY %s] " % b" ".join(words) if words else b""
            self._tagged(b"OK", code + b"Logged in")
            return self._flush()
        self._state = _State.COMMANDS
        self._deny(answer)
        return self._read_on()

    def residual(self) -> bytes:
        """Return, once, what the client sent behind its granted login."""
        return self._buffer.take_rest() if self._state is _State.GRANTED else b""

    def _read_on(self) -> list[Action]:
        try:
            while self._step():
                pass
        except (HostileInput, LineTooLong) as fault:
            self._out.append(Send(b"* BYE Input that cannot be read.\r\n"))
            self._close(str(fault))
        return self._flush()

    def _step(self) -> bool:
        """Do what one line or command asks; False when there is nothing to read now."""
        if self._state is _State.SASL:
            line = self._buffer.next_line()
            if line is None:
                return False
            self._sasl_response(line)
            return True
        if self._state is not _State.COMMANDS:
            return False
        try:
            command = self._reader.next_command()
            if command is None:
                return False
            if isinstance(command, bytes):
                self._out.append(Send(b"+ OK\r\n"))
                return True
            self._tag = command.tag
            verb = self._verbs.get(command.name)
            if verb is None:
                raise BadCommand("Not known before login.", command.tag)
            verb(command)
        except BadCommand as fault:
            self._tag = fault.tag
            self._bad_command(str(fault).encode())
        return True

    def _offered(self) -> bytes:
        words = _CAPABILITIES
        if self._offers_tls:
            words += b" STARTTLS"
        return words + (b" AUTH=PLAIN AUTH=LOGIN" if self._takes_login else b" LOGINDISABLED")

    def _capability(self, command: Command) -> None:
        self._no_arguments(command)
        self._out.append(Send(b"* CAPABILITY %s\r\n" % self._offered()))
        self._tagged(b"OK", b"Capabilities listed.")

    def _noop(self, command: Command) -> None:
        self._no_arguments(command)
        self._tagged(b"OK", b"Nothing done.")

    def _id(self, command: Command) -> None:
        """Answer ID; what the client says of itself, addresses included, goes nowhere (RFC 2971)."""
        try:
            values = parse_values(command.parts, max_depth=1)
        except BadResponse:
            raise BadCommand("Not a list.", command.tag) from None
        fields = values[0] if len(values) == 1 else b""
        if isinstance(fields, bytes) or (isinstance(fields, list) and len(fields) > MAX_ID_VALUES):
            raise BadCommand("Not a list of up to thirty pairs.", command.tag)
        self._out.append(Send(b'* ID ("name" "mailferry")\r\n'))
        self._tagged(b"OK", b"Noted.")

    def _logout(self, command: Command) -> None:
        self._no_arguments(command)
        self._out.append(Send(b"* BYE Logging out.\r\n"))
        self._tagged(b"OK", b"Logged out.")
        self._close("logged out before login")

    def _starttls(self, command: Command) -> None:
        self._no_arguments(command)
        if not self._offers_tls:
            raise BadCommand("TLS is not offered here.", command.tag)
        if len(self._buffer):
            # Somebody on the way may have put commands there (CVE-2011-0411): none is answered.
            self._close("plaintext behind STARTTLS")
            return
        self._tagged(b"OK", b"Begin TLS.")
        self._out.append(StartTls())
        self._state = _State.UPGRADING

    def _login(self, command: Command) -> None:
        if not self._may_login():
            return
        strings = command.strings()
        if len(strings) != 2:
            raise BadCommand("LOGIN takes a name and a password.", command.tag)
        self._attempt(strings[0], strings[1], b"", "LOGIN")

    def _authenticate(self, command: Command) -> None:
        words = b"".join(command.parts).split(b" ")
        if len(command.parts) > 1 or len(words) not in {2, 3} or words[0]:
            raise BadCommand("AUTHENTICATE takes a mechanism.", command.tag)
        if not self._may_login():
            return
        mechanism = words[1].decode("latin-1").upper()
        if mechanism not in MECHANISMS:
            self._bad += 1
            self._tagged(b"NO", b"[CANNOT] Mechanism not offered.")
            self._close_when_bad()
            return
        self._exchange = SaslExchange(mechanism)
        self._state = _State.SASL
        if len(words) == 3:
            self._sasl_response(words[2], initial=True)
        else:
            self._out.append(Send(b"+ %s\r\n" % self._exchange.prompt))

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
            self._out.append(Send(b"+ %s\r\n" % exchange.prompt))
            return
        self._end_exchange()
        if isinstance(fields, Cancelled):
            self._bad_command(b"Authentication cancelled.")
            return
        self._attempt_fields(fields, exchange.mechanism)

    def _end_exchange(self) -> None:
        self._exchange = None
        self._state = _State.COMMANDS

    def _attempt_fields(self, fields: PlainResponse, mechanism: str) -> None:
        self._attempt(fields.authcid, fields.password.reveal(), fields.authzid, mechanism)

    def _attempt(self, name: bytes, password: bytes, authzid: bytes, mechanism: str) -> None:
        try:
            credentials = typed_credentials(name, password, authzid)
        except RefusedAtTheDoor:
            self._deny(self._refused)
            return
        self._state = _State.ASKING
        self._out.append(Attempt(credentials, mechanism))

    def _may_login(self) -> bool:
        if not self._takes_login:
            self._tagged(b"NO", b"[PRIVACYREQUIRED] Use TLS before logging in.")
        return self._takes_login

    def _deny(self, denied: Denied) -> None:
        code = b"AUTHENTICATIONFAILED" if denied.answer is Answer.REFUSED else b"UNAVAILABLE"
        self._tagged(b"NO", b"[%s] %s" % (code, denial_text(denied.text)))
        self._denials += 1
        if self._denials >= MAX_DENIALS:
            self._out.append(Send(b"* BYE Too many failed logins.\r\n"))
            self._close("too many failed logins")

    def _no_arguments(self, command: Command) -> None:
        if b"".join(command.parts).strip(b" "):
            raise BadCommand("No arguments expected.", command.tag)

    def _tagged(self, status: bytes, text: bytes) -> None:
        self._out.append(Send(b"%s %s %s\r\n" % (self._tag, status, text)))

    def _bad_command(self, text: bytes) -> None:
        self._bad += 1
        self._tagged(b"BAD", text)
        self._close_when_bad()

    def _close_when_bad(self) -> None:
        if self._bad >= MAX_BAD_COMMANDS:
            self._out.append(Send(b"* BYE Too many invalid commands.\r\n"))
            self._close("too many invalid commands")

    def _close(self, reason: str) -> None:
        self._state = _State.CLOSED
        self._buffer = LineBuffer(MAX_LINE_OCTETS)
        self._reader = CommandReader(self._buffer, invites_literals=self._takes_login)
        self._out.append(Close(reason))

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out


def _passes(word: bytes) -> bool:
    """Whether a backend's capability is shown: a plain word that the relay can keep."""
    upper = word.upper()
    return (
        word.isascii()
        and word.decode("ascii").isprintable()
        and not any(octet in word for octet in (b" ", b"]"))
        and not upper.startswith((b"COMPRESS", b"STARTTLS", b"LOGINDISABLED"))
    )
