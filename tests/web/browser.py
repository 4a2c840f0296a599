"""A browser for tests: it asks a site without a network, keeps cookies, and says where a form comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import quote_from_bytes

import httpx
from fastapi import FastAPI

HOST = "mail.example.test"


class Browser:
    """One browser. Blocking: an async test uses it in a thread."""

    def __init__(
        self,
        site: FastAPI,
        *,
        scheme: str = "http",
        client: str = "192.0.2.1",
        language: str = "en",
    ) -> None:
        self._origin = f"{scheme}://{HOST}"
        transport = httpx.ASGITransport(app=site, client=(client, 50000))
        self._client = httpx.AsyncClient(
            transport=transport, base_url=self._origin, headers={"accept-language": language}
        )

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self._client.cookies.items())

    def set_cookie(self, name: str, value: str) -> None:
        self._client.cookies.clear()
        self._client.cookies.set(name, value)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return asyncio.run(self._client.get(path, headers=headers))

    def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        """Send a request as it is, without the headers of a form's page."""
        return asyncio.run(self._client.request(method, path, **more))

    def post(
        self, path: str, fields: Mapping[str, str | bytes] | None = None, *, follow: bool = False
    ) -> httpx.Response:
        """Post a form of a page of this site."""
        pairs = [f"{name}={quote_from_bytes(_octets(value))}" for name, value in (fields or {}).items()]
        headers = {"origin": self._origin, "content-type": "application/x-www-form-urlencoded"}
        return asyncio.run(
            self._client.post(path, content="&".join(pairs), headers=headers, follow_redirects=follow)
        )

    def upload(
        self, path: str, octets: bytes, fields: Mapping[str, str] | None = None, name: str = "accounts.csv"
    ) -> httpx.Response:
        files = {"file": (name, octets, "text/csv")}
        headers = {"sec-fetch-site": "same-origin"}
        return asyncio.run(self._client.post(path, files=files, data=dict(fields or {}), headers=headers))


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, frozenset[str]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, frozenset(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def tags(page: str) -> list[tuple[str, frozenset[str]]]:
    """Return each tag of a page with the names of its attributes."""
    parser = _Tags()
    parser.feed(page)
    return parser.found


def shown(page: str) -> str:
    """Return the text that a reader sees."""
    parser = _Tags()
    parser.feed(page)
    return " ".join(" ".join(parser.texts).split())
