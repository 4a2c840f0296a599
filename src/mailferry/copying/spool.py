"""One message held until it is whole: in memory while it is small, else in an unnamed file."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO

from mailferry.model.mail import BodyDigest

IN_MEMORY = 1024 * 1024
"""Octets of one message that stay in memory."""
PIECE = 64 * 1024


class Spool:
    """Takes octets in pieces and gives them back; `close` when done."""

    __slots__ = ("_file", "_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> None:
        """Keep more octets."""
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._pieces.append(data)
        if self.size > IN_MEMORY:
            self._file = TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._file.writelines(self._pieces)
            self._pieces.clear()

    def whole(self) -> bytes | None:
        """Return all octets at once, None for a message that lies in a file."""
        if self._file is not None:
            return None
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def head(self, octets: int) -> bytes:
        """Return the first octets."""
        if self._file is None:
            return (self.whole() or b"")[:octets]
        self._file.seek(0)
        return self._file.read(octets)

    def pieces(self) -> Iterator[bytes]:
        """Yield all octets from the begin on."""
        if self._file is None:
            yield from self._pieces
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def digest(self) -> bytes:
        """Return the digest of the message."""
        running = BodyDigest()
        for piece in self.pieces():
            running.feed(piece)
        return running.value()

    def close(self) -> None:
        """Let it go."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
