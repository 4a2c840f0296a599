"""Which dialogues speak a protocol. Both frontends are built alike, and so are both backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailferry.login.imap_backend import ImapBackend
from mailferry.login.imap_frontend import ImapFrontend
from mailferry.login.pop3_backend import Pop3Backend
from mailferry.login.pop3_frontend import Pop3Frontend
from mailferry.model.access import Protocol


@dataclass(frozen=True, slots=True)
class Dialogues:
    """The two sides of the conversation before the relay."""

    frontend: type[ImapFrontend | Pop3Frontend]
    backend: type[ImapBackend | Pop3Backend]


DIALOGUES: Mapping[Protocol, Dialogues] = {
    Protocol.IMAP: Dialogues(ImapFrontend, ImapBackend),
    Protocol.POP3: Dialogues(Pop3Frontend, Pop3Backend),
}
