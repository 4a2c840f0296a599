"""The map of UIDLs of an account: what POP3 clients know at the source, at the target (design A7).

A pass tells what the source's POP3 showed; here the target's side is learnt, with its copies from the
ledger the map is drawn, and how far it is stays in the store. Afterwards each message that the source's
POP3 showed and that lies in the target's INBOX keeps its UIDL and its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from mailferry.copying.desk import CopyDesk
from mailferry.copying.maildrop_look import standing
from mailferry.copying.maildrop_names import Listed
from mailferry.copying.register import Register
from mailferry.copying.results import MaildropView
from mailferry.copying.sides import at_target
from mailferry.copying.uidl_learning import InboxSide, Learnt, UidlLearner
from mailferry.model.causes import RemoteFailure
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.store import ledger, mailboxes, maildrops, skipped, uidls
from mailferry.store.leases import Lease
from mailferry.store.ledger_blocks import Ledger
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.maildrops import Maildrop
from mailferry.store.uidls import FactsOf, MappedUidl


@dataclass(frozen=True, slots=True)
class UidlState:
    """How far the map is. Counts are messages of the source's POP3 list, except `hidden`."""

    shown: int = 0
    paired: int = 0
    """With their place at the target, or without a UIDL that could be kept."""
    waiting: int = 0
    """Not copied yet, or their place at the target is not learnt yet."""
    left_out: int = 0
    """Skipped by the copy, or from other mailboxes than INBOX: they leave the list."""
    unpaired: int = 0
    """Nobody knows which message of the source they are."""
    hidden: int = 0
    """Copies in INBOX that the source's POP3 never showed."""
    unread: bool = False
    """Not everything was looked at: learn again."""

    @property
    def ready(self) -> bool:
        """Whether a POP3 client would find at the target what it knows."""
        return not self.waiting and not self.unpaired and not self.unread


async def learn_uidls(
    desk: CopyDesk,
    account_id: int,
    view: MaildropView | None,
    *,
    asked: bool,
    lease: Lease | None = None,
    seconds: float | None = None,
) -> UidlState:
    """Learn the target's side of what a pass saw, store the map and say how far it is.

    `view` is the pass's; without one, and POP3 not `asked`, all is as it was. Nobody needs a map where
    source or target have no POP3. Raises Refused or Unavailable; what was learnt until then is stored.
    The target is looked at for `seconds` at most, a slice by default.
    """
    ends = desk.endpoints
    if ends.source_pop3 is None:
        return UidlState()
    register = Register(desk.database, account_id, lease)
    last = await register.read("maildrop", lambda conn: standing(conn, account_id))
    if view is None:
        return _as_left(last.known, unread=asked or (last.due and ends.target_pop3 is not None))
    if not view.unread and last.known.fingerprint == last.fingerprint and _as_left(last.known).ready:
        return _as_left(last.known)
    if ends.target_pop3 is None:
        state = UidlState(unread=view.unread)
        await _note(register, state, last.fingerprint)
        return state
    with at_target():
        target = await _learn_target(desk, register, seconds or desk.limits.slice_seconds)
    drawn, state = await register.read("uidl map", lambda conn: _draw(conn, account_id, view, target))

    def keep(conn: Connection) -> None:
        if state.ready and uidls.packed_map(conn, account_id) != drawn:
            uidls.save_map(conn, account_id, drawn)

    await register.write("uidl map", keep)
    await _note(register, state, last.fingerprint)
    return state


def _as_left(known: Maildrop, *, unread: bool = False) -> UidlState:
    return UidlState(
        known.shown,
        known.paired,
        known.waiting,
        known.left_out,
        known.unpaired,
        known.hidden,
        unread or known.fingerprint is None,
    )


async def _note(register: Register, state: UidlState, fingerprint: bytes) -> None:
    def note(conn: Connection) -> None:
        maildrops.note(
            conn,
            register.account_id,
            fingerprint=None if state.unread else fingerprint,
            shown=state.shown,
            paired=state.paired,
            waiting=state.waiting,
            left_out=state.left_out,
            unpaired=state.unpaired,
            hidden=state.hidden,
        )

    await register.write("maildrop seen", note)


async def _learn_target(desk: CopyDesk, register: Register, seconds: float) -> Learnt:
    account_id, reactor = register.account_id, desk.reactor
    known = await register.read("uidl facts", lambda conn: uidls.facts(conn, account_id, FactsOf.TARGET))
    until = reactor.seconds() + seconds
    assert desk.endpoints.target_pop3 is not None
    imap = await desk.endpoints.target_imap()
    try:
        status = await imap.select(INBOX, read_only=True)
        pop = await desk.endpoints.target_pop3()
        try:
            await pop.capa()
            learner = UidlLearner(pop, InboxSide(imap, status.uidvalidity), lambda: reactor.seconds() < until)
            learnt = await learner.learn(Listed(await pop.uidl()), known)
        finally:
            await pop.quit()
        await _farewell(imap)
    finally:
        imap.close()

    def keep(conn: Connection) -> None:
        uidls.forget(conn, account_id, FactsOf.TARGET, learnt.gone)
        uidls.learn(conn, account_id, FactsOf.TARGET, learnt.facts)

    if learnt.facts or learnt.gone:
        await register.write("learn uidls", keep)
    return learnt


async def _farewell(imap: ImapClient) -> None:
    try:
        await imap.logout()
    except RemoteFailure:
        imap.close()


@dataclass(frozen=True, slots=True)
class _Copies:
    """What one mailbox's ledger says: copies by source UID, and what is skipped."""

    uids: dict[int, int]
    skips: frozenset[int]
    kept: dict[int, int]
    """For want of whole ones: they keep UIDL and place until the whole ones come."""

    @classmethod
    def of(cls, conn: Connection, row: CopiedMailbox | None) -> _Copies:
        if row is None:
            return cls({}, frozenset(), {})
        kept = mailboxes.incomplete(conn, row.account_id).get(row.source_name)
        return cls(
            _by_source_uid(ledger.load(conn, row.id)),
            skipped.of_mailbox(conn, row.id),
            {} if kept is None else _by_source_uid(ledger.load(conn, kept.id)),
        )


def _by_source_uid(book: Ledger) -> dict[int, int]:
    return dict(zip(book.source_uids, book.target_uids, strict=True))


def _draw(
    conn: Connection, account_id: int, view: MaildropView, target: Learnt
) -> tuple[uidls.PackedMap, UidlState]:
    """Draw the map from what both sides showed and what the ledgers say."""
    rows_of = mailboxes.of_account(conn, account_id)
    inbox = _Copies.of(conn, next((row for row in rows_of if row.source_name.upper() == INBOX), None))
    over_pop3 = _Copies.of(conn, mailboxes.over_pop3(conn, account_id))
    places = {uid: uidl for uidl, uid in target.uids.items()}
    rows: list[MappedUidl] = []
    waiting = left_out = unpaired = 0
    for number in sorted(view.uidls):
        uidl = view.uidls[number]
        copies, uid = inbox, view.inbox.get(uidl)
        if uid is None:
            copies, uid = over_pop3, view.hidden.get(uidl)
        if uid is None:
            left_out += uidl in view.elsewhere
            unpaired += uidl not in view.elsewhere
        elif uid in copies.skips and uid not in copies.uids:
            if copies.kept.get(uid) in places:
                rows.append(MappedUidl(uidl, places[copies.kept[uid]]))
            else:
                left_out += 1
        elif copies.uids.get(uid) not in places:
            waiting += 1
        else:
            rows.append(MappedUidl(uidl, places[copies.uids[uid]]))
    shown, ever = len(rows), set(view.inbox.values())
    rows += [
        MappedUidl(None, places[copy])
        for uid, copy in (*inbox.uids.items(), *inbox.kept.items())
        if uid not in ever and copy in places
    ]
    return uidls.pack_map(rows), UidlState(
        shown=view.shown,
        paired=shown + view.shown - len(view.uidls),
        waiting=waiting,
        left_out=left_out,
        unpaired=0 if view.unread else unpaired,
        hidden=len(rows) - shown,
        unread=view.unread or target.unread,
    )
