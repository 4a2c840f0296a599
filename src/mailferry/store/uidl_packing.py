"""How UIDLs, and what is known of each, are packed: column by column, deflated.

Most servers make their UIDLs by a formula from numbers. Names of one form become columns of numbers,
written as differences, which take next to nothing; other names are written as they are.
"""

from __future__ import annotations

import re
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from operator import sub

_LEVEL = 6
_MASK = 0xFFFFFFFFFFFFFFFF
_HEX = re.compile(rb"(?:[0-9a-f]{8}){1,8}")
_NUMBERS = re.compile(rb"(0|[1-9]\d{0,17})(?!\d)")
_PLAIN, _HEXADECIMAL, _DECIMAL = 0, 1, 2


class Packer:
    """Writes columns of one length, one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def names(self, names: Sequence[bytes]) -> None:
        """Write octet strings."""
        if names and (width := _hexadecimal_width(names)):
            self._parts.append(bytes((_HEXADECIMAL, width)))
            for at in range(0, width, 8):
                self.numbers([int(name[at : at + 8], 16) for name in names])
        elif names and (form := _form_of(names[0])) and all(_form_of(name) == form for name in names):
            self._parts.append(bytes((_DECIMAL, len(form))))
            for text in form:
                self._octets(text)
            for column in zip(*(map(int, _NUMBERS.findall(name)) for name in names), strict=True):
                self.numbers(column)
        else:
            self._parts.append(bytes((_PLAIN,)))
            self.octets(names)

    def octets(self, values: Sequence[bytes]) -> None:
        """Write octet strings as they are."""
        self.numbers([len(value) for value in values])
        self._parts.extend(values)

    def numbers(self, values: Sequence[int | None]) -> None:
        """Write numbers from 0 to 2^63, or None."""
        shifted = [0 if value is None else value + 1 for value in values]
        steps = map(sub, shifted, chain((0,), shifted))
        self._parts.append(_little_endian(array("Q", [step & _MASK for step in steps])).tobytes())

    def packed(self) -> bytes:
        """Return all of it."""
        return zlib.compress(b"".join(self._parts), _LEVEL)

    def _octets(self, text: bytes) -> None:
        self._parts += (bytes((len(text),)), text)


class Unpacker:
    """Reads what a `Packer` wrote, in the same order; `count` is the length of the columns."""

    def __init__(self, packed: bytes, count: int) -> None:
        self._octets = zlib.decompress(packed)
        self._at = 0
        self._count = count

    def names(self) -> list[bytes]:
        """Read octet strings."""
        kind = self._take(1)[0]
        if kind == _PLAIN:
            return self.octets()
        size = self._take(1)[0]
        if kind == _HEXADECIMAL:
            columns = [self._numbers() for _ in range(size // 8)]
            return [b"".join(b"%08x" % part for part in row) for row in zip(*columns, strict=True)]
        form = [self._take(self._take(1)[0]) for _ in range(size)]
        spelling = b"%d".join(text.replace(b"%", b"%%") for text in form)
        return [spelling % row for row in zip(*(self._numbers() for _ in form[1:]), strict=True)]

    def octets(self) -> list[bytes]:
        """Read octet strings that were written as they are."""
        return [self._take(length) for length in self._numbers()]

    def numbers(self) -> list[int | None]:
        """Read numbers and Nones."""
        return [None if value < 0 else value for value in self._numbers()]

    def _numbers(self) -> Iterator[int]:
        column = array("Q")
        column.frombytes(self._take(8 * self._count))
        return ((value & _MASK) - 1 for value in accumulate(_little_endian(column)))

    def _take(self, length: int) -> bytes:
        self._at += length
        return self._octets[self._at - length : self._at]


def _hexadecimal_width(names: Sequence[bytes]) -> int:
    """Return the length of names that are all fixed-width hexadecimal numbers of eight digits, else 0."""
    width = len(names[0])
    return width if all(len(name) == width and _HEX.fullmatch(name) for name in names) else 0


def _form_of(name: bytes) -> tuple[bytes, ...]:
    """Return what stands around the numbers of a name; empty when they would not be spelt the same again."""
    around = _NUMBERS.split(name)[::2]
    if len(around) < 2 or any(re.search(rb"\d", text) for text in around) or len(name) > 200:
        return ()
    return tuple(around)


def _little_endian(column: array[int]) -> array[int]:
    if sys.byteorder == "big":
        column.byteswap()
    return column
