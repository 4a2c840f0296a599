"""The ledger in the database: once for ever, in one transaction with its intent, small."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from mailferry.store import intents, ledger, mailboxes, skipped
from mailferry.store import ledger_blocks as ledger_blocks_module
from mailferry.store.database import Database
from mailferry.store.faults import Conflict, Unknown
from mailferry.store.ledger import Ledger, LedgerEntry
from mailferry.store.ledger_blocks import BLOCK_ENTRIES, Growth
from mailferry.store.schema_copy import ledger_blocks
from tests.kit.stores import OpenStore
from tests.store.rows import idle, mailbox, precopy
from tests.store.test_ledger_blocks import entry


def commit(store: Database, mailbox_id: int, entries, **more) -> None:
    store.run_now("commit", lambda conn: ledger.commit(conn, mailbox_id, entries, **more))


def held(store: Database, mailbox_id: int) -> list[LedgerEntry]:
    return list(store.read_now("load", lambda conn: ledger.load(conn, mailbox_id)))


def blocks(store: Database) -> list[int]:
    query = select(ledger_blocks.c.entries).order_by(ledger_blocks.c.mailbox_id, ledger_blocks.c.low_uid)
    return store.read_now("blocks", lambda conn: list(conn.execute(query).scalars()))


def open_intent(store: Database, mailbox_id: int, uids) -> int:
    return store.run_now(
        "intent",
        lambda conn: intents.open_intent(
            conn,
            mailbox_id,
            target_name=b"Sent",
            target_uidvalidity=77,
            target_uidnext=12,
            source_uids=uids,
            source_uidvalidity=5,
        ),
    )


def test_entries_are_kept_by_source_uid(store: Database) -> None:
    box = mailbox(store, precopy(store)).id
    commit(store, box, [entry(9), entry(3)])
    commit(store, box, [entry(5)])
    assert held(store, box) == [entry(3), entry(5), entry(9)]
    assert store.read_now("size", lambda conn: ledger.size(conn, box)) == 3


@pytest.mark.hazard("D1")
def test_the_same_entry_again_changes_nothing_and_another_target_is_a_conflict(store: Database) -> None:
    box = mailbox(store, precopy(store)).id
    commit(store, box, [entry(1, 10)])
    commit(store, box, [entry(1, 10)])
    with pytest.raises(Conflict, match="source uid 1 is target uid 10, not 11"):
        commit(store, box, [entry(2, 12), entry(1, 11)])
    assert held(store, box) == [entry(1, 10)]


@pytest.mark.hazard("D1")
def test_an_intent_is_settled_with_its_entries_or_not_at_all(store: Database) -> None:
    account = precopy(store)
    box = mailbox(store, account).id
    intent = open_intent(store, box, [7, 1, 3])
    found = store.read_now("pending", lambda conn: intents.pending(conn, account.id))
    assert [(i.id, i.mailbox_id, i.target_name, i.target_uidvalidity, i.target_uidnext) for i in found] == [
        (intent, box, b"Sent", 77, 12)
    ]
    assert found[0].source_uids == (7, 1, 3)

    def broken(conn):
        ledger.commit(conn, box, [entry(1)], settles=intent)
        raise ValueError

    with pytest.raises(ValueError):
        store.run_now("broken", broken)
    assert held(store, box) == []
    assert len(store.read_now("pending", lambda conn: intents.pending(conn, account.id))) == 1
    commit(store, box, [entry(1), entry(3)], settles=intent)
    assert store.read_now("pending", lambda conn: intents.pending(conn, account.id)) == []
    with pytest.raises(Conflict, match="settled by somebody else"):
        commit(store, box, [entry(7)], settles=intent)
    assert held(store, box) == [entry(1), entry(3)]


def test_an_intent_without_copies_is_just_removed(store: Database) -> None:
    account = precopy(store)
    box = mailbox(store, account).id
    intent = open_intent(store, box, range(1, 4))
    for _ in range(2):
        store.run_now("settle", lambda conn: intents.settle(conn, intent))
    assert store.read_now("pending", lambda conn: intents.pending(conn, account.id)) == []


def test_two_writers_of_one_block_do_not_overwrite_each_other(store: Database, open_store: OpenStore) -> None:
    box = mailbox(store, precopy(store)).id
    commit(store, box, [entry(1)])
    other = open_store()
    interfered: list[bool] = []

    def slow(conn):
        block = ledger._block_for(conn, box, 2)
        if not interfered and conn.dialect.name == "postgresql":
            interfered.append(True)
            commit(other, box, [entry(3)])
        ledger._write(conn, box, block, Ledger([*block.ledger, entry(2)]), Growth.END)

    if store.status().kind == "postgresql":
        with pytest.raises(Conflict, match="another writer"):
            store.run_now("slow", slow)
        assert held(store, box) == [entry(1), entry(3)]
    else:  # the second writer waits for its turn and sees what the first wrote
        store.run_now("slow", slow)
        commit(other, box, [entry(3)])
        assert held(store, box) == [entry(1), entry(2), entry(3)]


def test_two_writers_of_a_new_block_do_not_both_make_it(store: Database, open_store: OpenStore) -> None:
    box = mailbox(store, precopy(store)).id
    other = open_store()
    if store.status().kind == "sqlite":
        commit(other, box, [entry(1)])
        commit(store, box, [entry(1)])
    else:

        def slow(conn):
            block = ledger._block_for(conn, box, 1)
            commit(other, box, [entry(1, 5)])
            ledger._write(conn, box, block, Ledger([entry(1, 6)]), Growth.END)

        with pytest.raises(Conflict):
            store.run_now("slow", slow)
    assert len(held(store, box)) == 1


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_blocks_hold_what_came_in_any_order(store: Database, order: str) -> None:
    box = mailbox(store, precopy(store)).id
    uids = list(range(1, 2001))
    if order == "descending":
        uids.reverse()
    if order == "random":
        random.Random(5).shuffle(uids)
    for at in range(0, len(uids), 100):
        commit(store, box, [entry(uid) for uid in uids[at : at + 100]])
    assert held(store, box) == [entry(uid) for uid in range(1, 2001)]
    sizes = blocks(store)
    assert max(sizes) <= BLOCK_ENTRIES
    assert len(sizes) <= (4 if order != "random" else 9)


_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["commit", "forget", "flags", "retarget"]), st.sets(st.integers(1, 60), max_size=25)
    ),
    max_size=8,
)


def test_the_ledger_is_a_dictionary(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BLOCK_ENTRIES", 7)
    monkeypatch.setattr(ledger_blocks_module, "BLOCK_ENTRIES", 7)
    box = mailbox(store, idle(store)).id

    @given(actions=_ACTIONS)
    @settings(max_examples=40, deadline=None)
    def holds(actions) -> None:
        model: dict[int, LedgerEntry] = {}

        def work(conn):
            ledger.rewrite(conn, box, [])
            for number, (action, uids) in enumerate(actions):
                _both(conn, box, model, action=action, uids=uids, number=number)
            return list(ledger.load(conn, box))

        assert store.run_now("actions", work) == [model[uid] for uid in sorted(model)]

    holds()


def _both(conn, box: int, model: dict[int, LedgerEntry], *, action: str, uids: set[int], number: int) -> None:
    """Do the same to the ledger and to a dictionary."""
    known = uids & set(model)
    key = number.to_bytes(4, "big")
    if action == "commit":
        fresh = {uid: entry(uid) for uid in uids - known}
        ledger.commit(conn, box, fresh.values())
        model.update(fresh)
    elif action == "forget":
        ledger.forget(conn, box, uids)
        for uid in known:
            del model[uid]
    elif action == "flags":
        ledger.update_flags(conn, box, dict.fromkeys(uids, key))
        model.update({uid: model[uid]._replace(flags_key=key) for uid in known})
    else:
        ledger.retarget(conn, box, {uid: uid + 1000 * number for uid in uids})
        model.update({uid: model[uid]._replace(target_uid=uid + 1000 * number) for uid in known})


def octets_on_disk(store: Database) -> int:
    """What the rows of the account take on the disk, after PostgreSQL has cleared away old versions."""
    status = store.status()
    if status.kind == "sqlite":
        return status.octets
    import psycopg

    with psycopg.connect(str(store.place.url.set(drivername="postgresql")), autocommit=True) as conn:
        for table in ("ledger_blocks", "uidl_blocks", "uidl_maps"):
            conn.execute(f"VACUUM FULL {table}")
        row = conn.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relname IN "
            "('ledger_blocks', 'mailboxes', 'intents', 'skipped', 'uidl_blocks', 'uidl_maps')"
        ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.timeout(120)
def test_a_hundred_thousand_messages_take_less_than_four_megabytes(store: Database) -> None:
    account = precopy(store)
    names = [b"INBOX", b"Sent", *(b"&Zft-%d" % n for n in range(10))]
    boxes = [mailbox(store, account, name).id for name in names]
    before = octets_on_disk(store)
    dice = random.Random(7)
    flags = [bytes(4), b"seen", b"answ", *(dice.randbytes(4) for _ in range(20))]

    def work(conn):
        for number, box in enumerate(boxes):
            count = 40_000 if number == 0 else (100_000 - 40_000) // (len(boxes) - 1) + 1
            uid, fresh = 0, []
            for target in range(1, count + 1):
                uid += dice.choice([1, 1, 1, 2, 5, 40])
                fresh.append(LedgerEntry(uid, target, dice.randbytes(16), dice.choice(flags)))
            for at in range(0, count, 2000):
                ledger.commit(conn, box, fresh[at : at + 2000])
        for uid in range(1, 200):
            skipped.note(conn, boxes[0], uid, reason="too_big", detail="NO [LIMIT] too big", size=10**8)

    store.run_now("fill", work)
    used = octets_on_disk(store) - before
    print(f"{used / 100_000:.1f} octets a message")
    assert used <= 3_000_000, f"{used / 100_000:.1f} octets a message"


def test_a_ledger_of_fifty_thousand_is_read_in_no_time(store: Database) -> None:
    import time

    box = mailbox(store, precopy(store)).id
    commit(store, box, [entry(uid) for uid in range(1, 50_001)])
    began = time.process_time()
    loaded = store.read_now("load", lambda conn: ledger.load(conn, box))
    assert len(loaded) == 50_000
    assert time.process_time() - began < 0.25


# --- mailboxes and skipped messages


def test_a_mailbox_keeps_its_target_over_runs(store: Database) -> None:
    account = precopy(store)
    first = mailbox(store, account, b"&V4NXPpCuTvY-")

    def again(conn):
        return mailboxes.ensure(conn, account.id, b"&V4NXPpCuTvY-", target_name=b"Other", role="junk")

    assert store.run_now("again", again) == first
    store.run_now(
        "note",
        lambda conn: mailboxes.note(
            conn,
            first.id,
            source_uidvalidity=9,
            source_highestmodseq=(1 << 63) - 1,
            held_deletions=4,
            gone=True,
        ),
    )
    after = store.read_now("get", lambda conn: mailboxes.get(conn, first.id))
    assert (after.source_uidvalidity, after.source_highestmodseq, after.gone) == (9, (1 << 63) - 1, True)
    assert store.read_now("held", lambda conn: mailboxes.held_deletions(conn, account.id)) == 4
    store.run_now("carried out", lambda conn: mailboxes.note(conn, first.id, held_deletions=0))
    assert store.read_now("held", lambda conn: mailboxes.held_deletions(conn, account.id)) == 0
    assert [box.id for box in store.read_now("all", lambda conn: mailboxes.of_account(conn, account.id))] == [
        first.id
    ]
    with pytest.raises(Unknown):
        store.run_now("note", lambda conn: mailboxes.note(conn, 999, gone=True))


def test_a_skipped_message_is_listed_once_with_its_tries(store: Database) -> None:
    account = precopy(store)
    box = mailbox(store, account).id

    def skip(uid: int, reason: str) -> bool:
        return store.run_now("skip", lambda conn: skipped.note(conn, box, uid, reason=reason, size=5))

    assert skip(1, "too_big")
    assert skip(2, "nul_refused")
    assert not skip(1, "too_big")
    rows = store.read_now("list", lambda conn: skipped.listing(conn, account.id))
    assert [(row.source_name, row.source_uid, row.reason, row.tries) for row in rows] == [
        (b"INBOX", 1, "too_big", 2),
        (b"INBOX", 2, "nul_refused", 1),
    ]
    assert len(store.read_now("list", lambda conn: skipped.listing(conn, account.id, after=rows[0].id))) == 1
    assert store.read_now("counts", lambda conn: skipped.counts(conn, account.id)) == {
        "too_big": 1,
        "nul_refused": 1,
    }
    assert store.run_now("forget", lambda conn: skipped.forget(conn, box, [1, 99])) == 1
    assert store.read_now("uids", lambda conn: skipped.of_mailbox(conn, box)) == {2}


def test_what_belongs_to_an_account_goes_with_it(store: Database) -> None:
    account = precopy(store)
    box = mailbox(store, account).id
    open_intent(store, box, [1])
    commit(store, box, [entry(1)])
    store.run_now("remove", lambda conn: conn.execute(text("DELETE FROM accounts")))
    for table in ("mailboxes", "intents", "ledger_blocks", "history"):
        count = store.read_now(
            "count", lambda conn, t=table: conn.execute(text(f"SELECT count(*) FROM {t}")).scalar()
        )
        assert count == 0, table
