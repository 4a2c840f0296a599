"""A DNS server on loopback that knows a few names; it serves from a thread, so that commands can ask it too."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from twisted.names import dns


class DnsHost:
    """Serves `zone` (name to records) over UDP while it is entered; a silent one answers nothing.

    `asked` are the questions that came, as (name, type).
    """

    def __init__(self, zone: Mapping[str, Sequence[Any]], *, silent: bool = False) -> None:
        self.asked: list[tuple[str, str]] = []
        host = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                if (answer := host._answer(data, zone)) and not silent:
                    sock.sendto(answer, self.client_address)

        self._server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._server.server_address[:2]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, data: bytes, zone: Mapping[str, Sequence[Any]]) -> bytes:
        message = dns.Message()
        message.fromStr(data)
        query = message.queries[0]
        name = bytes(query.name.name).decode().lower()
        self.asked.append((name, dns.QUERY_TYPES[query.type]))
        records = [record for record in zone.get(name, ()) if query.type == record.TYPE]
        message.answer, message.auth = 1, 1
        message.rCode = dns.OK if name in zone else dns.ENAME
        message.answers = [
            dns.RRHeader(name, record.TYPE, dns.IN, 60, record, auth=True) for record in records
        ]
        encoded: bytes = message.toStr()
        return encoded
