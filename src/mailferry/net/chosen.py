"""Which sockets and which TLS this process has: the one place where that is chosen."""

from __future__ import annotations

import select
import ssl

OWN_DESCRIPTORS = True
"""Whether the carriers of descriptor.py are used; where this platform has no epoll, Twisted's are."""
HAS_EPOLL = hasattr(select, "epoll")
HAS_TLS_ON_SOCKETS = hasattr(ssl.SSLContext, "_wrap_socket")
"""Whether this Python has inside what tls_door.py takes of it; any that we know has."""


def own_descriptors() -> bool:
    """Whether carriers stand on descriptors of our own."""
    return OWN_DESCRIPTORS and HAS_EPOLL


def standard_tls() -> bool:
    """Whether our listeners' TLS is the standard library's. Twisted's transports know pyOpenSSL's alone."""
    return own_descriptors() and HAS_TLS_ON_SOCKETS
