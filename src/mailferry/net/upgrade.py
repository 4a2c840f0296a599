"""One handshake in progress: what began it, who waits for it, and how it is judged."""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred

from mailferry.model.causes import Unavailable
from mailferry.net.carrier import HandshakeFailed, TlsFacts
from mailferry.net.descriptor_tls import Agreed
from mailferry.net.tls_client import ServerCheck, openssl_reasons
from mailferry.net.tls_server import ServerContexts, accepted_facts


class Upgrade:
    """A TLS handshake: of our client side with the check of a server, of our server side with a certificate."""

    __slots__ = ("creator", "done")

    def __init__(self, done: Deferred[None], creator: ServerCheck | ServerContexts) -> None:
        self.done = done
        self.creator = creator

    def facts(self, connection: Agreed) -> TlsFacts:
        """Judge a finished handshake; raises Unavailable when a server is not who it should be."""
        creator = self.creator
        if isinstance(creator, ServerCheck):
            return creator.facts(cast("SSL.Connection", connection))  # what its own `connection` made
        return accepted_facts(connection)

    def failure(self, error: BaseException | None) -> Exception:
        """Return what whoever waits gets for a handshake that `error` ended (None: the peer went away)."""
        if isinstance(error, Unavailable):
            return error
        if isinstance(error, SSL.SysCallError):
            error = None
        if isinstance(self.creator, ServerCheck):
            return self.creator.handshake_failure(error)
        if isinstance(error, SSL.Error):
            return HandshakeFailed(f"TLS failed: {openssl_reasons(error)}")
        return HandshakeFailed("the client closed the connection during the TLS handshake")
