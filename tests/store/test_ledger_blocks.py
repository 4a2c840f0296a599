"""Blocks of the ledger: what is packed comes back, sorted, small, and cut so that blocks stay full."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.store.ledger_blocks import (
    BLOCK_ENTRIES,
    Growth,
    Ledger,
    LedgerEntry,
    cut,
    ordered,
    pack_uids,
    unpack_uids,
)

UIDS = st.integers(min_value=0, max_value=0xFFFFFFFF)


def entry(uid: int, target: int | None = None, flags: bytes = b"\0\0\0\1") -> LedgerEntry:
    digest = hashlib.sha256(str(uid).encode()).digest()[:16]
    return LedgerEntry(uid, uid if target is None else target, digest, flags)


def pack(entries: Sequence[LedgerEntry]) -> bytes:
    return Ledger(entries).packed(0, len(entries))


def unpack(packed: bytes, entries: int) -> list[LedgerEntry]:
    ledger = Ledger()
    ledger.extend(packed, entries)
    return list(ledger)


@given(
    st.dictionaries(
        UIDS,
        st.tuples(UIDS, st.binary(min_size=16, max_size=16), st.binary(min_size=4, max_size=4)),
        max_size=40,
    )
)
@settings(deadline=None)
def test_what_is_packed_comes_back(rows: dict[int, tuple[int, bytes, bytes]]) -> None:
    entries = ordered(LedgerEntry(uid, *rest) for uid, rest in rows.items())
    assert unpack(pack(entries), len(entries)) == entries


@given(st.lists(UIDS, max_size=60))
@settings(deadline=None)
def test_uids_come_back_in_their_order(uids: list[int]) -> None:
    assert unpack_uids(pack_uids(uids)) == tuple(uids)


@pytest.mark.parametrize(
    "wrong",
    [
        entry(-1),
        entry(1 << 32),
        entry(1, -1),
        entry(1, 1 << 32),
        entry(1, flags=b"\0"),
        LedgerEntry(1, 1, b"short", b"\0\0\0\0"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_written(wrong: LedgerEntry) -> None:
    with pytest.raises(ValueError):
        pack([wrong])


def test_neighbours_with_equal_flags_take_little_more_than_their_digests() -> None:
    assert len(pack([entry(uid) for uid in range(1, BLOCK_ENTRIES + 1)])) < BLOCK_ENTRIES * 16.5


def test_the_worst_entries_stay_below_the_promise() -> None:
    scattered = ordered(
        LedgerEntry(
            int.from_bytes(hashlib.sha256(b"s%d" % n).digest()[:4], "big"),
            int.from_bytes(hashlib.sha256(b"t%d" % n).digest()[:4], "big"),
            hashlib.sha256(b"d%d" % n).digest()[:16],
            hashlib.sha256(b"f%d" % n).digest()[:4],
            found=n % 2 == 0,
        )
        for n in range(BLOCK_ENTRIES)
    )
    assert len(pack(scattered)) < BLOCK_ENTRIES * 29


def test_blocks_stay_full_where_no_more_will_come() -> None:
    many = 2 * BLOCK_ENTRIES + 10
    sizes = {growth: [end - start for start, end in cut(many, growth)] for growth in Growth}
    assert sizes == {
        Growth.END: [BLOCK_ENTRIES, BLOCK_ENTRIES, 10],
        Growth.FRONT: [10, BLOCK_ENTRIES, BLOCK_ENTRIES],
        Growth.INSIDE: [344, 345, 345],
    }
    for growth in Growth:
        assert [n for piece in cut(many, growth) for n in range(*piece)] == list(range(many))
    assert cut(BLOCK_ENTRIES, Growth.FRONT) == [(0, BLOCK_ENTRIES)]


def test_a_loaded_ledger_is_found_in_by_uid() -> None:
    ledger = Ledger()
    ledger.extend(pack([entry(3), entry(5)]), 2)
    ledger.extend(pack([entry(9, 1)]), 1)
    assert len(ledger) == 3
    assert [e.source_uid for e in ledger] == [3, 5, 9]
    assert ledger.find(9) == entry(9, 1)
    assert ledger.find(4) is None
    assert 5 in ledger
    assert 6 not in ledger
    assert ledger.position(5) == 1
    assert (ledger.digest(1), ledger.flags_key(1)) == (entry(5).digest, entry(5).flags_key)


@given(st.lists(st.booleans(), max_size=40))
@settings(deadline=None)
def test_what_was_found_at_the_target_stays_marked(found: list[bool]) -> None:
    entries = [entry(uid)._replace(found=mark) for uid, mark in enumerate(found)]
    assert unpack(pack(entries), len(entries)) == entries


def test_the_mark_takes_a_bit_and_nothing_where_none_is_set_and_older_programs_read_past_it() -> None:
    plain = [entry(uid) for uid in range(BLOCK_ENTRIES)]
    marked = [one._replace(found=one.source_uid % 2 == 0) for one in plain]
    packed = pack(marked)
    assert len(packed) == len(pack(plain)) + BLOCK_ENTRIES // 8
    length = int.from_bytes(packed[:4], "little")
    before = zlib.decompress(pack(plain)[4 : -16 * BLOCK_ENTRIES])
    assert zlib.decompress(packed[4 : 4 + length]) == before  # as versions that do not know the mark read it
    assert packed[4 + length :] == pack(plain)[-16 * BLOCK_ENTRIES :]


@pytest.mark.hazard("D28")
def test_a_block_that_is_cut_off_is_refused() -> None:
    packed = pack([entry(uid) for uid in range(100)])
    for cut_off in (b"", packed[:3], packed[:20], b"\xff\0\0\0" + packed[4:20]):
        with pytest.raises((ValueError, zlib.error)):
            unpack(cut_off, 100)
