"""`domain detect`: gathers what the network tells of a domain's old host, within the networks allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailferry.app.parts import permitted_networks
from mailferry.config.settings import Settings
from mailferry.model.access import Server
from mailferry.net.connect import Connector
from mailferry.providers.detection import Gathered
from mailferry.remote.dns_records import DnsRecords
from mailferry.remote.gathering import gather


async def gathered(
    settings: Settings,
    reactor: Any,
    asked: Gathered,
    servers: Sequence[Server],
    resolver: tuple[str, int] | None = None,
) -> Gathered:
    """Return `asked` with what DNS and servers say; `resolver` (digits and port) replaces the system's DNS."""
    connector = Connector(
        reactor,
        source_addresses=[str(address) for address in settings.service.source_addresses],
        permitted=permitted_networks(settings),
    )
    return await gather(
        asked, servers, connector=connector, records=DnsRecords(reactor, resolver), reactor=reactor
    )
