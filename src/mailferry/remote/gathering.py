"""Gathers the facts by which a domain's old host is recognised: from the DNS, and from its servers' first words."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.causes import Unavailable
from mailferry.net.connect import Connector
from mailferry.providers.detection import Gathered
from mailferry.remote.dns_records import MAIL_HOSTS, DnsRecords, NoRecords
from mailferry.remote.first_look import first_look

T = TypeVar("T")


async def gather(
    asked: Gathered,
    servers: Sequence[Server],
    *,
    connector: Connector,
    records: DnsRecords,
    reactor: Any,
) -> Gathered:
    """Return `asked` (what the administrator knows) with all that the network tells.

    `servers` are the source's; where none is known, the names that are usual in the domain are tried.
    Dials only what the connector may dial, sends nothing secret, and takes at most about 40 seconds.
    What could not be found out stands in `silent`.
    """
    gathering = _Gathering(asked, connector, records, reactor)
    await gathering.ask_dns()
    await gathering.look_at(servers or usual_servers(asked.domain))
    return gathering.found


def usual_servers(domain: str) -> list[Server]:
    """Return the servers that a domain usually has under its own name."""
    return [
        Server(Protocol.IMAP, f"imap.{domain}", 993, TlsMode.IMPLICIT),
        Server(Protocol.IMAP, f"mail.{domain}", 993, TlsMode.IMPLICIT),
        Server(Protocol.POP3, f"pop.{domain}", 995, TlsMode.IMPLICIT),
    ]


class _Gathering:
    """One domain's facts while they come in."""

    def __init__(self, asked: Gathered, connector: Connector, records: DnsRecords, reactor: Any) -> None:
        self.found = asked
        self._connector = connector
        self._records = records
        self._reactor = reactor

    async def ask_dns(self) -> None:
        """Ask for exchangers, SPF and aliases, all at the same time."""
        domain = self.found.domain
        hosts = [f"{name}.{domain}" for name in MAIL_HOSTS]
        mx, spf, *aliases = await _together(
            [
                self._record(f"MX {domain}", self._records.exchangers(domain), ()),
                self._record(f"SPF {domain}", self._records.spf_includes(domain), ()),
                *(self._record(f"CNAME {host}", self._records.alias(host), None) for host in hosts),
            ]
        )
        cnames = {host: target for host, target in zip(hosts, aliases, strict=True) if target is not None}
        self.found = replace(self.found, mx=mx, spf_includes=spf, cnames=cnames)

    async def _record(self, what: str, ask: Awaitable[T], nothing: T) -> T:
        try:
            return await ask
        except NoRecords as error:
            self._silent(what, str(error))
            return nothing

    async def look_at(self, servers: Sequence[Server]) -> None:
        """Connect to all servers at the same time and note their first words."""
        await _together([self._look(server) for server in servers])

    async def _look(self, server: Server) -> None:
        try:
            seen = await first_look(self._connector, server, reactor=self._reactor)
        except Unavailable as failure:
            self._silent(str(server), failure.text)
            return
        name, found = str(server), self.found
        if seen.certificate_names:
            found = replace(
                found, certificate_names={**found.certificate_names, server.host: seen.certificate_names}
            )
        if seen.greeting:
            found = replace(found, greetings={**found.greetings, name: seen.greeting})
        if seen.capabilities:
            found = replace(found, capabilities={**found.capabilities, name: seen.capabilities})
        if seen.server_id:
            found = replace(found, server_ids={**found.server_ids, name: seen.server_id})
        self.found = found
        if not seen.greeting:
            self._silent(name, "it said nothing")

    def _silent(self, what: str, why: str) -> None:
        self.found = replace(self.found, silent={**self.found.silent, what: why})


async def _together(asks: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run all at the same time; raises the first fault of the program among them."""
    running: list[Deferred[Any]] = [ensureDeferred(ask) for ask in asks]
    return [value for _, value in await DeferredList(running, fireOnOneErrback=True, consumeErrors=True)]
