"""One bounded buffer of lines, owned by the dialogue that reads from it.

Lines end with CR LF; a bare LF is taken as well, as all mail servers do. What happens at an upgrade
to TLS is decided here, in one place: octets that are still buffered were sent in plaintext by
somebody, and `upgrade()` fails on them (RFC 3501 6.2.1, RFC 2595 4; CVE-2011-0411).
"""

from __future__ import annotations


class LineTooLong(ValueError):
    """A line has more octets than its reader allows."""


class PlaintextBehindUpgrade(Exception):
    """Octets stood in the buffer when the connection became TLS."""


class LineBuffer:
    """Collects octets and gives them back as lines or counted pieces.

    Feeding any split of x gives what feeding x gives. `max_line` counts octets without the line's
    end; a longer line raises `LineTooLong` as soon as that is certain.
    """

    __slots__ = ("_data", "_max_line", "_searched")

    def __init__(self, max_line: int) -> None:
        self._data = bytearray()
        self._max_line = max_line
        self._searched = 0

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add octets that were received."""
        self._data += data

    def next_line(self) -> bytes | None:
        """Return the next line without its end, or None when it is not complete yet."""
        data = self._data
        end = data.find(b"\n", self._searched, self._max_line + 2)
        if end < 0:
            if len(data) > self._max_line + 1:
                raise LineTooLong(f"a line of more than {self._max_line} octets")
            self._searched = len(data)
            return None
        stop = end - 1 if end and data[end - 1] == 0x0D else end
        if stop > self._max_line:
            raise LineTooLong(f"a line of more than {self._max_line} octets")
        line = bytes(data[:stop])
        del data[: end + 1]
        self._searched = 0
        return line

    def starts_with(self, octets: bytes) -> bool:
        """Whether the buffered octets begin so."""
        return self._data.startswith(octets)

    def take(self, count: int) -> bytes:
        """Return up to `count` buffered octets."""
        piece = bytes(self._data[:count])
        del self._data[:count]
        self._searched = 0
        return piece

    def take_rest(self) -> bytes:
        """Return all that is buffered; the buffer is empty afterwards."""
        return self.take(len(self._data))

    def upgrade(self) -> None:
        """Pass from plaintext to TLS; raises `PlaintextBehindUpgrade` (and forgets) what was buffered."""
        if self.take_rest():
            raise PlaintextBehindUpgrade("octets were sent in plaintext behind the upgrade to TLS")
