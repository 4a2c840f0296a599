"""The proxy role: the doors, the gate behind them, and the sessions that are relayed."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet import defer

from mailferry.app.asked_doors import asked_door
from mailferry.app.gate_building import build_gate, make_checker
from mailferry.app.listeners import BoundListener
from mailferry.app.node import NodeMembership
from mailferry.app.parts import build_parts, server_contexts
from mailferry.app.worker import WorkerContext
from mailferry.frontends.auth_http import AuthHttpDoor
from mailferry.frontends.driver import Door, DoorTerms
from mailferry.frontends.sasl import SaslDoor
from mailferry.model.access import Protocol, TlsMode
from mailferry.net.listen import listen
from mailferry.net.sockets import Listening


class ProxyRole:
    """One proxy process."""

    def __init__(self, context: WorkerContext, listeners: Sequence[BoundListener]) -> None:
        parts = build_parts(context)
        self.parts = parts
        self._log = context.log
        self._node = NodeMembership(
            parts.database,
            role="proxy",
            state_dir=parts.settings.service.state_dir,
            reactor=parts.reactor,
            log=context.log,
            on_silent=self._silent,
            on_void=lambda: context.leave("this process was declared dead"),
            seconds=parts.times.since_boot,
        )
        self.gate = build_gate(parts, node=lambda: self._node.id)
        self._checker = make_checker(parts, self.gate.gatekeeper.admit)
        self._doors = [(one, self._accepting(one, listeners)) for one in listeners]
        self._listening: list[Listening] = []

    def _accepting(
        self, listener: BoundListener, listeners: Sequence[BoundListener]
    ) -> Door | AuthHttpDoor | SaslDoor:
        if listener.settings.service.asks:
            return asked_door(self.parts, self._checker, listener, listeners)
        return self._door(listener)

    def _door(self, listener: BoundListener) -> Door:
        settings, parts = listener.settings, self.parts
        protocol = Protocol(settings.service.value)
        contexts = server_contexts(parts.settings.tls, protocol, parts.reactor, self._log)
        terms = DoorTerms(
            protocol=protocol,
            tls=settings.mode,
            contexts=contexts,
            plaintext_login=settings.plaintext_login or settings.mode is TlsMode.NONE,
            webmails=settings.webmail_from,
        )
        return Door(terms, self.gate.gatekeeper, reactor=parts.reactor, log=self._log)

    def _silent(self) -> None:
        self._log.error("the store was silent for a minute: sessions at the source are ended")
        self.gate.book.stop_source_sessions()

    def _no_header(self, balancer: str, fault: str) -> None:
        self._log.warning("a balancer sent no usable PROXY header", balancer=balancer, why=fault)

    async def start(self) -> None:
        """Register and accept clients."""
        await self._node.register()
        self.gate.book.begin()
        for listener, door in self._doors:
            self._listening.append(
                listen(
                    self.parts.reactor,
                    listener.socket,
                    door.accept,
                    contexts=door.terms.contexts if isinstance(door, Door) else None,
                    proxies=listener.settings.proxy_protocol_from,
                    report=self._no_header,
                )
            )

    async def drain(self) -> None:
        """Accept nobody new and let sessions end between commands."""
        await defer.DeferredList([one.stop() for one in self._listening])
        seconds = self.parts.settings.service.drain_seconds
        await defer.DeferredList([door.drain(seconds) for _, door in self._doors])
        await self._checker.settled()
        await self.gate.penalty.settled()
        await self.gate.gatekeeper.settled()
        await self.gate.book.finish()
        await self._node.leave()
        await self.parts.close()


def build(context: WorkerContext, listeners: Sequence[BoundListener]) -> ProxyRole:
    """Build the role in its worker process."""
    return ProxyRole(context, listeners)
