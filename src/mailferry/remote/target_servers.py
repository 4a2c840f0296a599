"""Where each domain's mail goes, and how the target there learns who a user's client is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mailferry.model.access import Protocol, Server
from mailferry.model.server_url import parse_server_url
from mailferry.store.domains import Domain


class Forwarding(StrEnum):
    """How the target is told a client's address (contract, section 4, `forward_client_address`)."""

    NONE = "none"
    DOVECOT_ID = "dovecot-id"  # IMAP: ID with x-originating-ip (login_trusted_networks); POP3: not at all
    XCLIENT = "xclient"  # POP3: XCLIENT; IMAP, which has no such command: ID
    PROXY = "proxy"  # a PROXY header ahead of every connection (haproxy_trusted_networks)


@dataclass(frozen=True, slots=True)
class TargetServers:
    """The target of every domain that names no other, and what holds for all targets."""

    imap: Server
    pop3: Server | None
    forwarding: Forwarding = Forwarding.NONE

    def __post_init__(self) -> None:
        object.__setattr__(self, "imap", self._dressed(self.imap))
        object.__setattr__(self, "pop3", self.pop3 and self._dressed(self.pop3))

    def serving(self, domain: Domain, protocol: Protocol) -> Server | None:
        """Return the target of `domain` for `protocol`; None where there is no such address."""
        over_imap = protocol is Protocol.IMAP
        url = domain.target_imap if over_imap else domain.target_pop3
        if url:
            return self._dressed(parse_server_url(url))
        return self.imap if over_imap else self.pop3

    def learn_clients(self, protocol: Protocol) -> bool:
        """Whether a login over `protocol` tells the target who the client is."""
        if self.forwarding is Forwarding.DOVECOT_ID:
            return protocol is Protocol.IMAP
        return self.forwarding is not Forwarding.NONE

    def _dressed(self, server: Server) -> Server:
        """A listener that wants the header wants it from everybody: from the copier too."""
        return replace(server, proxy_header=self.forwarding is Forwarding.PROXY)
