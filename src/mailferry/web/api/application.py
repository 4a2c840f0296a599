"""The API as an application of its own below `/api/v1`: its faults, its description, its limits."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from mailferry.web.api.account_mail import account_mail_routes
from mailferry.web.api.accounts import account_routes
from mailferry.web.api.domains import domain_routes
from mailferry.web.api.door import Door
from mailferry.web.api.edge import Edge
from mailferry.web.api.files import IMPORT, file_routes
from mailferry.web.api.login import login_routes
from mailferry.web.api.notices import notice_routes
from mailferry.web.api.old_hosts import old_host_routes
from mailferry.web.api.overview import overview_routes
from mailferry.web.api.problems import MEDIA_TYPE, Problem, tell_problems
from mailferry.web.api.verifications import verification_routes
from mailferry.web.desk import Desk

PATH = "/api/v1"
_SUMMARY = "Domains, accounts and the progress of a move of mailboxes, and logins for a webmail."
_FAULTS = {
    400: "The request is broken.",
    401: "No token, or one that is not good.",
    403: "The token is not for this.",
    404: "There is no such thing, or the token may not know of it.",
    409: "It cannot be done as things stand.",
    413: "Too much was sent.",
    422: "The request is understood and cannot be used; every fault is named.",
    429: "Too many requests; Retry-After says when to ask again.",
    500: "A fault of the service.",
    503: "The service cannot look this up just now; Retry-After says when to ask again.",
}


class Api(FastAPI):
    """The application; its description names our problems instead of the framework's."""

    def openapi(self) -> dict[str, Any]:
        """Return the description (OpenAPI 3.1)."""
        if self.openapi_schema is None:
            described = super().openapi()
            shapes = described.setdefault("components", {}).setdefault("schemas", {})
            template = "#/components/schemas/{model}"
            own = Problem.model_json_schema(ref_template=template)
            shapes.update(own.pop("$defs", {}))
            shapes["Problem"] = own
        assert self.openapi_schema is not None
        return self.openapi_schema


def make_api(desk: Desk) -> FastAPI:
    """Return the application."""
    api = Api(
        title="mailferry",
        version="1",
        summary=_SUMMARY,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation,
        responses={status: _response(words) for status, words in _FAULTS.items()},
    )
    api.state.door = Door(desk.database, desk.seconds)
    api.add_middleware(Edge, log=desk.log, streamed=[IMPORT])
    tell_problems(api, desk.log)
    for routes in (
        overview_routes(desk),
        notice_routes(desk),
        domain_routes(desk),
        account_routes(desk),
        account_mail_routes(desk),
        verification_routes(desk),
        file_routes(desk),
        old_host_routes(desk),
        login_routes(desk),
    ):
        api.include_router(routes)
    return api


def _operation(route: APIRoute) -> str:
    return route.name


def _response(words: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": words, "content": {MEDIA_TYPE: {"schema": schema}}}
