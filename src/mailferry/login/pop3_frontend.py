"""The POP3 server that a mail program meets before its login (RFC 1939, 2449, 2595, 5034, 3206).

PASS takes the rest of its line as it is, spaces included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from mailferry.login.actions import Action, Denied, Granted, Send
from mailferry.login.denial import denial_text
from mailferry.login.frontend_dialogue import FrontendDialogue, State
from mailferry.login.limits import TLS_HANDSHAKE
from mailferry.login.sasl_exchange import MECHANISMS
from mailferry.model.causes import Answer
from mailferry.wire.line_buffer import LineTooLong


class Pop3Frontend(FrontendDialogue):
    """One client's conversation up to its login."""

    _upgrade_command = "STLS"

    _user: bytes | None

    def start(self) -> list[Action]:
        """Greet; without the timestamp that would announce APOP."""
        return [Send(b"+OK %s ready.\r\n" % self._hostname.encode().translate(None, b"<>"))]

    def _read_on(self) -> list[Action]:
        try:
            while self._state in {State.COMMANDS, State.SASL}:
                if self._state is State.COMMANDS and self._buffer.starts_with(TLS_HANDSHAKE):
                    self._close("a TLS handshake where plain commands are expected")
                    break
                line = self._buffer.next_line()
                if line is None:
                    break
                if self._state is State.SASL:
                    self._sasl_response(line)
                else:
                    self._command(line)
        except LineTooLong:
            self._say_bad(b"Line too long.")
            self._close("a line of too many octets")
        return self._flush()

    def _command(self, line: bytes) -> None:
        word, space, argument = line.partition(b" ")
        verb = self._VERBS.get(word.upper())
        if verb is None:
            self._bad_command(b"Not known before login.")
            return
        verb(self, argument if space else None)

    def _capa(self, argument: bytes | None) -> None:
        if not self._alone(argument):
            return
        lines = [b"+OK", b"CAPA", b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE"]
        if self._takes_login:
            lines += [b"USER", b"SASL PLAIN LOGIN"]
        if self._offers_tls:
            lines.append(b"STLS")
        self._send(b"\r\n".join([*lines, b"."]))

    def _noop(self, argument: bytes | None) -> None:
        if self._alone(argument):
            self._send(b"+OK Nothing done.")

    def _quit(self, argument: bytes | None) -> None:
        if self._alone(argument):
            self._send(b"+OK Logging out.")
            self._close("logged out before login")

    def _stls(self, argument: bytes | None) -> None:
        if not self._alone(argument):
            return
        if not self._offers_tls:
            self._bad_command(b"TLS is not offered here.")
            return
        if self._may_upgrade():
            self._send(b"+OK Begin TLS.")
            self._await_tls()

    def _user_name(self, argument: bytes | None) -> None:
        if not self._may_login():
            return
        if not argument:
            self._bad_command(b"USER takes a name.")
            return
        # Good or not, the name is judged with the password: the reply tells nothing of it.
        self._user = argument
        self._send(b"+OK")

    def _password(self, argument: bytes | None) -> None:
        if not self._may_login():
            return
        if self._user is None:
            self._bad_command(b"USER comes first.")
            return
        if not argument:
            self._bad_command(b"PASS takes a password.")
            return
        name, self._user = self._user, None
        self._attempt(name, argument, b"", "USER")

    def _auth(self, argument: bytes | None) -> None:
        if not argument:
            # RFC 1734's predecessor drafts; Outlook asks so for the list of mechanisms.
            self._send(b"\r\n".join([b"+OK", *(m.encode() for m in self._mechanisms()), b"."]))
            return
        if not self._may_login():
            return
        words = argument.split(b" ")
        mechanism = words[0].decode("latin-1").upper()
        if mechanism not in MECHANISMS or len(words) > 2:
            self._bad_command(b"Mechanism not offered.")
            return
        self._begin_exchange(mechanism, words[1] if len(words) == 2 else None)

    def _mechanisms(self) -> tuple[str, ...]:
        return MECHANISMS if self._takes_login else ()

    def _may_login(self) -> bool:
        if not self._takes_login:
            self._say_bad(b"Use TLS before logging in.")
        return self._takes_login

    def _alone(self, argument: bytes | None) -> bool:
        if argument is None or not argument.strip(b" "):
            return True
        self._bad_command(b"No arguments expected.")
        return False

    def _say_granted(self, _: Granted) -> None:
        self._send(b"+OK Logged in.")

    def _say_denied(self, denied: Denied) -> None:
        code = b"AUTH" if denied.answer is Answer.REFUSED else b"SYS/TEMP"
        self._say_bad(b"[%s] %s" % (code, denial_text(denied.text)))

    def _say_bad(self, text: bytes) -> None:
        self._send(b"-ERR " + text)

    def _say_prompt(self, prompt: bytes) -> None:
        self._send(b"+ " + prompt)

    def _say_farewell(self, text: bytes) -> None:
        """POP3 has no words for it: the close speaks."""

    def _forget(self) -> None:
        super()._forget()
        self._user = None

    _VERBS: ClassVar[Mapping[bytes, Callable[[Pop3Frontend, bytes | None], None]]] = {
        b"CAPA": _capa,
        b"USER": _user_name,
        b"PASS": _password,
        b"AUTH": _auth,
        b"STLS": _stls,
        b"NOOP": _noop,
        b"QUIT": _quit,
    }
