"""What every page works with, and the few things that all of them do."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from fastapi import Request
from fastapi.responses import RedirectResponse
from twisted.internet.defer import Deferred

from mailferry.gate.checking import Checker
from mailferry.model.profile import Profile
from mailferry.observe.log import Log
from mailferry.passwords.sealing import KeyRing
from mailferry.store.database import Database
from mailferry.web.comparisons import Comparisons
from mailferry.web.old_hosts import OldHosts
from mailferry.web.old_mailbox import OldMailbox
from mailferry.web.pages import Pages, secure
from mailferry.web.throttle import Seconds, Throttle, TooMany
from mailferry.web.tickets import Tickets
from mailferry.wire.proxy_header import Endpoint

T = TypeVar("T")


class OnReactor(Protocol):
    """Begins work on the reactor and awaits its end in the loop of the request.

    They are one loop in the web process; a test's browser has a loop of its own.
    """

    def __call__(self, work: Callable[[], Deferred[T]]) -> Awaitable[T]:
        """Return what the Deferred of `work()` gives."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """One per site.

    `user_throttle` and `admin_throttle` count the two kinds of sign-ins apart; `flips_file` is the log
    that an early switch is written to, `profiles` the providers that a domain may name.
    """

    database: Database
    keyring: KeyRing
    old_mailbox: OldMailbox
    checker: Checker
    on_reactor: OnReactor
    tickets: Tickets
    user_throttle: Throttle
    admin_throttle: Throttle
    log: Log
    seconds: Seconds
    flips_file: Path
    profiles: Mapping[str, Profile]
    old_hosts: OldHosts
    pages: Pages = field(default_factory=Pages)
    comparisons: Comparisons = field(default_factory=Comparisons)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What went wrong, as a page tells it: the key of its words, and perhaps a reason of somebody else."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)
    detail: str = ""


def too_many(refusal: TooMany) -> Wrong:
    """Return what somebody reads who tried too often."""
    return Wrong("too-many", {"minutes": max(1, math.ceil(refusal.seconds / 60))})


def client_of(request: Request) -> Endpoint:
    """Return where the browser connects from, as the socket (or our own web server before us) says."""
    client = request.client
    return Endpoint("", 0) if client is None else Endpoint(client.host, client.port)


def see_other(path: str) -> RedirectResponse:
    """Return the answer to a form that was carried out: look at `path` now."""
    return RedirectResponse(path, status_code=303)


def keep_ticket(request: Request, answer: RedirectResponse, name: str, ticket: str, *, path: str) -> None:
    """Put a ticket into the browser: not for scripts, not for other sites, over TLS only where there is TLS."""
    answer.set_cookie(name, ticket, path=path, secure=secure(request), httponly=True, samesite="strict")


def drop_ticket(request: Request, answer: RedirectResponse, name: str, *, path: str) -> None:
    """Take a ticket out of the browser."""
    answer.delete_cookie(name, path=path, secure=secure(request), httponly=True, samesite="strict")
