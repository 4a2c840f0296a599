"""Before messages are copied: the mailboxes of both sides, mapped, created, subscribed and told apart.

The mapping is written down before the first mailbox is created, so that a run that dies in between is
followed by one that maps alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from mailferry.copying.desk import Run
from mailferry.copying.placing import Places
from mailferry.copying.results import Mode
from mailferry.copying.side_by_side import both
from mailferry.copying.sides import Pair, at_target
from mailferry.model.causes import Cause, Refused
from mailferry.model.mail import Mailbox, MailboxStatus
from mailferry.model.profile import Profile
from mailferry.plan.mailbox_mapping import (
    INBOX,
    MailboxPlan,
    Namespace,
    guessed_namespace,
    plan_mailboxes,
)
from mailferry.remote.imap_client import ImapClient
from mailferry.store import mailboxes
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.remarks import RemarkKind
from mailferry.wire.server_text import decode_text, visible

MOST_OF_RIGHTS = 300
"""Characters of a mailbox's identifiers that a remark keeps; it counts all of them."""


@dataclass(frozen=True, slots=True)
class MailboxJob:
    """One mailbox to work on."""

    row: CopiedMailbox
    role: str | None

    @property
    def source_name(self) -> bytes:
        """Its raw name at the source."""
        return self.row.source_name


@dataclass(frozen=True, slots=True)
class Prepared:
    """What there is to do, INBOX first, and mailboxes that the source does not list any more."""

    jobs: tuple[MailboxJob, ...]
    gone: tuple[CopiedMailbox, ...]
    plan: MailboxPlan


class _Side(NamedTuple):
    """What one host tells of an account's mailboxes."""

    mailboxes: Sequence[Mailbox]
    space: Namespace
    subscribed: frozenset[bytes]


async def prepare(run: Run, pair: Pair) -> Prepared:
    """Map the mailboxes, write the mapping down, and make the target's side of it.

    A mailbox that the target refuses to create is reported in the result and left out.
    """
    known = await run.register.read(
        "mailboxes", lambda conn: mailboxes.of_account(conn, run.request.account_id)
    )
    source, target = await both(_side(pair.source), _target_side(pair.target))
    _remark_unreadable(run, pair.source)
    plan = _plan(run.desk.profile, source, target, known)
    rows = await _rows(run, plan, known)
    places = Places(run, pair.target, target.mailboxes, target.space)
    jobs: list[MailboxJob] = []
    wanted: list[CopiedMailbox] = []
    for mapped, row in await places.make(list(zip(plan.pairs, rows, strict=True))):
        run.check()
        if mapped.source.name in source.subscribed and not row.subscribed:
            wanted.append(row)
        jobs.append(MailboxJob(row, mapped.role))
    await _subscribe(run, pair.target, wanted, target.subscribed)
    await _remark_rights(run, pair.source, [job.row for job in jobs])
    listed = {mapped.source.name for mapped in plan.pairs}
    gone = tuple(row for row in known if row.source_name not in listed and not row.gone)
    return Prepared(tuple(jobs), gone, plan)


async def plan_for(profile: Profile, pair: Pair, known: Sequence[CopiedMailbox]) -> MailboxPlan:
    """Return the mapping for what both sides list now; what was mapped before stays."""
    source, target = await both(_side(pair.source), _target_side(pair.target))
    return _plan(profile, source, target, known)


def _plan(profile: Profile, source: _Side, target: _Side, known: Sequence[CopiedMailbox]) -> MailboxPlan:
    return plan_mailboxes(
        source.mailboxes,
        target.mailboxes,
        profile=profile,
        source_namespace=source.space,
        target_namespace=target.space,
        kept={row.source_name: row.target_name for row in known},
    )


def _remark_unreadable(run: Run, source: ImapClient) -> None:
    """Say what the source listed in a way that nobody understands: it may be a mailbox."""
    for line in run.remarks.subjects(RemarkKind.UNREADABLE):
        run.remarks.over(RemarkKind.UNREADABLE, line)
    for line in source.unread_lists:
        run.remarks.note(RemarkKind.UNREADABLE, line[:200], number=1)


async def _remark_rights(run: Run, source: ImapClient, rows: Sequence[CopiedMailbox]) -> None:
    """Say which mailboxes are open to others at the source; once for each, before its first message is copied."""
    new, found = [row.source_name for row in rows if row.target_uidvalidity is None], False
    for name, identifiers in (await source.shared_with(new) if new else {}).items():
        words = visible(decode_text(b", ".join(identifiers)))[:MOST_OF_RIGHTS]
        run.remarks.note(RemarkKind.RIGHTS, name, number=len(identifiers) - 1, detail=words)
        found = True
    if found:
        await run.remarks.write()  # nobody asks again once messages were copied, whatever ends this pass


def _with_inbox(listed: Sequence[Mailbox]) -> Sequence[Mailbox]:
    """INBOX is there whether or not a server lists it (RFC 3501 5.1): what came in must not stay behind."""
    if any(mailbox.name.upper() == INBOX for mailbox in listed):
        return listed
    return [Mailbox(INBOX, next((mailbox.delimiter for mailbox in listed), None)), *listed]


async def _side(client: ImapClient) -> _Side:
    listed = _with_inbox(await client.list_mailboxes())
    told = await client.namespace()
    space = guessed_namespace(listed) if told is None else Namespace(*told)
    try:
        subscribed = await client.subscribed()
    except Refused:
        subscribed = frozenset()
    return _Side(listed, space, subscribed)


async def _target_side(client: ImapClient) -> _Side:
    with at_target():
        return await _side(client)


async def _rows(run: Run, plan: MailboxPlan, known: Sequence[CopiedMailbox]) -> Sequence[CopiedMailbox]:
    """Return the mailboxes' rows in the plan's order; nothing is written where all of them are known."""
    there = {row.source_name: row for row in known if not row.gone}
    if all(mapped.source.name in there for mapped in plan.pairs):
        return [there[mapped.source.name] for mapped in plan.pairs]
    return await run.register.write("map mailboxes", lambda conn: _ensure(conn, run.request.account_id, plan))


def _ensure(conn: Connection, account_id: int, plan: MailboxPlan) -> list[CopiedMailbox]:
    rows = []
    for mapped in plan.pairs:
        name = mapped.source.name
        row = mailboxes.ensure(
            conn,
            account_id,
            name,
            target_name=mapped.target_name,
            role=mapped.role,
        )
        if row.gone:
            mailboxes.note(conn, row.id, gone=False)
        rows.append(row)
    return rows


async def _subscribe(
    run: Run, target: ImapClient, rows: Sequence[CopiedMailbox], there: frozenset[bytes]
) -> None:
    """Subscribe what the user subscribed at the source; once, because later the target is the user's.

    What the target refuses is asked for again in the next pass; the mail goes on.
    """
    followed: list[int] = []
    for row in rows:
        run.check()
        try:
            if row.target_name not in there:
                with at_target():
                    await target.subscribe(row.target_name)
        except Refused:
            continue
        followed.append(row.id)

    def note(conn: Connection) -> None:
        for mailbox_id in followed:
            mailboxes.note(conn, mailbox_id, subscribed=True)

    if followed:
        await run.register.write("subscribed", note)


async def require_other_uidvalidity(
    run: Run, pair: Pair, row: CopiedMailbox, source: MailboxStatus, target: MailboxStatus
) -> MailboxStatus:
    """Return the target's status with a UIDVALIDITY unlike the source's (design A6).

    Equal ones would make a mail program show cached bodies of other messages after the flip. A
    mailbox of ours that is still empty is made anew. Raises Refused with UIDVALIDITY_EQUAL.
    """
    if source.uidvalidity != target.uidvalidity:
        return target
    name = row.target_name
    if target.exists == 0 and name.upper() != INBOX:
        with at_target():
            await pair.target.select(INBOX, read_only=True)  # no server deletes what is selected gladly
            await pair.target.delete_mailbox(name)
            await pair.target.create(name, row.role)
            if row.subscribed:
                await pair.target.subscribe(name)
            target = await pair.target.select(name)
    if source.uidvalidity == target.uidvalidity and run.request.mode is Mode.MIRROR:
        shown = name.decode("ascii", "backslashreplace")
        raise Refused(
            Cause.UIDVALIDITY_EQUAL,
            f"the mailbox {shown} has UIDVALIDITY {target.uidvalidity} on both hosts; on a Dovecot target: "
            f"doveadm mailbox update -u ADDRESS --uid-validity {target.uidvalidity + 1} {shown}",
        )
    return target
