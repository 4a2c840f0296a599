"""The site as a whole: which routes stand on a web listener."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from mailferry import __version__
from mailferry.store.database import Database
from mailferry.web.health import Address, health_routes


def make_site(database: Database, *, doors: Sequence[Address]) -> FastAPI:
    """Return the application of the web listener."""
    site = FastAPI(title="mailferry", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    site.include_router(health_routes(database, doors))
    return site
