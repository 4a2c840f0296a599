"""A site on a real port of this machine, served by a thread: what a browser outside of the test can open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from mailferry.web.sockets import send_at_once

_START_SECONDS = 20.0


@contextlib.contextmanager
def live(site: FastAPI) -> Iterator[str]:
    """Serve `site` on a free port of 127.0.0.1 and give its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    send_at_once(listening)
    server = uvicorn.Server(uvicorn.Config(site, log_config=None, access_log=False, lifespan="off"))
    server.capture_signals = contextlib.nullcontext  # signals are the test run's
    ready = threading.Event()

    async def serve() -> None:
        asyncio.get_running_loop().call_soon(ready.set)
        await server.serve(sockets=[listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="live site")
    thread.start()
    assert ready.wait(_START_SECONDS)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True  # a browser keeps its connections
        thread.join()
        listening.close()
