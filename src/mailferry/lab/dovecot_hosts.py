"""The old and the new host of a rehearsal as two real Dovecots, looked at through their own IMAP and POP3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import imaplib
import poplib
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mailferry.lab.certificates import make_certificates
from mailferry.lab.dovecot_server import DovecotServer
from mailferry.lab.imap_fetch import date_text
from mailferry.lab.mail_generator import SHELVES, MailGenerator
from mailferry.lab.mail_programs import visit_imap
from mailferry.lab.mailstore import INBOX, Mailstore, Trait
from mailferry.lab.rehearsal_hosts import HostsBroke, RehearsalUser

MASTER = ("mailferry", "master secret")
_NEW_ROLES = {"Sent": "\\Sent", "Drafts": "\\Drafts", "Trash": "\\Trash", "Junk": "\\Junk"}


class DovecotHost:
    """One of the two Dovecots."""

    def __init__(self, server: DovecotServer, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self.ports = server.ports

    def fingerprint(self, address: str) -> Counter[Trait]:
        """Return the multiset of the account's messages, read with the master login."""
        login = f"{address}*{MASTER[0]}"
        return visit_imap(self.ports["imap"], self._context, login, MASTER[1], "fingerprint").mail

    def uidls(self, address: str) -> Sequence[str]:
        """Return the POP3 UIDLs in order."""
        client = poplib.POP3("127.0.0.1", self.ports["pop3"], timeout=30)
        try:
            client.user(f"{address}*{MASTER[0]}")
            client.pass_(MASTER[1])
            return [line.decode().split(" ", 1)[1] for line in client.uidl()[1]]
        except poplib.error_proto as error:
            raise HostsBroke(f"Dovecot: {error}") from error
        finally:
            client.close()

    def deliver(self, address: str, octets: bytes) -> str:
        """Put a message into INBOX; return its digest."""
        with self._inside(address) as client:
            _well(client.append("INBOX", "", "", octets))
        return hashlib.sha256(octets).hexdigest()

    def served(self, mark: str) -> bool:
        """Say whether a session in which this mark was sent reached this host."""
        return self._server.heard(mark)

    def spoil(self, address: str, how: str) -> str:
        """Harm the oldest message of INBOX: lose, twice or flags."""
        with self._inside(address) as client:
            _well(client.select("INBOX"))
            rows = _well(client.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])"))
            octets: bytes = rows[0][1]
            words: bytes = rows[0][0] + rows[1]
            if how == "twice":
                flags = words.partition(b"FLAGS (")[2].partition(b")")[0].replace(b"\\Recent", b"").decode()
                date = words.partition(b'INTERNALDATE "')[2].partition(b'"')[0].decode()
                _well(client.append("INBOX", f"({flags.strip()})", f'"{date}"', octets))
            elif how == "flags":
                _well(client.store("1", "-FLAGS" if b"\\Flagged" in words else "+FLAGS", "(\\Flagged)"))
            else:
                _well(client.store("1", "+FLAGS", "(\\Deleted)"))
                _well(client.expunge())
        return hashlib.sha256(octets).hexdigest()

    def fill(self, address: str, store: Mailstore) -> None:
        """Copy what a lab's store holds, octet by octet."""
        with self._inside(address) as client:
            for box in store:
                name = '"' + box.name.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"') + '"'
                if box.name != INBOX:
                    _well(client.create(name))
                if box.name in store.subscriptions:
                    _well(client.subscribe(name))
                for message in box.messages.values():
                    flags = " ".join(sorted(flag.decode() for flag in message.flags))
                    _well(client.append(name, f"({flags})", date_text(message).decode(), message.octets))

    @contextlib.contextmanager
    def _inside(self, address: str) -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4("127.0.0.1", self.ports["imap"], timeout=30)
        try:
            client.login(f"{address}*{MASTER[0]}", MASTER[1])
            yield client
            client.logout()
        except imaplib.IMAP4.error as error:
            raise HostsBroke(f"Dovecot: {error}") from error
        finally:
            with contextlib.suppress(OSError):  # closed already by LOGOUT
                client.shutdown()


class RunningDovecots:
    """Two Dovecots with other hierarchy separators and other names for the roles."""

    def __init__(self, folder: Path, users: Sequence[RehearsalUser], *, seed: int = 2024) -> None:
        self.tls = folder / "tls"
        self.master = MASTER
        make_certificates(self.tls)
        old_roles = {shelf.path[-1]: shelf.role.decode() for shelf in SHELVES if shelf.role is not None}
        self._servers = [
            DovecotServer(self.tls, "/", MASTER, old_roles),
            DovecotServer(self.tls, ".", MASTER, _NEW_ROLES),
        ]
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._begin(users, seed)
            undo.pop_all()

    @property
    def passwd_file(self) -> Path:
        """Where the new Dovecot looks passwords up."""
        return self._servers[1].users

    def stop(self) -> None:
        """End both."""
        for server in self._servers:
            server.stop()

    def _begin(self, users: Sequence[RehearsalUser], seed: int) -> None:
        for server in self._servers:
            server.start()
        context = ssl.create_default_context(cafile=str(self.tls / "authority.pem"))
        self.old, self.new = (DovecotHost(server, context) for server in self._servers)
        self._servers[0].users.write_text(
            "".join(f"{user.address}:{{PLAIN.b64}}{_base64(user.password)}::::::\n" for user in users)
        )
        self._servers[1].users.write_text("".join(f"{user.address}:::::::\n" for user in users))
        for number, user in enumerate(users):
            store = Mailstore()
            generator = MailGenerator(seed + number, domain=user.address.partition("@")[2])
            generator.fill(store, user.messages)
            self.old.fill(user.address, store)


def _base64(password: str) -> str:
    """Return the password so that a colon in it ends no field."""
    return base64.b64encode(password.encode()).decode()


def _well(answer: tuple[str, list[Any]]) -> list[Any]:
    """Return the data of an answer that must be OK. Raises HostsBroke."""
    if answer[0] != "OK":
        raise HostsBroke(f"Dovecot: {answer}")
    return answer[1]
