"""The target's side of the mapping: mailboxes made there, and none of them standing for two of the source.

A target may refuse a name, or keep it in another form (another letter case, no blank at its end), so
that two source mailboxes would be one there. A mailbox that nothing was copied to yet then gets a plainer
name, and that is remarked.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from mailferry.copying.desk import Run
from mailferry.copying.results import MailboxFailure
from mailferry.copying.sides import at_target
from mailferry.model.causes import Cause, Refused
from mailferry.model.mail import Mailbox
from mailferry.observe.crash_points import crash_point
from mailferry.plan.mailbox_mapping import INBOX, MailboxPair, Namespace, plainer_names, shown_name
from mailferry.remote.imap_client import ImapClient
from mailferry.store import mailboxes
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.remarks import RemarkKind


class Places:
    """The target's mailboxes while they are made."""

    def __init__(self, run: Run, target: ImapClient, listed: Sequence[Mailbox], space: Namespace) -> None:
        self._run = run
        self._target = target
        self._space = space
        self._there = {mailbox.name: mailbox for mailbox in listed if mailbox.selectable}
        self._taken: set[bytes] = set()

    async def make(
        self, pairs: Sequence[tuple[MailboxPair, CopiedMailbox]]
    ) -> list[tuple[MailboxPair, CopiedMailbox]]:
        """Make what is missing; return the pairs that have their place, with the rows as they are now.

        A mailbox that the target does not take under any name is reported in the result.
        """
        self._taken = {row.target_name for _, row in pairs}
        missing = [pair for pair in pairs if not self._is_there(pair[1].target_name)]
        refused: dict[int, Refused] = {}
        for mapped, row in missing:
            self._run.check()
            failure = await self._create(row.target_name, mapped.role)
            if failure is not None:
                refused[row.id] = failure
        if missing:
            await self._list()
        placed = []
        for mapped, row in pairs:
            here: CopiedMailbox | None = row
            if not self._is_there(row.target_name):
                here = await self._elsewhere(mapped, row, refused.get(row.id))
            if here is not None:
                self._remark_role(mapped, here)
                placed.append((mapped, here))
        return placed

    def _is_there(self, name: bytes) -> bool:
        return name in self._there or name.upper() == INBOX

    async def _list(self) -> None:
        with at_target():
            listed = await self._target.list_mailboxes()
        self._there = {mailbox.name: mailbox for mailbox in listed if mailbox.selectable}

    async def _create(self, name: bytes, role: str | None) -> Refused | None:
        try:
            with at_target():
                made = await self._target.create(name, role)
        except Refused as refusal:
            return refusal
        if made:
            crash_point("mailbox-created")
        return None

    async def _elsewhere(
        self, mapped: MailboxPair, row: CopiedMailbox, refusal: Refused | None
    ) -> CopiedMailbox | None:
        """Find a place for a mailbox that has none under its name; None when there is none."""
        fresh = row.target_uidvalidity is None
        for name in plainer_names(mapped.source, row.target_name, self._space) if fresh else ():
            free = self._free(name)
            failure = await self._create(free, mapped.role)
            refusal = refusal or failure
            await self._list()
            if failure is None and self._is_there(free):
                return await self._renamed(mapped, row, free)
        refusal = refusal or Refused(Cause.TARGET_REFUSED, "the target keeps the mailbox under another name")
        self._run.result.failures.append(MailboxFailure(mapped.source.name, refusal.cause, refusal.text))
        return None

    def _free(self, name: bytes) -> bytes:
        """Return the name, or it with the smallest number that nothing stands under in any letter case."""
        lowered = {other.lower() for other in (*self._taken, *self._there)}
        candidate, number = name, 1
        while candidate.lower() in lowered or candidate.upper() == INBOX:
            number += 1
            candidate = name + b"-%d" % number
        self._taken.add(candidate)
        return candidate

    async def _renamed(self, mapped: MailboxPair, row: CopiedMailbox, name: bytes) -> CopiedMailbox:
        def work(conn: Connection) -> CopiedMailbox:
            mailboxes.note(conn, row.id, target_name=name)
            return mailboxes.get(conn, row.id)

        shown = shown_name(name)
        self._run.remarks.note(RemarkKind.RENAMED, mapped.source.name, number=1, detail=f"became {shown}")
        return await self._run.register.write("rename target", work)

    def _remark_role(self, mapped: MailboxPair, row: CopiedMailbox) -> None:
        """Say that a role is not marked at the target: nobody can do it over IMAP once the mailbox is there."""
        mailbox = self._there.get(row.target_name)
        if mapped.role is None or mailbox is None:
            return
        if f"\\{mapped.role}" in mailbox.attributes:
            self._run.remarks.over(RemarkKind.ROLE, row.target_name)
        elif self._run.remarks.known(RemarkKind.ROLE, row.target_name) is None:
            self._run.remarks.note(RemarkKind.ROLE, row.target_name, number=1, detail=mapped.role)
