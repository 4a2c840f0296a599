"""The map of UIDLs of an account: what POP3 clients know at the source, at the target (design A7).

Learnt on both sides in slices, while the copy runs; afterwards each message that the source's POP3
showed and that lies in the target's INBOX keeps its UIDL and its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from mailferry.copying.book import Register
from mailferry.copying.desk import CopyDesk
from mailferry.copying.sides import at_target
from mailferry.copying.uidl_learning import Learnt, UidlLearner
from mailferry.model.access import Side
from mailferry.model.causes import RemoteFailure
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import ledger, mailboxes, skipped, uidls
from mailferry.store.leases import Lease
from mailferry.store.ledger_blocks import Ledger
from mailferry.store.uidls import MappedUidl, UidlFact


@dataclass(frozen=True, slots=True)
class UidlState:
    """How far the map is. Counts are messages of the source's POP3 list, except `hidden`."""

    shown: int = 0
    paired: int = 0
    """With their place at the target."""
    waiting: int = 0
    """Not copied yet, or their place at the target is not learnt yet."""
    left_out: int = 0
    """Skipped by the copy, or from other mailboxes than INBOX: they leave the list."""
    unpaired: int = 0
    """Nobody knows which message of the source they are."""
    hidden: int = 0
    """Copies in INBOX that the source's POP3 never showed."""
    unread: bool = False
    """A slice was over before everything was looked at: learn again."""

    @property
    def ready(self) -> bool:
        """Whether a POP3 client would find at the target what it knows."""
        return not self.waiting and not self.unpaired and not self.unread


async def learn_uidls(
    desk: CopyDesk, account_id: int, *, lease: Lease | None = None, budget_seconds: float | None = None
) -> UidlState:
    """Learn what is new on both sides, store the map and say how far it is.

    Before the flip only. Without POP3 at the source or the target there is nothing to keep. Raises
    Refused or Unavailable; what was learnt until then is stored. Each side is looked at for a slice
    of 30 s at most, and for half of `budget_seconds`.
    """
    seconds = desk.limits.slice_seconds
    if budget_seconds is not None:
        seconds = min(seconds, budget_seconds / 2)
    ends = desk.endpoints
    if ends.source_pop3 is None or ends.target_pop3 is None:
        return UidlState()
    register = Register(desk.database, account_id, lease)
    if ends.source_imap is None:
        source = await _numbers_of_ours(desk, register)
    else:
        source = await _learn_side(
            desk, register, Side.SOURCE, ends.source_imap, ends.source_pop3, seconds=seconds
        )
    with at_target():
        target = await _learn_side(
            desk, register, Side.TARGET, ends.target_imap, ends.target_pop3, seconds=seconds
        )
    return await register.write("uidl map", lambda conn: _draw(conn, account_id, source, target))


async def _learn_side(
    desk: CopyDesk,
    register: Register,
    side: Side,
    open_imap: Callable[[], Awaitable[ImapClient]],
    open_pop3: Callable[[], Awaitable[Pop3Client]],
    *,
    seconds: float,
) -> Learnt:
    known = await register.read("uidl facts", lambda conn: uidls.facts(conn, register.account_id, side))
    imap = await open_imap()
    try:
        status = await imap.select(INBOX, read_only=True)
        pop = await open_pop3()
        try:
            learner = UidlLearner(desk.reactor, pop, imap, seconds=seconds)
            learnt = await learner.learn(known, status.uidvalidity)
        finally:
            await pop.quit()
        await _farewell(imap)
    finally:
        imap.close()

    def keep(conn: Connection) -> None:
        uidls.forget(conn, register.account_id, side, learnt.gone)
        uidls.learn(conn, register.account_id, side, learnt.facts)

    if learnt.facts or learnt.gone:
        await register.write("learn uidls", keep)
    return learnt


async def _farewell(imap: ImapClient) -> None:
    try:
        await imap.logout()
    except RemoteFailure:
        imap.close()


async def _numbers_of_ours(desk: CopyDesk, register: Register) -> Learnt:
    """A source with POP3 only: the ledger's source UIDs are our own numbers for its UIDLs."""
    facts: Sequence[UidlFact] = await register.read(
        "uidl facts", lambda conn: uidls.facts(conn, register.account_id, Side.SOURCE)
    )
    assert desk.endpoints.source_pop3 is not None
    pop = await desk.endpoints.source_pop3()
    try:
        listed = await pop.uidl()
    finally:
        await pop.quit()
    shown = set(listed.values())
    uids = {fact.uidl: fact.uid for fact in facts if fact.uid is not None and fact.uidl in shown}
    return Learnt(listed, (), (), uids, {}, unread=False)


def _draw(conn: Connection, account_id: int, source: Learnt, target: Learnt) -> UidlState:
    """Draw the map from what both sides showed and what the ledger of INBOX says; store it when it changed."""
    inbox = next(
        (row for row in mailboxes.of_account(conn, account_id) if row.source_name.upper() == INBOX), None
    )
    book = ledger.load(conn, inbox.id) if inbox is not None else Ledger()
    skips = skipped.of_mailbox(conn, inbox.id) if inbox is not None else frozenset()
    places = {uid: uidl for uidl, uid in target.uids.items()}
    copies = dict(zip(book.source_uids, book.target_uids, strict=True))
    rows: list[MappedUidl] = []
    waiting = left_out = unpaired = 0
    elsewhere = _digests_elsewhere(conn, account_id, inbox.id if inbox is not None else None, source.unpaired)
    for number in sorted(source.listed):
        uidl = source.listed[number]
        uid = source.uids.get(uidl)
        if uid is None:
            digest = source.unpaired.get(number)
            if digest is not None and digest in elsewhere:
                left_out += 1
            else:
                unpaired += 1
        elif uid in skips and uid not in copies:
            left_out += 1
        elif uid not in copies or copies[uid] not in places:
            waiting += 1
        else:
            rows.append(MappedUidl(uidl, len(rows), places[copies[uid]]))
    shown = len(rows)
    known = set(source.uids.values())
    for uid, copy in copies.items():
        if uid not in known and copy in places:
            rows.append(MappedUidl(None, len(rows), places[copy]))
    if list(uidls.load_map(conn, account_id)) != rows:
        uidls.save_map(conn, account_id, rows)
    return UidlState(
        shown=len(source.listed),
        paired=shown,
        waiting=waiting,
        left_out=left_out,
        unpaired=0 if source.unread else unpaired,
        hidden=len(rows) - shown,
        unread=source.unread or target.unread,
    )


def _digests_elsewhere(
    conn: Connection, account_id: int, inbox: int | None, unpaired: Mapping[int, bytes]
) -> frozenset[bytes]:
    """Return which of these messages were copied into other mailboxes than INBOX."""
    if not unpaired:
        return frozenset()
    wanted = set(unpaired.values())
    found: set[bytes] = set()
    for row in mailboxes.of_account(conn, account_id):
        if row.id != inbox:
            found |= wanted & {entry.digest for entry in ledger.load(conn, row.id)}
    return frozenset(found)
