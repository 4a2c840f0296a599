"""`account skipped --eml`: messages that were not copied, fetched from the source into files.

Each message goes straight to the disk as it comes. Files bear numbers of ours only, nothing that a server
or a sender chose; a message that has its file already is not fetched again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from mailferry.copying.desk import CopyDesk
from mailferry.copying.maildrop_names import list_maildrop
from mailferry.copying.maildrop_numbers import STRIKES
from mailferry.copying.maildrop_visit import visit_maildrop
from mailferry.copying.new_file import NewFile
from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.message_sink import FetchOutcome
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import mailboxes, maildrops, skipped, uidls
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.uidls import FactsOf

AT_ONCE = 50
BREAKS = 3
"""So many sessions that ended at the same message of a maildrop are its fault."""
NOT_LISTED = "the source does not give it any more"
GONE = "its mailbox is gone at the source"
RENUMBERED = "the source has numbered its mailbox anew since; the next pass looks for it"
THERE = "has its file already"


@dataclass(frozen=True, slots=True)
class FetchedMail:
    """What became of one skipped message: its file, or why there is none."""

    mailbox: bytes
    source_uid: int
    file: Path | None
    why: str = ""
    """With a file: empty, or that it was there already."""


Tell = Callable[[FetchedMail], None]


def file_name(mailbox_id: int, source_uid: int) -> str:
    """Return the name of a message's file: by our number of its mailbox and its number in it."""
    return f"{mailbox_id}-{source_uid}.eml"


def make_folder(folder: Path) -> None:
    """Make the folder, for its owner alone; one that exists stays as it is. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)


async def fetch_skipped(
    desk: CopyDesk, account_id: int, folder: Path, tell: Tell, *, only: tuple[int, int] | None = None
) -> None:
    """Fetch skipped messages of an account into `folder` and tell of each one when it is there, or why not.

    All of them, or `only` the one of that mailbox (our number) and source UID. Raises Refused or
    Unavailable when the source cannot be reached, OSError when a file cannot be written.
    """
    make_folder(folder)

    def read(conn: Connection) -> tuple[Sequence[CopiedMailbox], CopiedMailbox | None]:
        return mailboxes.of_account(conn, account_id), mailboxes.over_pop3(conn, account_id)

    rows, hidden = await desk.database.read("mailboxes", read)
    one = None if only is None else only[1]
    if only is not None:
        rows = [row for row in rows if row.id == only[0]]
        hidden = hidden if hidden is not None and hidden.id == only[0] else None
    if desk.endpoints.source_imap is None:
        for row in rows:
            await _Maildrop(desk, row, FactsOf.SOURCE, folder, tell, one).fetch_all()
        return
    await _Imap(desk, desk.endpoints.source_imap, folder, tell, one).fetch_all(rows)
    if hidden is not None:
        await _Maildrop(desk, hidden, FactsOf.HIDDEN, folder, tell, one).fetch_all()


async def _wanted(desk: CopyDesk, row: CopiedMailbox, folder: Path, tell: Tell, one: int | None) -> list[int]:
    """Return the source UIDs of a mailbox's skipped messages that have no file yet, or just `one` of them."""
    uids = await desk.database.read("skipped", lambda conn: skipped.of_mailbox(conn, row.id))
    if one is not None:
        uids &= {one}
    left = []
    for uid in sorted(uids):
        path = folder / file_name(row.id, uid)
        if path.exists():
            tell(FetchedMail(row.source_name, uid, path, THERE))
        else:
            left.append(uid)
    return left


class _Files:
    """A sink: each message into its file. `uids` is the key of the fetch to the message's source UID."""

    def __init__(self, row: CopiedMailbox, uids: Mapping[int, int], folder: Path, tell: Tell) -> None:
        self._row = row
        self._uids = uids
        self._folder = folder
        self._tell = tell
        self._file: NewFile | None = None
        self.done: set[int] = set()
        """Source UIDs that were told of."""
        self.begun: int | None = None
        """The message that came last."""

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the octets are counted by the disk
        """Begin a file."""
        self.close()
        self.begun = self._uids[key]
        self._file = NewFile(self._folder / file_name(self._row.id, self.begun))

    def chunk(self, data: bytes) -> None:
        """Write octets."""
        if self._file is not None:
            self._file.stream.write(data)

    def end(self) -> None:
        """Keep the file."""
        assert self._file is not None
        assert self.begun is not None
        self._file.keep()
        self._told(self.begun, self._file.path, "")
        self._file = self.begun = None

    def broken(self) -> None:
        """Take the file away."""
        self.close()

    def close(self) -> None:
        """Take away what is not whole."""
        if self._file is not None:
            self._file.drop()
            self._file = None

    def not_had(self, uids: Iterable[int], why: str) -> None:
        """Tell why messages could not be had, as far as nothing was told of them."""
        for uid in uids:
            if uid not in self.done:
                self._told(uid, None, why)

    def note(self, outcome: FetchOutcome) -> None:
        """Tell of what was refused or did not come."""
        for key, failure in outcome.refused.items():
            self.not_had([self._uids[key]], failure.text or failure.cause.value)
        self.not_had([self._uids[key] for key in outcome.missing], NOT_LISTED)

    def _told(self, uid: int, file: Path | None, why: str) -> None:
        self.done.add(uid)
        self._tell(FetchedMail(self._row.source_name, uid, file, why))


class _Imap:
    """Over IMAP, in one session after the other: a message that ends a session is left out."""

    def __init__(
        self,
        desk: CopyDesk,
        opening: Callable[[], Awaitable[ImapClient]],
        folder: Path,
        tell: Tell,
        one: int | None,
    ) -> None:
        self._desk = desk
        self._opening = opening
        self._folder = folder
        self._tell = tell
        self._one = one
        self._client: ImapClient | None = None
        self._open: int | None = None
        """The mailbox that is selected."""

    async def fetch_all(self, rows: Sequence[CopiedMailbox]) -> None:
        """Fetch the skipped messages of these mailboxes."""
        try:
            for row in rows:
                uids = await _wanted(self._desk, row, self._folder, self._tell, self._one)
                if uids:
                    await self._fetch(row, uids)
            if self._client is not None and not self._client.closed:
                await self._client.logout()
        finally:
            if self._client is not None:
                self._client.close()

    async def _fetch(self, row: CopiedMailbox, uids: Sequence[int]) -> None:
        files = _Files(row, {uid: uid for uid in uids}, self._folder, self._tell)
        left, alone = list(uids), 0
        while left:
            client = await self._selected(row, files, left)
            if client is None:
                return
            part = left[: 1 if alone else AT_ONCE]
            files.begun = None
            try:
                files.note(await client.fetch_bodies(part, files))
            except Refused as refusal:
                files.not_had(part, refusal.text or refusal.cause.value)
            except Unavailable as failure:
                client.close()
                broke = part[0] if len(part) == 1 else files.begun
                if broke is None:  # nobody knows which of them it was: one by one
                    alone = len(part) + 1
                else:
                    files.not_had([broke], f"the connection broke off at it: {failure.text}")
            finally:
                files.close()
            alone = max(0, alone - 1)
            left = [uid for uid in left if uid not in files.done]

    async def _selected(self, row: CopiedMailbox, files: _Files, left: Collection[int]) -> ImapClient | None:
        """Return a session that has the mailbox open; None when it is told that there can be none."""
        if self._client is None or self._client.closed:
            self._client, self._open = await self._opening(), None
        if self._open == row.id:
            return self._client
        self._open = None
        try:
            status = await self._client.select(row.source_name, read_only=True)
        except Refused as refusal:
            listed = {one.name for one in await self._client.list_mailboxes()}
            files.not_had(left, refusal.text if row.source_name in listed else GONE)
            return None
        if row.source_uidvalidity not in {None, status.uidvalidity}:
            files.not_had(left, RENUMBERED)
            return None
        self._open = row.id
        return self._client


class _Maildrop:
    """Over POP3: a message is found again by its UIDL, or by what stands for one."""

    def __init__(
        self, desk: CopyDesk, row: CopiedMailbox, of: FactsOf, folder: Path, tell: Tell, one: int | None
    ) -> None:
        self._desk = desk
        self._row = row
        self._of = of
        self._folder = folder
        self._tell = tell
        self._one = one
        self._left: list[int] = []
        self._breaks = 0

    async def fetch_all(self) -> None:
        """Fetch the skipped messages of the maildrop."""
        if self._desk.endpoints.source_pop3 is None:
            raise Refused(Cause.PROTOCOL_DISABLED, "the source has no POP3")
        self._left = await _wanted(self._desk, self._row, self._folder, self._tell, self._one)
        if self._left:
            await visit_maildrop(self._desk, self._row.account_id, self._visit)

    async def _visit(self, client: Pop3Client, in_time: Callable[[], bool]) -> bool:
        account_id = self._row.account_id
        known, renumbered = await self._desk.database.read(
            "maildrop",
            lambda conn: (
                uidls.facts(conn, account_id, self._of),
                maildrops.get(conn, account_id).renumbered,
            ),
        )
        listed = await list_maildrop(client, known, use_uidls=renumbered < STRIKES, in_time=lambda: True)
        uid_of = {fact.uidl: fact.uid for fact in known if fact.uid is not None}
        numbers = {uid_of[name]: number for number, name in listed.names.items() if name in uid_of}
        while self._left:
            uid = self._left[0]
            if not in_time() or client.closed:
                return False
            files = _Files(self._row, {numbers.get(uid, 0): uid}, self._folder, self._tell)
            if uid in numbers:
                await self._fetch(client, numbers[uid], listed.sizes, files)
            files.not_had([uid] if uid not in numbers else (), NOT_LISTED)
            if uid in files.done:
                self._left.pop(0)
        return True

    async def _fetch(self, client: Pop3Client, number: int, sizes: Mapping[int, int], files: _Files) -> None:
        try:
            files.note(await client.fetch([number], files, sizes=sizes))
        except Unavailable as failure:  # it may have been the user, who wanted the maildrop
            self._breaks += 1
            if self._breaks >= BREAKS:
                files.not_had([self._left[0]], f"the connection broke off at it: {failure.text}")
        finally:
            files.close()
        if files.done:
            self._breaks = 0
