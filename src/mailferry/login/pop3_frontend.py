"""The POP3 server that a mail program meets before its login (RFC 1939, 2449, 2595, 5034, 3206).

PASS takes the rest of its line as it is, spaces included. What the client pipelined behind its
credentials is kept unread until they are answered.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from mailferry.login.actions import Action, Attempt, Close, Denied, Granted, LoginAnswer, Send, StartTls
from mailferry.login.denial import denial_text
from mailferry.login.limits import (
    MAX_BAD_COMMANDS,
    MAX_DENIALS,
    MAX_LINE_OCTETS,
    REFUSED_TEXT,
    RESIDUAL_LIMIT,
    TLS_HANDSHAKE,
)
from mailferry.login.names import RefusedAtTheDoor, typed_credentials
from mailferry.login.sasl_exchange import MECHANISMS, Cancelled, SaslExchange
from mailferry.model.causes import Answer
from mailferry.wire.line_buffer import LineBuffer, LineTooLong, PlaintextBehindUpgrade
from mailferry.wire.sasl import BadSasl
from mailferry.wire.server_text import visible


class _State(Enum):
    COMMANDS = auto()
    SASL = auto()
    UPGRADING = auto()
    ASKING = auto()
    GRANTED = auto()
    CLOSED = auto()


class Pop3Frontend:
    """One client's conversation up to its login.

    `tls_available`: STLS can be offered. `tls_active`: the connection is TLS already.
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
        self._state = _State.COMMANDS
        self._user: bytes | None = None
        self._exchange: SaslExchange | None = None
        self._bad = 0
        self._denials = 0
        self._out: list[Action] = []
        self._verbs: dict[bytes, Callable[[bytes | None], None]] = {
            b"CAPA": self._capa,
            b"USER": self._user_name,
            b"PASS": self._password,
            b"AUTH": self._auth,
            b"STLS": self._stls,
            b"NOOP": self._noop,
            b"QUIT": self._quit,
        }

    @property
    def held(self) -> int:
        """How many octets from the client are kept."""
        return len(self._buffer)

    @property
    def full(self) -> bool:
        """Whether the client should not be read now."""
        return self._state in {_State.ASKING, _State.GRANTED} and self.held > RESIDUAL_LIMIT

    def start(self) -> list[Action]:
        """Greet; without the timestamp that would announce APOP."""
        return [Send(b"+OK %s ready.\r\n" % self._hostname.encode().translate(None, b"<>"))]

    def feed(self, data: bytes) -> list[Action]:
        """Take octets from the client."""
        if self._state is _State.UPGRADING:
            data = data[:1]  # enough for `secured()` to see that there was something
        if self._state is not _State.CLOSED:
            self._buffer.feed(data)
        return self._read_on()

    def secured(self) -> list[Action]:
        """Go on inside TLS; ends the session when plaintext came behind STLS."""
        if self._state is not _State.UPGRADING:
            return []
        try:
            self._buffer.upgrade()
        except PlaintextBehindUpgrade:
            self._close("plaintext behind STLS")
            return self._flush()
        self._offers_tls = False
        self._takes_login = True
        self._user = None
        self._state = _State.COMMANDS
        return []

    def answer(self, answer: LoginAnswer) -> list[Action]:
        """Answer the pending attempt."""
        if self._state is not _State.ASKING:
            return []
        if isinstance(answer, Granted):
            self._state = _State.GRANTED
            self._reply(b"+OK Logged in.")
            return self._flush()
        self._state = _State.COMMANDS
        self._deny(answer)
        return self._read_on()

    def residual(self) -> bytes:
        """Return, once, what the client sent behind its granted login."""
        return self._buffer.take_rest() if self._state is _State.GRANTED else b""

    def _read_on(self) -> list[Action]:
        try:
            while self._state in {_State.COMMANDS, _State.SASL}:
                if self._state is _State.COMMANDS and self._buffer.starts_with(TLS_HANDSHAKE):
                    self._close("a TLS handshake where plain commands are expected")
                    break
                line = self._buffer.next_line()
                if line is None:
                    break
                if self._state is _State.SASL:
                    self._sasl_response(line)
                else:
                    self._command(line)
        except LineTooLong:
            self._reply(b"-ERR Line too long.")
            self._close("a line of too many octets")
        return self._flush()

    def _command(self, line: bytes) -> None:
        word, space, argument = line.partition(b" ")
        verb = self._verbs.get(word.upper())
        if verb is None:
            self._bad_command(b"-ERR Not known before login.")
            return
        verb(argument if space else None)

    def _capa(self, argument: bytes | None) -> None:
        if not self._alone(argument):
            return
        lines = [b"+OK", b"CAPA", b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE"]
        if self._takes_login:
            lines += [b"USER", b"SASL PLAIN LOGIN"]
        if self._offers_tls:
            lines.append(b"STLS")
        self._reply(b"\r\n".join([*lines, b"."]))

    def _noop(self, argument: bytes | None) -> None:
        if self._alone(argument):
            self._reply(b"+OK Nothing done.")

    def _quit(self, argument: bytes | None) -> None:
        if self._alone(argument):
            self._reply(b"+OK Logging out.")
            self._close("logged out before login")

    def _stls(self, argument: bytes | None) -> None:
        if not self._alone(argument):
            return
        if not self._offers_tls:
            self._bad_command(b"-ERR TLS is not offered here.")
            return
        if len(self._buffer):
            # Somebody on the way may have put commands there (CVE-2011-0411): none is answered.
            self._close("plaintext behind STLS")
            return
        self._reply(b"+OK Begin TLS.")
        self._out.append(StartTls())
        self._state = _State.UPGRADING

    def _user_name(self, argument: bytes | None) -> None:
        if not self._may_login():
            return
        if not argument:
            self._bad_command(b"-ERR USER takes a name.")
            return
        # Good or not, the name is judged with the password: the reply tells nothing of it.
        self._user = argument
        self._reply(b"+OK")

    def _password(self, argument: bytes | None) -> None:
        if not self._may_login():
            return
        if self._user is None:
            self._bad_command(b"-ERR USER comes first.")
            return
        if not argument:
            self._bad_command(b"-ERR PASS takes a password.")
            return
        name, self._user = self._user, None
        self._attempt(name, argument, b"", "USER")

    def _auth(self, argument: bytes | None) -> None:
        if not argument:
            # RFC 1734's predecessor drafts; Outlook asks so for the list of mechanisms.
            self._reply(b"\r\n".join([b"+OK", *(m.encode() for m in self._mechanisms()), b"."]))
            return
        if not self._may_login():
            return
        words = argument.split(b" ")
        mechanism = words[0].decode("latin-1").upper()
        if mechanism not in MECHANISMS or len(words) > 2:
            self._bad_command(b"-ERR Mechanism not offered.")
            return
        self._exchange = SaslExchange(mechanism)
        self._state = _State.SASL
        if len(words) == 2:
            self._sasl_response(words[1], initial=True)
        else:
            self._reply(b"+ " + self._exchange.prompt)

    def _sasl_response(self, line: bytes, *, initial: bool = False) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            fields = exchange.respond(line, initial=initial)
        except BadSasl as fault:
            self._end_exchange()
            self._bad_command(b"-ERR Invalid response: %s." % str(fault).encode())
            return
        if fields is None:
            self._reply(b"+ " + exchange.prompt)
            return
        self._end_exchange()
        if isinstance(fields, Cancelled):
            self._bad_command(b"-ERR Authentication cancelled.")
            return
        self._attempt(fields.authcid, fields.password.reveal(), fields.authzid, exchange.mechanism)

    def _end_exchange(self) -> None:
        self._exchange = None
        self._state = _State.COMMANDS

    def _attempt(self, name: bytes, password: bytes, authzid: bytes, mechanism: str) -> None:
        try:
            credentials = typed_credentials(name, password, authzid)
        except RefusedAtTheDoor:
            self._deny(self._refused)
            return
        self._state = _State.ASKING
        self._out.append(Attempt(credentials, mechanism))

    def _mechanisms(self) -> tuple[str, ...]:
        return MECHANISMS if self._takes_login else ()

    def _may_login(self) -> bool:
        if not self._takes_login:
            self._reply(b"-ERR Use TLS before logging in.")
        return self._takes_login

    def _alone(self, argument: bytes | None) -> bool:
        if argument is None or not argument.strip(b" "):
            return True
        self._bad_command(b"-ERR No arguments expected.")
        return False

    def _deny(self, denied: Denied) -> None:
        code = b"AUTH" if denied.answer is Answer.REFUSED else b"SYS/TEMP"
        self._reply(b"-ERR [%s] %s" % (code, denial_text(denied.text)))
        self._denials += 1
        if self._denials >= MAX_DENIALS:
            self._close("too many failed logins")

    def _reply(self, text: bytes) -> None:
        self._out.append(Send(text + b"\r\n"))

    def _bad_command(self, text: bytes) -> None:
        self._bad += 1
        self._reply(text)
        if self._bad >= MAX_BAD_COMMANDS:
            self._close("too many invalid commands")

    def _close(self, reason: str) -> None:
        self._state = _State.CLOSED
        self._user = None
        self._buffer = LineBuffer(MAX_LINE_OCTETS)
        self._out.append(Close(reason))

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out
