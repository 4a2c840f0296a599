"""The API's outermost layer: how much may be sent, and what becomes of a fault of ours."""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailferry.observe.log import Log
from mailferry.web.api.problems import problem

BODY_OCTETS = 64 * 1024
"""Of a request, read before anything else happens with it; only a file of accounts may be longer."""


class Edge:
    """Middleware. The handlers of `streamed` paths (as the API names them) read and bound their bodies themselves."""

    def __init__(self, app: ASGIApp, log: Log, streamed: Collection[str]) -> None:
        self._app = app
        self._log = log
        self._streamed = frozenset(streamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; a fault that nobody foresaw shows nothing of its insides."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            if path not in self._streamed:
                body = await _body(receive)
                if body is None:
                    detail = f"a request has at most {BODY_OCTETS} octets"
                    await problem(413, detail)(scope, receive, send)
                    return
                receive = _Again(body, receive)
            await self._app(scope, receive, watched)
        except Exception as error:  # loop edge: no trace reaches a program
            self._log.error("the api broke", exc_info=error)
            if begun:
                raise
            await problem(500, "something went wrong here; the log of the service says what")(
                scope, receive, send
            )


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, None when it is too long. One that breaks off ends there."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > BODY_OCTETS:
            return None
        if not message.get("more_body", False):
            return bytes(body)


class _Again:
    """Gives a body that was read once more, and after it what else the client does."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}
