"""HEAD, which every server of pages understands (RFC 9110, section 9.1): the answer to GET without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from mailferry.web.api.application import PATH as API


class Heads:
    """Asks for HEAD what GET gives; the server that carries us leaves the body out.

    The API says of each path which methods it has, and HEAD is none of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and not scope["path"].startswith(f"{API}/"):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
