"""The listeners at which other servers ask about passwords: nginx's mail proxy and Postfix."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from mailferry.app.listeners import BoundListener
from mailferry.app.parts import Parts
from mailferry.config.settings import ServiceName
from mailferry.frontends.auth_http import AuthHttpDoor
from mailferry.frontends.auth_http_answers import Answers, NginxTerms, OwnDoor
from mailferry.frontends.sasl import SaslDoor
from mailferry.gate.checking import Checker
from mailferry.model.access import Protocol
from mailferry.net.proxy_gate import is_trusted

_PROTOCOLS = {ServiceName.IMAP: Protocol.IMAP, ServiceName.POP3: Protocol.POP3}


def asked_door(
    parts: Parts, checker: Checker, listener: BoundListener, listeners: Sequence[BoundListener]
) -> AuthHttpDoor | SaslDoor:
    """Return what answers at `listener`; `listeners` are all of this process, some of which nginx is sent to."""
    reactor, log = parts.reactor, parts.log
    if listener.settings.service is ServiceName.SASL:
        return SaslDoor(checker, reactor=reactor, log=log)
    settings = parts.settings
    answers = Answers(
        NginxTerms(own_doors(listeners), settings.auth_http.submission, settings.service.default_domain),
        checks=checker,
        keeper=parts.keeper,
        target=parts.target,
        database=parts.database,
        log=log,
    )
    return AuthHttpDoor(answers, key=settings.auth_http.key, reactor=reactor, log=log)


def own_doors(listeners: Sequence[BoundListener]) -> dict[Protocol, OwnDoor]:
    """Return the loopback door of each protocol that nginx brings clients to.

    One that believes a PROXY header from this machine comes first: it learns who the client is.
    """
    doors: dict[Protocol, OwnDoor] = {}
    for one in listeners:
        if not one.settings.for_nginx:
            continue
        host, port = one.socket.getsockname()[:2]
        door = OwnDoor(host, port, wants_header=_believes_this_machine(one, host))
        protocol = _PROTOCOLS[one.settings.service]
        if protocol not in doors or (door.wants_header and not doors[protocol].wants_header):
            doors[protocol] = door
    return doors


def _believes_this_machine(listener: BoundListener, host: str) -> bool:
    """Whether connections from nginx, which come from the door's own address, must begin with a header."""
    assert ipaddress.ip_address(host).is_loopback
    return is_trusted(host, listener.settings.proxy_protocol_from)
