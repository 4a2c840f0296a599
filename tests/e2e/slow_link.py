"""A narrow link to a server, so that a copy over it is under way for as long as a test needs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

PIECE = 4096


class SlowLink:
    """Relays a port of its own to `target_port` of loopback; each connection sends at a pace until `widen()`.

    Only what clients send is slowed down: that is what an APPEND carries. It holds little of it itself,
    so that the rest waits with the sender, as in front of any slow network. Runs in a thread of its own.
    """

    def __init__(self, target_port: int, *, octets_per_second: float) -> None:
        self._target_port = target_port
        self._pace = octets_per_second
        self._loop = asyncio.new_event_loop()
        self._wide = asyncio.Event()
        self._talks: set[asyncio.Task[None]] = set()
        door = socket.create_server(("127.0.0.1", 0))
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        self.port: int = door.getsockname()[1]
        self._server = self._loop.run_until_complete(asyncio.start_server(self._talk, sock=door, limit=PIECE))
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow link", daemon=True)
        self._thread.start()

    def widen(self) -> None:
        """Let everything through as fast as it comes, from now on."""
        self._loop.call_soon_threadsafe(self._wide.set)

    def close(self) -> None:
        """Cut all connections and take no more."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _cut(self) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        ends = [writer]
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self._target_port)
            ends.append(far)
            await asyncio.gather(self._pass(reader, far, slow=True), self._pass(answers, writer, slow=False))
        except (OSError, asyncio.CancelledError):
            pass  # one end has gone: so does the other
        finally:
            for end in ends:
                end.close()
            self._talks.discard(talk)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        while data := await reader.read(PIECE if slow else 16 * PIECE):
            writer.write(data)
            await writer.drain()
            if slow and not self._wide.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wide.wait(), len(data) / self._pace)
        if writer.can_write_eof():
            writer.write_eof()
