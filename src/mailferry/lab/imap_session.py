"""The state of one IMAP session at a lab host, and the two ways in which a command can fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from mailferry.lab.connection import LabConnection
from mailferry.lab.imap_reader import Command
from mailferry.lab.imap_view import View
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import Premises


class No(Exception):
    """The command is refused; the text stands behind NO, or behind another status where a host says so."""

    def __init__(self, text: str, status: bytes = b"NO") -> None:
        super().__init__(text)
        self.status = status


class ImapSession:
    """What the commands of one connection share."""

    def __init__(self, link: LabConnection) -> None:
        self.link = link
        self.premises: Premises = link.premises
        self.address: str | None = None
        self.view: View | None = None
        self.id_sent = False
        self.not_connected = False
        self.closing = False
        self.upgrading = False
        self.partly = False
        """Whether the FETCH at hand left messages out."""
        self.peeking = False
        """Whether the FETCH at hand leaves \\Seen alone."""
        self.fetches = 0
        self.errors = 0
        self.throttled_until: float | None = None

    @property
    def store(self) -> Mailstore:
        """The mail of whoever logged in."""
        assert self.address is not None
        return self.premises.store(self.address)

    @property
    def selected(self) -> View:
        """The selected mailbox; commands that need one are only called when there is one."""
        assert self.view is not None
        return self.view

    def has(self, quirk: str) -> bool:
        """Say whether the host has that quirk now."""
        return self.premises.has(quirk)

    def send(self, line: bytes) -> None:
        """Send one untagged line."""
        self.link.send(line + b"\r\n")

    def writable(self) -> View:
        """Return the selected mailbox; raises No when it is open for reading only."""
        if self.selected.read_only:
            raise No("[READ-ONLY] Mailbox is open for reading only")
        return self.selected


Handler: TypeAlias = Callable[[ImapSession, Command], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Verb:
    """A command of the table: who carries it out, and what must be before."""

    handler: Handler
    needs_login: bool = True
    needs_mailbox: bool = False
    tells_expunge: bool = True
