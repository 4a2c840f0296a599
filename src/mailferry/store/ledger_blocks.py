"""How ledger entries are packed into blocks: columns of uids, flags keys and digests, sorted by source uid.

Uids are written as differences and, together with the flags keys, deflated: neighbours mostly differ
by one and most messages have the same flags. Digests do not compress. An entry takes 17 to 29 octets.
Behind the deflated octets one bit for each entry may follow (`LedgerEntry.found`); it is left out where
none is set. Programs that do not know it read past it, because deflated octets tell where they end.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from operator import attrgetter, lt, sub
from typing import NamedTuple

from mailferry.model.mail import DIGEST_OCTETS

FLAGS_KEY_OCTETS = 4
BLOCK_ENTRIES = 512
_LIMIT = 0xFFFFFFFF
_LENGTHS = 4
_DEFLATE = 3
_DIGITS = bytes.maketrans(b"\0\1", b"01")
_BY_SOURCE = attrgetter("source_uid")


class LedgerEntry(NamedTuple):
    """One message that lies on both sides.

    `digest` are 16 octets of a digest over the bytes as sent; `flags_key` 4 octets that stand for the
    flags last synced (what they are is the copier's affair). `found` tells that the message lay at the
    target already and was not copied by us.
    """

    source_uid: int
    target_uid: int
    digest: bytes
    flags_key: bytes
    found: bool = False


class Growth(Enum):
    """Where a block grew."""

    END = "end"
    FRONT = "front"
    INSIDE = "inside"


class Ledger:
    """Ledger entries in memory, 29 octets a message, ordered by source uid."""

    __slots__ = ("digests", "flags_keys", "found", "source_uids", "target_uids")

    def __init__(self, entries: Iterable[LedgerEntry] = ()) -> None:
        self.source_uids: array[int] = array("I")
        self.target_uids: array[int] = array("I")
        self.flags_keys = bytearray()
        """4 octets for each message."""
        self.digests = bytearray()
        """16 octets for each message."""
        self.found = bytearray()
        """1 for each message that was found at the target, else 0."""
        self.append_all(tuple(entries))

    def __len__(self) -> int:
        return len(self.source_uids)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return (self.entry(position) for position in range(len(self)))

    def __contains__(self, source_uid: object) -> bool:
        return isinstance(source_uid, int) and self.position(source_uid) is not None

    def position(self, source_uid: int) -> int | None:
        """Return where `source_uid` stands, or None."""
        found = bisect_left(self.source_uids, source_uid)
        return found if found < len(self) and self.source_uids[found] == source_uid else None

    def entry(self, position: int) -> LedgerEntry:
        """Return the entry at a position."""
        return LedgerEntry(
            source_uid=self.source_uids[position],
            target_uid=self.target_uids[position],
            digest=self.digest(position),
            flags_key=self.flags_key(position),
            found=bool(self.found[position]),
        )

    def find(self, source_uid: int) -> LedgerEntry | None:
        """Return the entry of a source uid, or None."""
        position = self.position(source_uid)
        return None if position is None else self.entry(position)

    def digest(self, position: int) -> bytes:
        """Return the digest at a position."""
        return bytes(self.digests[position * DIGEST_OCTETS : (position + 1) * DIGEST_OCTETS])

    def leading(self, position: int) -> int:
        """Return the first 32 bits of the digest at a position."""
        return int.from_bytes(self.digests[position * DIGEST_OCTETS : position * DIGEST_OCTETS + 4])

    def flags_key(self, position: int) -> bytes:
        """Return the flags key at a position."""
        return bytes(self.flags_keys[position * FLAGS_KEY_OCTETS : (position + 1) * FLAGS_KEY_OCTETS])

    def set_flags_key(self, position: int, key: bytes) -> None:
        """Change the flags key at a position. Raises ValueError for one of another length."""
        if len(key) != FLAGS_KEY_OCTETS:
            raise ValueError("a flags key has 4 octets")
        self.flags_keys[position * FLAGS_KEY_OCTETS : (position + 1) * FLAGS_KEY_OCTETS] = key

    def remove(self, positions: Iterable[int]) -> None:
        """Take out the entries at these positions."""
        for position in sorted(positions, reverse=True):
            del self.source_uids[position], self.target_uids[position], self.found[position]
            del self.flags_keys[position * FLAGS_KEY_OCTETS : (position + 1) * FLAGS_KEY_OCTETS]
            del self.digests[position * DIGEST_OCTETS : (position + 1) * DIGEST_OCTETS]

    def replace(self, entries: Sequence[LedgerEntry]) -> None:
        """Hold these entries in place of all others; see `append_all`."""
        for column in (self.source_uids, self.target_uids, self.flags_keys, self.digests, self.found):
            del column[:]
        self.append_all(entries)

    def append(self, entry: LedgerEntry) -> None:
        """Add an entry above all others; see `append_all`."""
        self.append_all((entry,))

    def append_all(self, entries: Sequence[LedgerEntry]) -> None:
        """Add entries above all others, each above the one before.

        Raises ValueError for uids outside 0 to 2^32-1, digests or keys of another length.
        """
        if not entries:
            return
        sources, targets, digests, keys, found = zip(*entries, strict=True)
        if not (min(*sources, *targets) >= 0 and max(*sources, *targets) <= _LIMIT):
            raise ValueError("a uid is a number of 32 bits")
        if {*map(len, digests)} != {DIGEST_OCTETS} or {*map(len, keys)} != {FLAGS_KEY_OCTETS}:
            raise ValueError("a ledger entry needs a digest of 16 and a flags key of 4 octets")
        last = self.source_uids[-1] if self.source_uids else -1
        assert all(map(lt, (last, *sources), sources)), "ordered, each uid once"
        self.source_uids.extend(sources)
        self.target_uids.extend(targets)
        self.flags_keys += b"".join(keys)
        self.digests += b"".join(digests)
        self.found += bytes(found)

    def extend(self, packed: bytes, entries: int) -> None:
        """Take the entries of a block whose source uids are all above those here.

        Raises ValueError or zlib.error for octets that are no block.
        """
        raw_length = int.from_bytes(packed[:_LENGTHS], "little")
        inflating = zlib.decompressobj()
        raw = inflating.decompress(packed[_LENGTHS : _LENGTHS + raw_length])
        if not inflating.eof:
            raise ValueError("a block of the ledger is cut off: restore the store from its back-up")
        width = 4 * entries
        self.source_uids.extend(_sums(raw[:width]))
        self.target_uids.extend(_sums(raw[width : 2 * width]))
        self.flags_keys += raw[2 * width :]
        self.digests += packed[_LENGTHS + raw_length :]
        self.found += _bits(inflating.unused_data, entries)

    def packed(self, start: int, end: int) -> bytes:
        """Return the block of the entries from position `start` up to `end`."""
        sources = _differences(self.source_uids[start:end])
        targets = _differences(self.target_uids[start:end])
        keys = self.flags_keys[start * FLAGS_KEY_OCTETS : end * FLAGS_KEY_OCTETS]
        raw = zlib.compress(b"".join((sources, targets, keys)), _DEFLATE) + _packed_bits(
            self.found[start:end]
        )
        digests = self.digests[start * DIGEST_OCTETS : end * DIGEST_OCTETS]
        return b"".join((len(raw).to_bytes(_LENGTHS, "little"), raw, digests))


def _packed_bits(found: bytearray) -> bytes:
    """Return a bit for each of these octets, the first one lowest; nothing when all are 0."""
    if not any(found):
        return b""
    bits = int(found[::-1].translate(_DIGITS), 2)
    return bits.to_bytes((len(found) + 7) // 8, "little")


def _bits(packed: bytes, entries: int) -> bytes:
    """Return what `_packed_bits` was given."""
    if not packed:
        return bytes(entries)
    bits = f"{int.from_bytes(packed, 'little'):0{entries}b}"
    return bytes(map(int, reversed(bits)))


def cut(count: int, growth: Growth) -> list[tuple[int, int]]:
    """Cut `count` entries into blocks (start, end): full ones where no more will come, else even ones.

    New mail comes at the end; a history copied newest first grows at the front.
    """
    pieces = -(-count // BLOCK_ENTRIES)
    if growth is Growth.INSIDE and pieces > 1:
        bounds = [count * number // pieces for number in range(pieces + 1)]
    else:
        rest = count % BLOCK_ENTRIES
        first = rest if growth is Growth.FRONT and rest else 0
        bounds = [*({0} - {first}), *range(first, count, BLOCK_ENTRIES), count]
    return list(itertools.pairwise(bounds))


def ordered(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """Return the entries by source uid."""
    return sorted(entries, key=_BY_SOURCE)


def pack_uids(uids: Sequence[int]) -> bytes:
    """Return uids, in any order and with repetitions, as deflated octets."""
    if any(not 0 <= uid <= _LIMIT for uid in uids):
        raise ValueError("a uid is a number of 32 bits")
    return zlib.compress(_differences(uids), _DEFLATE)


def unpack_uids(packed: bytes) -> tuple[int, ...]:
    """Return what `pack_uids` was given."""
    return tuple(_sums(zlib.decompress(packed)))


def _differences(uids: Sequence[int]) -> bytes:
    steps = map(sub, uids, itertools.chain((0,), uids))
    return _little_endian(array("I", [step & _LIMIT for step in steps])).tobytes()


def _sums(octets: bytes) -> array[int]:
    column = array("I")
    column.frombytes(octets)
    return array("I", [value & _LIMIT for value in itertools.accumulate(_little_endian(column))])


def _little_endian(column: array[int]) -> array[int]:
    if sys.byteorder == "big":
        column.byteswap()
    return column
