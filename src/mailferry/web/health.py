"""`/healthz` (this process answers) and `/readyz` (the database does, and the doors are open)."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from fastapi import APIRouter, Response

from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable

CONNECT_SECONDS = 2.0

Address = tuple[str, int]


def health_routes(database: Database, doors: Sequence[Address]) -> APIRouter:
    """Return both routes; `doors` are the addresses of the mail listeners, tried by connecting."""
    routes = APIRouter()

    @routes.get("/healthz", include_in_schema=False)
    def alive() -> Response:
        return Response("ok\n", media_type="text/plain")

    @routes.get("/readyz", include_in_schema=False)
    def ready() -> Response:
        faults = []
        try:
            database.status()
        except StoreUnavailable as error:
            faults.append(str(error))
        faults += [f"{host}:{port}: {why}" for host, port in doors if (why := _closed(host, port))]
        if faults:
            return Response("\n".join(faults) + "\n", status_code=503, media_type="text/plain")
        return Response("ready\n", media_type="text/plain")

    return routes


def _closed(host: str, port: int) -> str | None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
