"""The two hosts of a copy: one Dovecot with the mail, and targets of the same configuration.

`full` offers what Dovecot offers. Others hide capabilities, as hosts that never had them: what they
do with mail is the same. `no fsync` tells how much of a copy's time is the disk's.
"""

from __future__ import annotations

import imaplib
from dataclasses import dataclass
from pathlib import Path

from tests.kit import peers
from tests.kit.peer_dovecot import Dovecot

PASSWORD = "bench-Pa55"
MASTER = ("mailferry", "master-secret")


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of target does differently."""

    hidden: frozenset[str] = frozenset()
    """Capabilities that it does not show."""
    settings: str = ""


FULL, SINGLE, NO_FSYNC = "full", "no MULTIAPPEND", "no fsync"
KINDS: dict[str, Kind] = {
    FULL: Kind(),
    SINGLE: Kind(frozenset({"MULTIAPPEND"})),
    "no UIDPLUS": Kind(frozenset({"UIDPLUS"})),
    "neither MULTIAPPEND nor UIDPLUS": Kind(frozenset({"MULTIAPPEND", "UIDPLUS"})),
    "no LITERAL+": Kind(frozenset({"LITERAL+", "MULTIAPPEND"})),
    NO_FSYNC: Kind(settings="mail_fsync = never\n"),
}

ANYBODY = f"""
passdb {{
  driver = static
  args = password={PASSWORD}
}}
"""
"""Every name is a user. Dovecot reads a list of users again only in another second than before."""

PLAIN_SOURCE = frozenset({"CONDSTORE", "QRESYNC", "LIST-STATUS", "LIST-EXTENDED", "ESEARCH"})


def capabilities(server: Dovecot, user: str) -> list[str]:
    """Return what the server offers after a login."""
    with imaplib.IMAP4("127.0.0.1", server.ports["imap"]) as session:
        session.login(user, PASSWORD)
        answer: bytes = session.capability()[1][0]
        return answer.decode().split()


class Servers:
    """A source, and targets as they are asked for; `stop()` ends them and removes their mail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._targets: dict[str, Dovecot] = {}
        self._plain_source: Dovecot | None = None
        self.source = self._start("")
        self._all = capabilities(self.source, "capability")

    def target(self, kind: str) -> Dovecot:
        """Return the target of a kind of `KINDS`, started when first asked for."""
        if kind not in self._targets:
            self._targets[kind] = self._start(self._without(KINDS[kind].hidden) + KINDS[kind].settings)
        return self._targets[kind]

    def plain_source(self) -> Dovecot:
        """Return a second server over the source's mail that offers no extension for quick listings."""
        if self._plain_source is None:
            mail = self.source.directory / "mail"
            lines = f"mail_location = maildir:{mail}/%u/Maildir\n"
            self._plain_source = self._start(lines + self._without(PLAIN_SOURCE))
        return self._plain_source

    def stop(self) -> None:
        """End every server."""
        for server in (self.source, self._plain_source, *self._targets.values()):
            if server is not None:
                server.stop()

    def _start(self, settings: str) -> Dovecot:
        return peers.dovecot(
            self._folder, users={}, master=MASTER, mail_fsync="optimized", settings=ANYBODY + settings
        )

    def _without(self, hidden: frozenset[str]) -> str:
        if not hidden:
            return ""
        missing = hidden - set(self._all)
        if missing:
            raise RuntimeError(f"this Dovecot has no {', '.join(sorted(missing))} to hide")
        return f"imap_capability = {' '.join(name for name in self._all if name not in hidden)}\n"
