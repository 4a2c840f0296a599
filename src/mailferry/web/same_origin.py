"""Refuses what other sites make a browser send (T38), without tokens in forms.

A request that may change something is taken only when the browser itself says that it comes from
one of our pages: `Sec-Fetch-Site`, or where that is missing (plain HTTP) an `Origin` that names the
`Host` asked. One with neither is refused as well. Requests to the API are no concern of this: it knows
nobody by a cookie, so there is nothing that another site could use.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({"same-origin", "none"})
_WITHOUT_COOKIES = "/api/"


class SameOrigin:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or answer 403."""
        page = scope["type"] == "http" and not scope["path"].startswith(_WITHOUT_COOKIES)
        if page and scope["method"] not in _SAFE and not is_own(Headers(scope=scope)):
            refused = PlainTextResponse("This request does not come from a page of this site.\n", 403)
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_own(headers: Headers) -> bool:
    """Whether the browser says that a page of ours sent the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN
    origin, host = headers.get("origin"), headers.get("host")
    if not origin or not host:
        return False
    return urlsplit(origin).netloc.lower() == host.lower()
