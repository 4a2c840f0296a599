"""Reading and writing inside TLS by OpenSSL's own functions (SSL_read(3), SSL_write(3)).

pyOpenSSL's `recv_into` and `send` do the same by way of a buffer of its own for each call and a look at what might
have failed before it did, which takes as long as a command's record itself. What did fail is told by pyOpenSSL
here too. That uses parts of it that are private: a version without them is asked as its manual says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

from mailferry.net.carrier import Octets

ReadInto = Callable[[SSL.Connection, memoryview, int], int]
"""Read so many octets at most, of one record, into a buffer that has room for them. Raises SSL.Error."""
Send = Callable[[SSL.Connection, Octets | bytearray], int]
"""Send in records; returns how many octets, which is all of them where `write_whole` was said. Raises SSL.Error."""

_PARTIAL_WRITE = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets in each context and has no name for."""


def write_whole(context: SSL.Context) -> None:
    """Have one `send` make record after record, until all is out or there is room for no more.

    In the latter case WantWriteError says so, and all comes again, from its first octet on: OpenSSL knows how
    far it got. A call for each record is a tenth of what a stream costs.
    """
    context.clear_mode(_PARTIAL_WRITE)


def by_openssl(pyopenssl: Any = SSL) -> tuple[ReadInto, Send]:
    """Return both by OpenSSL's functions; raises AttributeError where pyOpenSSL has other insides."""
    library, ffi = pyopenssl._lib, pyopenssl._ffi  # noqa: SLF001 - see above, of all in this function
    ssl_read, ssl_write, from_buffer = library.SSL_read, library.SSL_write, ffi.from_buffer
    failed = pyopenssl.Connection._raise_ssl_error  # noqa: SLF001

    def read_into(connection: Any, room: memoryview, most: int) -> int:
        got: int = ssl_read(connection._ssl, from_buffer(room), most)  # noqa: SLF001
        if got <= 0:
            failed(connection, connection._ssl, got)  # noqa: SLF001
        return got

    def send(connection: Any, data: Octets | bytearray) -> int:
        with from_buffer(data) as octets:  # or a bytearray could not grow behind it
            sent: int = ssl_write(connection._ssl, octets, len(data))  # noqa: SLF001
        if sent <= 0:
            failed(connection, connection._ssl, sent)  # noqa: SLF001
        return sent

    return read_into, send


def by_pyopenssl() -> tuple[ReadInto, Send]:
    """Return both by pyOpenSSL's public methods."""

    def read_into(connection: SSL.Connection, room: memoryview, most: int) -> int:
        return connection.recv_into(room, most)

    def send(connection: SSL.Connection, data: Octets | bytearray) -> int:
        return connection.send(data)

    return read_into, send


def _best() -> tuple[ReadInto, Send]:
    try:
        return by_openssl()
    except AttributeError:
        return by_pyopenssl()


read_into, send = _best()
