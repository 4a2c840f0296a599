"""The web role: console, user page, API and health on one kind of listener, metrics on another."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from twisted.internet import defer

from mailferry import __version__
from mailferry.app.gate_building import build_gate, make_checker
from mailferry.app.listeners import BoundListener
from mailferry.app.node import NodeMembership
from mailferry.app.old_hosts import make_old_hosts
from mailferry.app.page_certificates import page_context
from mailferry.app.parts import Parts, build_parts
from mailferry.app.worker import CannotStart, WorkerContext
from mailferry.config.endpoints import TcpEndpoint
from mailferry.config.settings import ServiceName, Settings
from mailferry.gate.admission import Admission, LoginAttempt
from mailferry.model.access import TlsMode
from mailferry.net.served_certificates import BadTlsFiles
from mailferry.observe import metrics
from mailferry.observe.log import Log
from mailferry.passwords.service_key import service_key
from mailferry.store.faults import StoreUnavailable
from mailferry.web.desk import Desk
from mailferry.web.metrics_page import metrics_app
from mailferry.web.old_mailbox import OldMailbox
from mailferry.web.site import make_site
from mailferry.web.sockets import send_at_once
from mailferry.web.throttle import Throttle
from mailferry.web.tickets import Tickets

STOP_SECONDS = 5
OWN_WEB_SERVERS = "127.0.0.1,::1"
"""Whose word about a client's address is taken: a web server on this machine that stands before us."""

T = TypeVar("T")


class PageGate:
    """The gate behind the user page: the same as behind the doors, with this process as its node.

    The node registers with the first password, so that pages and health answer without the store.
    """

    def __init__(self, parts: Parts, *, log: Log, leave: Callable[[str], None]) -> None:
        self._node = NodeMembership(
            parts.database,
            role="web",
            state_dir=parts.settings.service.state_dir,
            reactor=parts.reactor,
            log=log,
            on_silent=self._silent,
            on_void=lambda: leave("this process was declared dead"),
            seconds=parts.times.since_boot,
        )
        self._gate = build_gate(parts, node=lambda: self._node.id)
        self.penalty = self._gate.penalty
        self._joining = defer.DeferredLock()
        self._joined = False

    def _silent(self) -> None:
        self._gate.book.stop_source_sessions()

    def admit(self, attempt: LoginAttempt) -> defer.Deferred[Admission]:
        """Return the gate's word; fails with StoreUnavailable while this process cannot be registered."""
        return defer.Deferred.fromCoroutine(self._admit(attempt))

    async def _admit(self, attempt: LoginAttempt) -> Admission:
        if not self._joined:
            await self._joining.run(lambda: defer.Deferred.fromCoroutine(self._join()))
        return await self._gate.gatekeeper.admit(attempt)

    async def _join(self) -> None:
        if not self._joined:
            await self._node.register()
            self._gate.book.begin()
            self._joined = True

    async def finish(self) -> None:
        """Wait for the rows of ended sessions, and take the node's own away."""
        await self.penalty.settled()
        await self._gate.gatekeeper.settled()
        if self._joined:
            await self._gate.book.finish()
            await self._node.leave()


def make_desk(parts: Parts, gate: PageGate, log: Log) -> Desk:
    """Return what the pages work with."""
    settings = parts.settings
    key = service_key(settings.service.key, settings.service.state_dir)
    checker = make_checker(parts, gate.admit)
    return Desk(
        database=parts.database,
        keyring=parts.keyring,
        old_mailbox=OldMailbox(
            checker=checker,
            judges=gate.penalty,
            database=parts.database,
            keyring=parts.keyring,
            reactor=parts.reactor,
            log=log,
        ),
        checker=checker,
        on_reactor=in_this_loop,
        tickets=Tickets(key.derive("web sign-ins"), parts.times.wall),
        user_throttle=Throttle(parts.reactor.seconds),
        admin_throttle=Throttle(parts.reactor.seconds),
        log=log,
        seconds=parts.reactor.seconds,
        flips_file=parts.flips_file,
        profiles=parts.profiles,
        old_hosts=make_old_hosts(parts),
    )


def in_this_loop(work: Callable[[], defer.Deferred[T]]) -> Awaitable[T]:
    """Await a Deferred in a page's handler: reactor and handlers share this process's one loop."""
    return work().asFuture(asyncio.get_running_loop())


class WebRole:
    """The web process."""

    def __init__(self, context: WorkerContext, listeners: Sequence[BoundListener]) -> None:
        parts = build_parts(context)
        self._parts = parts
        self._gate = PageGate(parts, log=context.log, leave=context.leave)
        self._desk = make_desk(parts, self._gate, context.log)
        doors = mail_doors(parts.settings)
        site = make_site(self._desk, doors=doors)
        pages = metrics_app(parts.database, doors=doors)
        self._servers = [
            (self._server(listener, pages if _is_metrics(listener) else site), listener)
            for listener in listeners
        ]
        self._running: list[asyncio.Task[None]] = []

    def _server(self, listener: BoundListener, app: FastAPI) -> uvicorn.Server:
        context = self._context() if listener.settings.mode is TlsMode.IMPLICIT else None
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=context is None,
            forwarded_allow_ips=OWN_WEB_SERVERS,
            timeout_graceful_shutdown=STOP_SECONDS,
            ssl_context_factory=None if context is None else lambda _config, _own: context,
        )
        server = uvicorn.Server(config)
        # signals are the worker's
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        return server

    def _context(self) -> ssl.SSLContext:
        tls, log = self._parts.settings.tls, self._parts.log
        assert tls is not None, "the settings admit no listener with TLS without a certificate"
        try:
            return page_context(
                tls,
                seconds=self._parts.reactor.seconds,
                on_problem=lambda why: log.error("the certificate is not read again", why=why),
            )
        except BadTlsFiles as error:
            raise CannotStart(str(error)) from error

    async def start(self) -> None:
        """Serve on the inherited sockets."""
        metrics.tell_build(__version__)
        for server, listener in self._servers:
            send_at_once(listener.socket)
            task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener.socket]))
            self._running.append(task)

    async def drain(self) -> None:
        """Let running answers end; comparisons are broken off, and say so to whoever asks in time."""
        broken_off = self._desk.comparisons.stop()
        if broken_off:
            self._parts.log.warning("comparisons end with this process", count=len(broken_off))
        for server, _ in self._servers:
            server.should_exit = True
        await defer.DeferredList([defer.Deferred.fromFuture(task) for task in self._running])
        await defer.DeferredList([defer.Deferred.fromFuture(task) for task in broken_off], consumeErrors=True)
        await self._desk.old_mailbox.settled()
        try:
            await self._gate.finish()
        except StoreUnavailable as error:
            self._parts.log.error("this process's row stays", why=str(error))
        await self._parts.close()


def _is_metrics(listener: BoundListener) -> bool:
    return listener.settings.service is ServiceName.METRICS


def mail_doors(settings: Settings) -> list[tuple[str, int]]:
    """Return the addresses of the proxy's listeners, for `/readyz`."""
    return [
        (one.endpoint.interface, one.endpoint.port)
        for one in settings.listen
        if one.service.in_proxy and isinstance(one.endpoint, TcpEndpoint)
    ]


def build(context: WorkerContext, listeners: Sequence[BoundListener]) -> WebRole:
    """Build the role in its worker process."""
    return WebRole(context, listeners)
