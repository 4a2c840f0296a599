"""A real Dovecot as the target of a life on a test's clock: what opens it is found out by logging in.

Its passwords stand in a table that its own passdb asks and that our backend writes.
"""

from __future__ import annotations

import imaplib
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from mailferry.model.access import Secret
from mailferry.passwords import schemes
from tests.kit.move import MASTER, USER
from tests.kit.outside import Outside
from tests.kit.peer_plugin import require_sqlite_in_dovecot
from tests.kit.peers import in_thread


class RealTarget:
    """One Dovecot, its table of passwords, and the doors by which our side dials it."""

    def __init__(self, start_peer: Callable[..., Any], scheme: str = "SSHA512", *, user: str = USER) -> None:
        require_sqlite_in_dovecot()
        # not in the test's own folder, which other runs of pytest close to Dovecot's user
        self._folder = tempfile.TemporaryDirectory(prefix="real-target-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)
        file = folder / "passwords.db"
        self.url = f"sqlite:///{file}"
        self.scheme = scheme
        self.user = user
        self._engine = create_engine(self.url)
        self._execute("CREATE TABLE mailbox (username TEXT PRIMARY KEY, password TEXT)")
        file.chmod(0o644)
        query = folder / "dovecot-sql.conf"
        query.write_text(
            f"driver = sqlite\nconnect = {file}\ndefault_pass_scheme = CRYPT\n"
            "password_query = SELECT username AS user, password FROM mailbox WHERE username = '%u'\n"
        )
        self.peer = start_peer(
            "dovecot",
            users={},
            protocols=("imap", "pop3"),
            master=(MASTER[0], MASTER[1].decode()),
            settings=f"passdb {{\n  driver = sql\n  args = {query}\n}}\n",
        )
        self.outside = Outside({name: self.peer.ports[name] for name in ("imap", "pop3")})

    @property
    def settings(self) -> dict[str, Any]:
        """The service's `[passwords]` for this target."""
        return {"backend": "sql", "scheme": self.scheme, "sql": {"url": self.url}}

    # --- as `make_move` wants a target

    @property
    def imap_port(self) -> int:
        return self.outside.ports["imap"]

    @property
    def pop3_port(self) -> int:
        return self.outside.ports["pop3"]

    async def start(self) -> None:
        await self.outside.start()

    async def stop(self) -> None:
        await self.outside.stop()
        self.close()

    def close(self) -> None:
        """Remove the table."""
        self._engine.dispose()
        self._folder.cleanup()

    # --- its administrator

    def choose(self, octets: bytes) -> None:
        """Set the user's password here, behind the service's back; the account is made where it is missing."""
        stored = schemes.make_hash("SSHA512", Secret(octets))
        self._execute("INSERT OR REPLACE INTO mailbox VALUES (:user, :stored)", user=self.user, stored=stored)

    def refuse_changes(self, policy: str) -> None:
        """Let the table refuse whatever is set in it from now on, with these words."""
        self._execute(
            f"CREATE TRIGGER policy BEFORE UPDATE ON mailbox BEGIN SELECT RAISE(ABORT, '{policy}'); END"
        )

    def relax(self) -> None:
        """Let the table take everything again."""
        self._execute("DROP TRIGGER policy")

    def remove_user(self) -> None:
        """Take the user's row away."""
        self._execute("DELETE FROM mailbox WHERE username = :user", user=self.user)

    def _execute(self, statement: str, **values: str) -> None:
        with self._engine.begin() as conn:
            conn.execute(text(statement), values)

    # --- what it takes and holds

    async def opened_by(self, candidates: Iterable[bytes]) -> set[bytes]:
        """Return those of the passwords that log in."""
        return set(await in_thread(self._which_log_in, list(candidates)))

    async def messages(self, mailbox: str = "INBOX") -> int:
        """Return how many messages a mailbox holds."""
        return int(await in_thread(self._count, mailbox))

    def _which_log_in(self, candidates: list[bytes]) -> list[bytes]:
        """Try them at the same time: Dovecot lets every refusal wait for half a second."""
        with ThreadPoolExecutor(len(candidates)) as pool:
            return [
                octets
                for octets, well in zip(candidates, pool.map(self._logs_in, candidates), strict=True)
                if well
            ]

    def _logs_in(self, octets: bytes) -> bool:
        return logs_in(self.peer.ports["imap"], self.user, octets)

    def _count(self, mailbox: str) -> int:
        with imaplib.IMAP4("127.0.0.1", self.peer.ports["imap"]) as client:
            client.login(f"{self.user}*{MASTER[0]}", MASTER[1].decode())
            status, found = client.select(mailbox, readonly=True)
            return int(found[0] or b"0") if status == "OK" else 0


def logs_in(port: int, user: str, octets: bytes) -> bool:
    """Whether the IMAP server takes these octets, by SASL PLAIN."""
    client = imaplib.IMAP4("127.0.0.1", port)
    try:
        client.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + octets)
    except imaplib.IMAP4.error:
        return False
    finally:
        client.shutdown()
    return True
