"""What the DNS says of a domain's mail: exchangers, aliases of its mail hosts, and its SPF record."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.names import client, dns, error

from mailferry.net.tls_client import wire_name

QUERY_SECONDS = (1, 2, 3)
"""A question is repeated; this is the wait for each try, in seconds."""

MOST_RECORDS = 50
MAIL_HOSTS = ("imap", "pop", "pop3", "mail", "smtp")

_INCLUDE = re.compile(r"(?:^|\s)[+?~-]?(?:include:|redirect=)([A-Za-z0-9._-]{1,253})", re.IGNORECASE)


class NoRecords(Exception):
    """The DNS could not be asked; the text says why."""


class DnsRecords:
    """Questions to one resolver: that of the system, or the one at `server` (digits and port)."""

    def __init__(self, reactor: Any, server: tuple[str, int] | None = None) -> None:
        self._reactor = reactor
        self._resolver = (
            client.Resolver(resolv="/etc/resolv.conf", timeout=QUERY_SECONDS, reactor=reactor)
            if server is None
            else client.Resolver(servers=[server], timeout=QUERY_SECONDS, reactor=reactor)
        )

    async def exchangers(self, domain: str) -> tuple[str, ...]:
        """Return the names of the domain's mail exchangers, the preferred first; raises NoRecords."""
        found = [record.payload for record in await self._ask(domain, dns.MX)]
        found.sort(key=lambda payload: payload.preference)
        return tuple(_name(payload.name) for payload in found)

    async def alias(self, host: str) -> str | None:
        """Return where a CNAME of `host` leads, None where there is none; raises NoRecords."""
        for record in await self._ask(host, dns.CNAME):
            return _name(record.payload.name)
        return None

    async def spf_includes(self, domain: str) -> tuple[str, ...]:
        """Return the names that the domain's SPF record includes; raises NoRecords."""
        found: list[str] = []
        for record in await self._ask(domain, dns.TXT):
            text = b"".join(record.payload.data).decode("ascii", "replace")
            if text.lower().startswith("v=spf1"):
                found += [name.lower().rstrip(".") for name in _INCLUDE.findall(text)]
        return tuple(dict.fromkeys(found[:MOST_RECORDS]))

    async def _ask(self, name: str, kind: int) -> list[Any]:
        asking: Deferred[Any] = self._resolver.query(dns.Query(wire_name(name).encode("ascii"), kind))
        asking.addTimeout(sum(QUERY_SECONDS) + 1, self._reactor)
        try:
            answers, _authority, _additional = await asking
        except (error.DNSNameError, error.AuthoritativeDomainError):
            return []  # there is no such name
        except (TimedOut, CancelledError, error.DNSQueryTimeoutError) as late:
            raise NoRecords("the DNS did not answer") from late
        except (error.DomainError, error.ResolverError, OSError, ValueError) as fault:
            raise NoRecords(f"the DNS did not answer: {type(fault).__name__}") from fault
        return [answer for answer in answers if answer.type == kind][:MOST_RECORDS]


def _name(name: Any) -> str:
    return bytes(name.name).decode("ascii", "replace").lower().rstrip(".")
