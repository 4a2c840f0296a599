"""Two lab hosts in this process, a store and a desk: passes against hosts whose oddities can be chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import CopyLimits
from mailferry.lab.host import LabHost
from mailferry.lab.mail_generator import MailGenerator
from mailferry.lab.mailstore import Mailstore, differences
from mailferry.lab.premises import LabAccount
from mailferry.store import ledger, mailboxes, maildrops, skipped, uidls
from mailferry.store.database import Database
from mailferry.store.schema_copy import skipped as skipped_rows
from tests.copying.rig import OLD, PASSWORD, PROFILE, Rig, endpoints, make_account, turn


@dataclass
class LabRig(Rig):
    """A rig between lab hosts; `old` and `new` are the account's mail on both sides."""

    @property
    def old(self) -> Mailstore:
        """The source's mail."""
        return self.source.mailstore(OLD)

    @property
    def new(self) -> Mailstore:
        """The target's mail."""
        return self.target.mailstore(OLD)

    def unlike(self) -> list[str]:
        """Say what differs between both sides, as the lab sees it."""
        return differences(self.old.fingerprint(), self.new.fingerprint())

    def ledgered(self) -> dict[bytes, dict[int, int]]:
        """Return source UID to target UID by source mailbox."""

        def work(conn: Any) -> dict[bytes, dict[int, int]]:
            return {
                row.source_name: {e.source_uid: e.target_uid for e in ledger.load(conn, row.id)}
                for row in mailboxes.of_account(conn, self.account_id)
            }

        return self.store.read_now("ledgered", work)

    def skips(self) -> list[tuple[bytes, int, str]]:
        """Return (mailbox, source UID, reason) of what was left out."""
        return self.store.read_now(
            "skips",
            lambda conn: [
                (s.source_name, s.source_uid, s.reason) for s in skipped.listing(conn, self.account_id)
            ],
        )

    def uidl_map(self) -> list[tuple[bytes | None, bytes | None]]:
        """Return the stored map in its order."""
        return self.store.read_now(
            "map",
            lambda conn: [(r.source_uidl, r.target_uidl) for r in uidls.load_map(conn, self.account_id)],
        )

    def let_skips_be_due(self) -> None:
        """Let a long time go by since messages were skipped."""

        def work(conn: Any) -> None:
            conn.execute(update(skipped_rows).values(at=skipped_rows.c.at - 30 * 86400))

        self.store.run_now("later", work)

    def let_logins_be_due(self) -> None:
        """Let the pause go by that the source wants between two logins to its maildrop."""
        self.store.run_now("later", lambda conn: maildrops.note(conn, self.account_id, next_login_at=None))

    def commands(self, host: LabHost, verb: str) -> list[str]:
        """Return all commands that begin with `verb` that this host was sent."""
        return [c for r in host.premises.records for c in r.commands if c.upper().startswith(verb)]


@asynccontextmanager
async def lab(
    store: Database,
    *,
    old: Iterable[str] = (),
    new: Iterable[str] = (),
    messages: int = 0,
    protocols: frozenset[str] = frozenset({"imap", "pop3"}),
    new_delimiter: bytes = b".",
    **limits: Any,
) -> AsyncIterator[LabRig]:
    """Start both hosts; the source holds `messages` generated ones."""
    from twisted.internet import reactor

    source = LabHost(reactor, "old", accounts={OLD: _account(1000, b"/", b"old")}, quirks=old)
    target = LabHost(reactor, "new", accounts={OLD: _account(9000, new_delimiter, b"new")}, quirks=new)
    await source.start()
    await target.start()
    if messages:
        MailGenerator(7).fill(source.mailstore(OLD), messages)
    ports = {"imap": source.imap_port, "pop3": source.pop3_port}
    ends = endpoints(
        reactor,
        {name: port for name, port in ports.items() if name in protocols},
        {"imap": target.imap_port, "pop3": target.pop3_port},
    )
    desk = CopyDesk(
        store, reactor, ends, PROFILE, CopyLimits(settle_patience=0.0, deletions_patience=0.0, **limits)
    )
    rig = LabRig(source, target, store, make_account(store), desk)
    try:
        yield rig
    finally:
        await turn()
        await source.stop()
        await target.stop()
        await turn()


def _account(first_uidvalidity: int, delimiter: bytes, prefix: bytes) -> LabAccount:
    mail = Mailstore(delimiter=delimiter, first_uidvalidity=first_uidvalidity, uidl_prefix=prefix)
    return LabAccount(PASSWORD.encode(), mail)
