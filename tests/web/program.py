"""A program for tests: it asks the API of a site without a network, with a token in its header."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import httpx
from fastapi import FastAPI

from mailferry.roster import tokens
from mailferry.roster.tokens import Scope
from mailferry.store.database import Database
from tests.web.browser import HOST

API = "/api/v1"


class Program:
    """One program. Blocking: an async test uses it in a thread."""

    def __init__(self, site: FastAPI, token: str | None, *, client: str = "192.0.2.50") -> None:
        transport = httpx.ASGITransport(app=site, client=(client, 50000))
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(
            transport=transport, base_url=f"http://{HOST}", headers=headers, timeout=30
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request below `/api/v1`."""
        return asyncio.run(self.request(method, path, **more))

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send one beside another, from a loop that runs already."""
        return await self._client.request(method, f"{API}{path}", **more)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of an answer that must be a good one."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Return the JSON of an answer that must be a good one."""
        answer = self.ask("POST", path, **({} if body is None else {"json": body}), **more)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()


def make_token(
    database: Database,
    name: str = "robot",
    scopes: Collection[Scope] = (Scope.WRITE,),
    domain: str | None = None,
    days: int | None = None,
) -> str:
    made = tokens.add(database, name, scopes, domain=domain, days=days, who="test")
    return made.reveal().decode()


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return what a problem says, after a look at its form (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said: dict[str, Any] = answer.json()
    assert said["status"] == answer.status_code
    assert said["type"] == "about:blank"
    assert said["title"]
    assert set(said) <= {"type", "title", "status", "detail", "errors"}
    return said
