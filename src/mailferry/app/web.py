"""The web role: console, user page, API and health on one kind of listener, metrics on another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI
from twisted.internet import defer

from mailferry import __version__
from mailferry.app.listeners import BoundListener
from mailferry.app.parts import build_parts
from mailferry.app.worker import WorkerContext
from mailferry.config.endpoints import TcpEndpoint
from mailferry.config.settings import ServiceName, Settings
from mailferry.model.access import TlsMode
from mailferry.observe import metrics
from mailferry.web.metrics_page import metrics_app
from mailferry.web.site import make_site

STOP_SECONDS = 5


class WebRole:
    """The web process."""

    def __init__(self, context: WorkerContext, listeners: Sequence[BoundListener]) -> None:
        parts = build_parts(context)
        self._parts = parts
        site = make_site(parts.database, doors=mail_doors(parts.settings))
        pages = metrics_app(parts.database)
        self._servers = [
            (self._server(listener, pages if _is_metrics(listener) else site), listener)
            for listener in listeners
        ]
        self._running: list[asyncio.Task[None]] = []

    def _server(self, listener: BoundListener, app: FastAPI) -> uvicorn.Server:
        tls = self._parts.settings.tls if listener.settings.mode is TlsMode.IMPLICIT else None
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            ssl_certfile=None if tls is None else str(tls.certificate),
            ssl_keyfile=None if tls is None else str(tls.key),
        )
        server = uvicorn.Server(config)
        # signals are the worker's
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        return server

    async def start(self) -> None:
        """Serve on the inherited sockets."""
        metrics.tell_build(__version__)
        for server, listener in self._servers:
            task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener.socket]))
            self._running.append(task)

    async def drain(self) -> None:
        """Let running answers end."""
        for server, _ in self._servers:
            server.should_exit = True
        await defer.DeferredList([defer.Deferred.fromFuture(task) for task in self._running])
        await self._parts.close()


def _is_metrics(listener: BoundListener) -> bool:
    return listener.settings.service is ServiceName.METRICS


def mail_doors(settings: Settings) -> list[tuple[str, int]]:
    """Return the addresses of the mail listeners, for `/readyz`."""
    return [
        (one.endpoint.interface, one.endpoint.port)
        for one in settings.listen
        if one.service.is_door and isinstance(one.endpoint, TcpEndpoint)
    ]


def build(context: WorkerContext, listeners: Sequence[BoundListener]) -> WebRole:
    """Build the role in its worker process."""
    return WebRole(context, listeners)
