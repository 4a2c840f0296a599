"""The IMAP server that a mail program meets before its login (RFC 3501, 2595, 2971, 4959, 7888).

Commands are read with their literals, also those that follow a denied login.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar

from mailferry.login.actions import Action, Denied, Granted, Send
from mailferry.login.denial import denial_text
from mailferry.login.frontend_dialogue import FrontendDialogue, State
from mailferry.login.imap_command_reader import BadCommand, Command, CommandReader, HostileInput
from mailferry.login.named_client import named_client
from mailferry.login.sasl_exchange import MECHANISMS
from mailferry.model.causes import Answer
from mailferry.wire.imap_values import BadResponse, parse_values
from mailferry.wire.line_buffer import LineTooLong

MAX_ID_VALUES = 60
"""Thirty pairs (RFC 2971 section 3.3)."""

_CAPABILITIES = b"IMAP4rev1 LITERAL+ SASL-IR ID"


class ImapFrontend(FrontendDialogue):
    """One client's conversation up to its login."""

    _upgrade_command = "STARTTLS"

    _tag = b"*"

    @property
    def held(self) -> int:
        """How many octets from the client are kept."""
        return len(self._buffer) + self._reader.held

    def start(self) -> list[Action]:
        """Greet with the listener's capabilities."""
        return [Send(b"* OK [CAPABILITY %s] %s ready.\r\n" % (self._offered(), self._hostname.encode()))]

    def _read_on(self) -> list[Action]:
        try:
            while self._step():
                pass
        except (HostileInput, LineTooLong) as fault:
            self._say_farewell(b"Input that cannot be read.")
            self._close(str(fault))
        return self._flush()

    def _step(self) -> bool:
        """Do what one line or command asks; False when there is nothing to read now."""
        if self._state is State.SASL:
            line = self._buffer.next_line()
            if line is None:
                return False
            self._sasl_response(line)
            return True
        if self._state is not State.COMMANDS:
            return False
        try:
            command = self._reader.next_command()
            if command is None:
                return False
            if isinstance(command, bytes):
                self._send(b"+ OK")
                return True
            self._tag = command.tag
            verb = self._VERBS.get(command.name)
            if verb is None:
                raise BadCommand("Not known before login.", command.tag)
            verb(self, command)
        except BadCommand as fault:
            self._tag = fault.tag
            self._bad_command(str(fault).encode())
        return True

    def _offered(self) -> bytes:
        return _offer(self._offers_tls, self._takes_login)

    def _capability(self, command: Command) -> None:
        self._no_arguments(command)
        self._send(b"* CAPABILITY " + self._offered())
        self._tagged(b"OK", b"Capabilities listed.")

    def _noop(self, command: Command) -> None:
        self._no_arguments(command)
        self._tagged(b"OK", b"Nothing done.")

    def _id(self, command: Command) -> None:
        """Answer ID; what a client says of itself, addresses included, goes nowhere (RFC 2971).

        Only a webmail that is configured as one says for whom it logs in.
        """
        try:
            values = parse_values(command.parts, max_depth=1)
        except BadResponse:
            raise BadCommand("Not a list.", command.tag) from None
        fields = values[0] if len(values) == 1 else b""
        if isinstance(fields, bytes) or (isinstance(fields, list) and len(fields) > MAX_ID_VALUES):
            raise BadCommand("Not a list of up to thirty pairs.", command.tag)
        if self._webmail and isinstance(fields, list):
            self._speaks_for = named_client(fields)
        self._send(b'* ID ("name" "mailferry")')
        self._tagged(b"OK", b"Noted.")

    def _logout(self, command: Command) -> None:
        self._no_arguments(command)
        self._say_farewell(b"Logging out.")
        self._tagged(b"OK", b"Logged out.")
        self._close("logged out before login")

    def _starttls(self, command: Command) -> None:
        self._no_arguments(command)
        if not self._offers_tls:
            raise BadCommand("TLS is not offered here.", command.tag)
        if self._may_upgrade():
            self._tagged(b"OK", b"Begin TLS.")
            self._await_tls()

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
            self._tagged(b"NO", b"[CANNOT] Mechanism not offered.")
            self._count_bad()
            return
        self._begin_exchange(mechanism, words[2] if len(words) == 3 else None)

    def _may_login(self) -> bool:
        if not self._takes_login:
            self._tagged(b"NO", b"[PRIVACYREQUIRED] Use TLS before logging in.")
        return self._takes_login

    def _say_granted(self, granted: Granted) -> None:
        self._tagged(b"OK", _shown(granted.capabilities) + b"Logged in")

    def _say_denied(self, denied: Denied) -> None:
        code = b"AUTHENTICATIONFAILED" if denied.answer is Answer.REFUSED else b"UNAVAILABLE"
        self._tagged(b"NO", b"[%s] %s" % (code, denial_text(denied.text)))

    def _say_bad(self, text: bytes) -> None:
        self._tagged(b"BAD", text)

    def _say_prompt(self, prompt: bytes) -> None:
        self._send(b"+ " + prompt)

    def _say_farewell(self, text: bytes) -> None:
        self._send(b"* BYE " + text)

    def _no_arguments(self, command: Command) -> None:
        if b"".join(command.parts).strip(b" "):
            raise BadCommand("No arguments expected.", command.tag)

    def _tagged(self, status: bytes, text: bytes) -> None:
        self._send(b"%s %s %s" % (self._tag, status, text))

    def _forget(self) -> None:
        super()._forget()
        self._reader = CommandReader(self._buffer, invites_literals=self._takes_login)

    _VERBS: ClassVar[Mapping[bytes, Callable[[ImapFrontend, Command], None]]] = {
        b"CAPABILITY": _capability,
        b"NOOP": _noop,
        b"ID": _id,
        b"LOGOUT": _logout,
        b"STARTTLS": _starttls,
        b"LOGIN": _login,
        b"AUTHENTICATE": _authenticate,
    }


@lru_cache
def _offer(offers_tls: bool, takes_login: bool) -> bytes:
    """Return the capabilities of a listener as it stands."""
    words = _CAPABILITIES + (b" STARTTLS" if offers_tls else b"")
    return words + (b" AUTH=PLAIN AUTH=LOGIN" if takes_login else b" LOGINDISABLED")


@lru_cache(maxsize=64)  # a backend offers the same to everybody
def _shown(capabilities: tuple[bytes, ...]) -> bytes:
    """Return the response code that shows a backend's capabilities, if it has any to show."""
    words = [word for word in capabilities if _passes(word)]
    return b"[CAPABILITY %s] " % b" ".join(words) if words else b""


def _passes(word: bytes) -> bool:
    """Whether a backend's capability is shown: a plain word that the relay can keep."""
    upper = word.upper()
    return (
        word.isascii()
        and word.decode("ascii").isprintable()
        and b" " not in word
        and b"]" not in word
        and not upper.startswith((b"COMPRESS", b"STARTTLS", b"LOGINDISABLED"))
    )
