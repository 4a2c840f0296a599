"""The IMAP face of a lab host (RFC 3501): from octets to commands to answers."""

from __future__ import annotations

from typing import Any

from mailferry.lab import imap_append, imap_fetch, imap_login, imap_mailboxes, imap_messages, imap_search
from mailferry.lab.connection import LabConnection
from mailferry.lab.imap_reader import LONG_COMMAND, BadCommand, Command, CommandReader, parse_command
from mailferry.lab.imap_session import ImapSession, No, Verb
from mailferry.lab.mailstore import StoreRefusal

VERBS: dict[str, Verb] = {
    **imap_login.VERBS,
    **imap_mailboxes.VERBS,
    **imap_fetch.VERBS,
    **imap_append.VERBS,
    **imap_messages.VERBS,
    **imap_search.VERBS,
}
_HIDDEN_ARGUMENTS = frozenset({"LOGIN", "AUTHENTICATE"})


class ImapConnection(LabConnection):
    """One IMAP connection."""

    protocol_name = "imap"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.session = ImapSession(self)
        self._reader = CommandReader(
            lambda: self.send(b"+ OK\r\n"), literal_plus=lambda: not self.premises.has("no_literal_plus")
        )

    def greet(self) -> None:
        """Send the greeting, or BYE."""
        if self.premises.has("greeting_bye"):
            self.send(b"* BYE Temporarily unavailable\r\n")
            self.hang_up()
        elif self.premises.has("preauth"):
            self.send(b"* PREAUTH ready\r\n")
        else:
            self.send(imap_login.greeting(self.session) + b"\r\n")

    def next_command(self) -> Command | BadCommand | None:
        """Take the next command; one that cannot be read is handed on as its own error."""
        try:
            pieces = self._reader.take(self.buffer)
            while pieces is not None and self._swallowed(pieces):
                pieces = self._reader.take(self.buffer)
            return None if pieces is None else parse_command(pieces)
        except BadCommand as error:
            if "too" in str(error):
                self.buffer.clear()
                self.hang_up()
            return error

    async def perform(self, command: Command | BadCommand) -> None:
        """Carry out one command and send its tagged answer behind the session's news."""
        if isinstance(command, BadCommand):
            self.send(command.tag + b" BAD %s\r\n" % str(command).encode("latin-1", "replace"))
            return
        self._write_down(command)
        self.heard(command.verb)
        verb = VERBS.get(command.verb)
        try:
            answer = b"OK " + await self._answer(command, verb)
        except BadCommand as error:
            answer = b"BAD " + str(error).encode("latin-1", "replace")
        except No as error:
            answer = error.status + b" " + str(error).encode("latin-1", "replace")
        except StoreRefusal as error:
            answer = b"NO " + str(error).encode("latin-1", "replace")
        session = self.session
        if session.view is not None and verb is not None:
            self.send(session.view.news(expunge=verb.tells_expunge or command.uid))
        if answer != b"OK ":
            self.send(command.tag + b" " + answer + b"\r\n")
        if session.upgrading:
            session.upgrading = False
            self.upgrade()
        if session.closing:
            self.hang_up()

    async def _answer(self, command: Command, verb: Verb | None) -> bytes:
        session = self.session
        if session.has("netease_numeric_tag") and command.tag.isdigit():
            raise BadCommand("Parse command error")
        if session.not_connected:
            session.closing = True
            self.send(command.tag + b" BAD User is authenticated but not connected.\r\n")
            self.send(b"* BYE Connection closed. 14\r\n")
            return b""
        if verb is None:
            raise BadCommand("Unknown command")
        if verb.needs_login and session.address is None:
            raise BadCommand("Please login first")
        if verb.needs_mailbox and session.view is None:
            raise BadCommand("No mailbox selected")
        return await verb.handler(session, command)

    def _swallowed(self, pieces: list[bytes]) -> bool:
        return self.premises.has("qq_long_cmd") and any(
            len(piece) > LONG_COMMAND for piece in pieces if type(piece) is bytes
        )

    def _write_down(self, command: Command) -> None:
        line = ("UID " if command.uid else "") + command.verb
        if command.verb == "AUTHENTICATE" and command.arguments:
            line += f" {_shown(command.arguments[0])}"
        elif command.verb not in _HIDDEN_ARGUMENTS:
            line = " ".join([line, *(_shown(value) for value in command.arguments)])
        self.record.commands.append(line)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "(" + " ".join(_shown(inner) for inner in value) + ")"
    octets = bytes(value)
    return f"<{len(octets)} octets>" if len(octets) > 200 or b"\n" in octets else octets.decode("latin-1")
