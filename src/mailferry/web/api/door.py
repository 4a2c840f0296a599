"""Who asks the API: a token in the Authorization header, never a cookie, so that no page of another site can ask."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mailferry.model.access import Secret
from mailferry.roster.rights import Rights
from mailferry.roster.tokens import Bearer, Scope, bearer
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.web.api.pace import Pace
from mailferry.web.api.problems import ApiFault, too_many
from mailferry.web.desk import client_of
from mailferry.web.throttle import Attempt, Limits, Seconds, Throttle, TooMany

WRONG_LIMITS = Limits(name_and_network=20, name=20, network=20)
"""Wrong tokens of one client network in 15 minutes."""

_MOST_KNOWN = 1000

_scheme = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    bearerFormat="mailferry_...",
    description="A token made with `mailferry admin token add`.",
)
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]


class Door:
    """One per site. `seconds` is a clock that nobody can set back."""

    def __init__(self, database: Database, seconds: Seconds) -> None:
        self._database = database
        self._wrong = Throttle(seconds, WRONG_LIMITS)
        self._pace = Pace(seconds)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def enter(self, request: Request, given: HTTPAuthorizationCredentials | None, scope: Scope) -> Bearer:
        """Return who asks; raises ApiFault for no token, a wrong one, one for something else, and too many."""
        if given is None:
            raise ApiFault(401, "send a token: Authorization: Bearer ...", {"www-authenticate": "Bearer"})
        secret = Secret(given.credentials.encode("utf-8", "replace"))
        known = hashlib.sha256(secret.reveal()).digest()
        attempt = self._counted(known, client_of(request).host)
        try:
            found = bearer(self._database, secret)
        except StoreUnavailable:
            if attempt is not None:
                self._wrong.was_right(
                    attempt
                )  # nobody knows, and it shall not count for a quarter of an hour
            raise
        if found is None:
            self._forget(known)
            raise ApiFault(
                401,
                "this token is not known, or no longer good",
                {"www-authenticate": 'Bearer error="invalid_token"'},
            )
        if attempt is not None:
            self._wrong.was_right(attempt)
            self._remember(known)
        wait = self._pace.wait(found.token_id)
        if wait > 0:
            raise too_many(wait)
        if scope not in found.scopes:
            raise ApiFault(
                403,
                f"this token is not for that; its scope is {', '.join(sorted(found.scopes))}",
                {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope.value}"'},
            )
        return found

    def _counted(self, known: bytes, host: str) -> Attempt | None:
        """Count an unknown token; a good one is not held up by somebody beside it who guesses."""
        if known in self._known:
            return None
        attempt = self._wrong.enter(host, host)
        if isinstance(attempt, TooMany):
            raise too_many(attempt.seconds)
        return attempt

    def _remember(self, known: bytes) -> None:
        with self._lock:
            self._known[known] = None
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)

    def _forget(self, known: bytes) -> None:
        with self._lock:
            self._known.pop(known, None)


def _rights(scope: Scope) -> Callable[[Request, HTTPAuthorizationCredentials | None], Rights]:
    def who(request: Request, given: Given) -> Rights:
        door: Door = request.app.state.door
        return door.enter(request, given, scope).rights

    return who


Reader = Annotated[Rights, Depends(_rights(Scope.READ))]
"""For handlers that look: who asks."""

Writer = Annotated[Rights, Depends(_rights(Scope.WRITE))]
"""For handlers that change something: who asks."""

Webmail = Annotated[Rights, Depends(_rights(Scope.LOGIN))]
"""For the login of a webmail: whose users it may ask about."""
