"""The proxy role: the doors, the gate behind them, and the sessions that are relayed."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet import defer

from mailferry.app.listeners import BoundListener
from mailferry.app.node import NodeMembership
from mailferry.app.parts import build_parts, make_penalty, server_contexts
from mailferry.app.worker import CannotStart, WorkerContext
from mailferry.config.settings import ForwardClientAddress, ServiceName
from mailferry.frontends.driver import Door, DoorTerms
from mailferry.gate.carrying_out import Hands
from mailferry.gate.gatekeeper import Gatekeeper
from mailferry.gate.judges import Judges
from mailferry.gate.live_sessions import SessionBook
from mailferry.gate.tap_choice import TapChoice
from mailferry.model.access import Protocol, TlsMode
from mailferry.net.listen import Listening, listen

_PROTOCOLS = {ServiceName.IMAP: Protocol.IMAP, ServiceName.POP3: Protocol.POP3}


class ProxyRole:
    """One proxy process."""

    def __init__(self, context: WorkerContext, listeners: Sequence[BoundListener]) -> None:
        parts = build_parts(context)
        self._parts = parts
        self._log = context.log
        self._node = NodeMembership(
            parts.database,
            role="proxy",
            state_dir=parts.settings.service.state_dir,
            reactor=parts.reactor,
            log=context.log,
            on_silent=self._silent,
            on_void=lambda: context.leave("this process was declared dead"),
        )
        self._book = SessionBook(
            parts.database,
            node=lambda: self._node.id,
            reactor=parts.reactor,
            quiet_seconds=float(parts.settings.copy_.quiet_seconds),
            log=context.log,
        )
        forwards = parts.settings.target.forward_client_address
        judges = Judges(
            connector=parts.connector,
            profiles=parts.profiles,
            target=parts.target,
            reactor=parts.reactor,
            tell_target_client=forwards is ForwardClientAddress.DOVECOT_ID,
        )
        self._penalty = make_penalty(parts, judges)
        hands = Hands(
            database=parts.database,
            judges=judges,
            penalty=self._penalty,
            keeper=parts.keeper,
            book=self._book,
            taps=TapChoice(parts.database),
        )
        gate = Gatekeeper(hands, reactor=parts.reactor, log=context.log)
        self._doors = [(listener, self._door(listener, gate)) for listener in listeners]
        self._listening: list[Listening] = []

    def _door(self, listener: BoundListener, gate: Gatekeeper) -> Door:
        settings, parts = listener.settings, self._parts
        protocol = _PROTOCOLS.get(settings.service)
        if protocol is None:
            raise CannotStart(f"{settings.service.value} is not served yet: take it out of [[listen]]")
        contexts = server_contexts(parts.settings.tls, protocol, parts.reactor, self._log)
        terms = DoorTerms(
            protocol=protocol,
            tls=settings.mode,
            contexts=contexts,
            plaintext_login=settings.plaintext_login or settings.mode is TlsMode.NONE,
        )
        return Door(terms, gate, reactor=parts.reactor, log=self._log)

    def _silent(self) -> None:
        self._log.error("the store was silent for a minute: sessions at the source are ended")
        self._book.stop_source_sessions()

    async def start(self) -> None:
        """Register and accept clients."""
        await self._node.register()
        self._book.begin()
        for listener, door in self._doors:
            self._listening.append(
                listen(self._parts.reactor, listener.socket, door.accept, contexts=door.terms.contexts)
            )

    async def drain(self) -> None:
        """Accept nobody new and let sessions end between commands."""
        await defer.DeferredList([one.stop() for one in self._listening])
        await defer.DeferredList([door.drain() for _, door in self._doors])
        await self._penalty.settled()
        await self._book.finish()
        await self._node.leave()
        await self._parts.close()


def build(context: WorkerContext, listeners: Sequence[BoundListener]) -> ProxyRole:
    """Build the role in its worker process."""
    return ProxyRole(context, listeners)
