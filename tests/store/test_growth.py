"""How much a large account takes in the store, with all that is known of its maildrop."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mailferry.store import ledger, skipped, uidls
from mailferry.store.database import Database
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.uidls import FactsOf, MappedUidl, UidlFact
from tests.store.rows import mailbox, precopy
from tests.store.test_ledger import octets_on_disk

MESSAGES = 50_000
FIGURE = 40 * MESSAGES
"""Octets: 4 MB for 100,000 messages."""
BATCH = 2000
DICE = random.Random(11)
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"


def by_formula(number: int) -> bytes:
    return b"%08x5f3c2a10" % number


def by_chance(_: int) -> bytes:
    return bytes(DICE.choices(ALPHABET, k=22))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("uidl_of", [by_formula, by_chance], ids=["by a formula", "by chance"])
def test_a_large_account_takes_its_figure_and_the_uidl_strings_that_no_formula_gives(
    store: Database, uidl_of: Callable[[int], bytes]
) -> None:
    account = precopy(store)
    box = mailbox(store, account).id
    before = octets_on_disk(store)
    sources = [uidl_of(number) for number in range(1, MESSAGES + 1)]
    targets = [b"%08x5f3d0000" % number for number in range(1, MESSAGES + 1)]
    flags = [DICE.randbytes(4) for _ in range(20)]
    for at in range(0, MESSAGES, BATCH):
        part = range(at + 1, at + BATCH + 1)
        entries = [
            LedgerEntry(uid, uid, DICE.randbytes(16), DICE.choice(flags), found=uid % 50 == 0) for uid in part
        ]

        def work(conn, part=part, entries=entries) -> None:
            ledger.commit(conn, box, entries)
            for uid in part[:4]:
                skipped.note(conn, box, uid, reason="too_big", detail="NO [LIMIT] too big", size=10**8)

        store.run_now("fill", work)
    drawn = uidls.pack_map([MappedUidl(*pair) for pair in zip(sources, targets, strict=True)])
    here = [UidlFact(uidl, b"", uid, DICE.randrange(500, 80_000)) for uid, uidl in enumerate(sources, 1)]
    there = [UidlFact(uidl, b"", uid) for uid, uidl in enumerate(targets, 1)]

    def learn(conn) -> None:
        uidls.learn(conn, account.id, FactsOf.SOURCE, here)
        uidls.learn(conn, account.id, FactsOf.TARGET, there)
        uidls.save_map(conn, account.id, drawn)

    store.run_now("learn", learn)
    used = octets_on_disk(store) - before
    strings = 0 if uidl_of is by_formula else sum(map(len, sources))
    print(f"{used / MESSAGES:.1f} octets a message, UIDLs of {strings / MESSAGES:.0f}")
    # such strings stand twice: in what is known of each message, and in the map
    assert used <= FIGURE + 2 * strings, f"{used / MESSAGES:.1f} octets a message"
