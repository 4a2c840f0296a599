"""The files that pages load, served by ourselves under names that tell their content, so that browsers keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response

STATIC = Path(__file__).with_name("static")
KEPT = "public, max-age=31536000, immutable"
_TYPES: Mapping[str, str] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served; `path` holds a digest of `octets`."""

    path: str
    octets: bytes
    media_type: str


def _read() -> dict[str, Asset]:
    assets = {}
    for file in sorted(STATIC.iterdir()):
        media_type = _TYPES.get(file.suffix)
        if media_type is None:
            continue  # a licence
        octets = file.read_bytes()
        digest = hashlib.sha256(octets).hexdigest()[:16]
        assets[file.name] = Asset(f"/static/{file.stem}.{digest}{file.suffix}", octets, media_type)
    return assets


ASSETS: Mapping[str, Asset] = _read()
"""File name to what is served, read once."""


def asset(name: str) -> str:
    """Return where the file `name` is served; raises KeyError for one that is not there."""
    return ASSETS[name].path


def asset_routes() -> APIRouter:
    """Return a route for each file; no path of a request reaches the disk."""
    routes = APIRouter(include_in_schema=False)
    for one in ASSETS.values():
        routes.add_api_route(one.path, _shower(one), methods=["GET"])
    return routes


def _shower(one: Asset) -> Callable[[], Response]:
    def show() -> Response:
        return Response(one.octets, media_type=one.media_type, headers={"cache-control": KEPT})

    return show
