"""A login with a password that nobody has: a source that accepts it proves nothing (T21)."""

from __future__ import annotations

import secrets

from twisted.internet.interfaces import IReactorTime

from mailferry.model.access import Credentials, Secret, Server
from mailferry.model.profile import Profile
from mailferry.net.connect import Connector
from mailferry.remote.open import open_session

_OCTETS = 12


def made_up_password() -> Secret:
    """Return a password that cannot be anybody's."""
    return Secret(secrets.token_hex(_OCTETS).encode())


async def made_up_login(
    connector: Connector, server: Server, login: str, profile: Profile, *, reactor: IReactorTime
) -> None:
    """Try it on one user; returns when the server accepted it, raises Refused or Unavailable."""
    credentials = Credentials(login, made_up_password())
    session = await open_session(connector, server, credentials, profile, reactor=reactor)
    session.carrier.abort()
