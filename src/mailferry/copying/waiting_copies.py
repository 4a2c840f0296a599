"""Copies of messages that INBOX lists no more, where POP3 may show the messages still.

Folder caps and windows hide messages that are there. Whether a source has taken a message away or merely
hides it from IMAP is seen when the maildrop is looked at, at the end of the pass (`still_over_pop3`):
until then its copy waits. A deletion that our own sessions saw acknowledged needs no second word.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailferry.copying.desk import LeftInbox, Run
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.store import maildrops
from mailferry.store.database import db_now

OPENS_AGAIN_SECONDS = 86400.0
"""A maildrop that was open no longer ago than this is waited for."""


async def without_waiting(box: OpenMailbox, gone: Sequence[int], *, excused: int) -> list[int]:
    """Return of these vanished messages those whose copies may go now, and note the others.

    A maildrop that nobody could ever open has no say. `excused` of them our own sessions saw deleted.
    """
    run, book = box.run, box.book
    ends = run.desk.endpoints
    if ends.source_imap is None or ends.source_pop3 is None or book.source_name.upper() != INBOX:
        return list(gone)
    run.left_inbox = LeftInbox()
    if len(gone) <= excused:
        return list(gone)
    account_id = run.request.account_id
    maildrop = await run.register.read("maildrop", lambda conn: maildrops.get(conn, account_id))
    if maildrop.looked_at is None:
        return list(gone)
    run.left_inbox = LeftInbox(frozenset(gone), excused + book.row.held_deletions)
    return []


async def note_waiting(run: Run) -> None:
    """Count the copies that wait on behind this pass: the account is not switched, or they would stay for ever.

    Not for longer than a day behind the last time that the maildrop was open, and not against an approval.
    """
    if not run.left_inbox.uids or run.left_inbox.asked or run.request.approved:
        return
    account_id = run.request.account_id
    now, maildrop = await run.register.read(
        "maildrop", lambda conn: (db_now(conn), maildrops.get(conn, account_id))
    )
    if maildrop.looked_at is not None and now - maildrop.looked_at < OPENS_AGAIN_SECONDS:
        run.result.waiting_copies = len(run.left_inbox.uids)
