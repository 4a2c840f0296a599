"""What becomes of copies that waited for a look at the maildrop (`waiting_copies`).

A message that POP3 still shows is hidden from IMAP now: its copy stays and changes over to the ledger of
what came over POP3 (`hidden_mail`), so that what POP3 gives of it, which may be a header without a body,
never takes the place of the whole message. The copies of the others follow their messages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import LeftInbox, Run
from mailferry.copying.digests import HeaderSink
from mailferry.copying.following import delete_copies
from mailferry.copying.learning import UNKNOWN_UID
from mailferry.copying.sides import at_target
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.plan.still_shown import Departed, OverPop3, still_shown
from mailferry.remote.imap_client import ImapClient
from mailferry.store import mailboxes
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import CopiedMailbox


@dataclass(frozen=True, slots=True)
class Staying:
    """Copies that stay: UIDL to the entry in the ledger of INBOX, whose number this is."""

    mailbox_id: int = 0
    entries: Mapping[bytes, LedgerEntry] = field(default_factory=dict)


async def copies_that_stay(
    run: Run,
    target: ImapClient,
    shown: Collection[OverPop3],
    listed: Collection[int],
    names: Mapping[int, bytes],
    copied: Mapping[bytes, LedgerEntry | None],
) -> Staying:
    """Delete the waiting copies whose messages are gone, and return those whose messages POP3 shows.

    `shown` are messages that POP3 shows and IMAP does not, `listed` are INBOX's UIDs as of now, `names` are
    UIDLs as they were learnt, `copied` those of messages that came over POP3 before, with their copies.
    `target` is free to select INBOX. What cannot be told waits on. Raises Refused, Unavailable or Stopped.
    """
    waiting, run.left_inbox = run.left_inbox, LeftInbox()
    book = await _open(run) if waiting.uids else None
    if book is None:
        return Staying()
    left = [uid for uid in sorted(waiting.uids) if book.has(uid) and uid not in listed]
    if not left:
        return Staying(book.row.id)
    run.check()
    with at_target():
        status = await target.select(book.target_name)
    if status.uidvalidity != book.row.target_uidvalidity:
        run.left_inbox = waiting
        return Staying(book.row.id)
    mine = {copy: uid for uid in left if (copy := book.entry(uid).target_uid) != UNKNOWN_UID}
    same = {mine[e.target_uid]: name for name, e in copied.items() if e is not None and e.target_uid in mine}
    free, guessed = [], {}
    for one in shown:
        entry = copied.get(one.name)
        if entry is None or one.name in same.values():
            free.append(one)
        elif entry.digest != one.whole:
            guessed[one.header] = entry.digest
    headers = await _headers(target, mine) if shown else {}
    known = {**names, **same}
    found = still_shown(
        (Departed(uid, book.entry(uid).digest, headers.get(uid), known.get(uid)) for uid in left),
        free,
        guessed,
    )
    gone = [uid for uid in left if uid not in found.names and uid not in found.unclear]
    run.bypass.vanished(len(gone) - waiting.counted)
    await delete_copies(run, target, book, gone)
    run.left_inbox = LeftInbox(found.unclear, asked=True)
    return Staying(book.row.id, {name: book.entry(uid) for uid, name in found.names.items()})


async def nothing_over_pop3(run: Run, target: ImapClient) -> None:
    """The source has closed its POP3: IMAP alone says what is gone."""
    if run.left_inbox.uids:
        await copies_that_stay(run, target, (), (), {}, {})


async def _open(run: Run) -> MailboxBook | None:
    account_id = run.request.account_id

    def inbox(conn: Connection) -> CopiedMailbox | None:
        rows = mailboxes.of_account(conn, account_id)
        return next((row for row in rows if row.source_name.upper() == INBOX), None)

    row = await run.register.read("inbox", inbox)
    return None if row is None else await open_book(run.register, row)


async def _headers(target: ImapClient, copies: Mapping[int, int]) -> dict[int, bytes]:
    """Return source UID to the digest of its copy's header; `copies` is target UID to source UID."""
    sink = HeaderSink()
    if copies:
        with at_target():
            await target.fetch_headers(sorted(copies), sink)
    return {copies[copy]: digest for copy, digest in sink.digests.items() if copy in copies}
