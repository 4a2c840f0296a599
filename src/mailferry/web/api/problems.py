"""Every fault of the API as problem details (RFC 9457); none repeats what was sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from mailferry.config.faults import BadConfiguration
from mailferry.observe.log import Log
from mailferry.roster.lookup import NoSuchAccount, NoSuchDomain
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import Forbidden
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.web.faults import BadRequest

MEDIA_TYPE = "application/problem+json"
STORE_SECONDS = 5
"""After how many seconds somebody may ask again while the store is down."""

_NOT_THERE = (NoSuchAccount, NoSuchDomain)


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="Part and name, such as `body.days` or `query.state`.")
    message: str


class Problem(BaseModel):
    """Why a request was not carried out (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="The words of the status.")
    status: int
    detail: str | None = Field(default=None, description="What is the matter, and what to do.")
    errors: list[FieldProblem] | None = Field(default=None, description="Everything that is wrong, with 422.")


class ApiFault(Exception):
    """A request that is answered with a problem; the message repeats nothing of it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


def problem(
    status: int,
    detail: str | None = None,
    *,
    errors: Sequence[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer for a fault."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail or None,
        errors=None if errors is None else list(errors),
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, dict(headers or {}), MEDIA_TYPE)


def too_many(seconds: float) -> ApiFault:
    """Return the fault of somebody who asks too often and may again in `seconds`."""
    wait = max(1, math.ceil(seconds))
    return ApiFault(429, f"too many requests; ask again in {wait} seconds", {"retry-after": str(wait)})


def tell_problems(api: FastAPI, log: Log) -> None:
    """Let the application answer every fault that is foreseen with a problem."""

    @api.exception_handler(ApiFault)
    def _fault(_request: Request, fault: ApiFault) -> JSONResponse:
        return problem(fault.status, str(fault), headers=fault.headers)

    @api.exception_handler(BadRequest)
    def _bad(_request: Request, fault: BadRequest) -> JSONResponse:
        return problem(fault.status, str(fault))

    @api.exception_handler(RosterRefusal)
    def _refused(_request: Request, refusal: RosterRefusal) -> JSONResponse:
        status = 404 if isinstance(refusal, _NOT_THERE) else 403 if isinstance(refusal, Forbidden) else 409
        return problem(status, str(refusal))

    @api.exception_handler(StoreRefusal)
    def _changed(_request: Request, _refusal: StoreRefusal) -> JSONResponse:
        return problem(409, "it has just changed by itself; look at it again")

    @api.exception_handler(StoreUnavailable)
    def _down(_request: Request, fault: StoreUnavailable) -> JSONResponse:
        log.error("the api needs the store", why=str(fault))
        detail = "the service cannot look this up just now"
        return problem(503, detail, headers={"retry-after": str(STORE_SECONDS)})

    @api.exception_handler(BadConfiguration)
    def _unusable(_request: Request, fault: BadConfiguration) -> JSONResponse:
        errors = [FieldProblem(where=f"body.{one.key}", message=one.message) for one in fault.faults]
        return problem(422, "the domain cannot be like that", errors=errors)

    @api.exception_handler(RequestValidationError)
    def _invalid(_request: Request, fault: RequestValidationError) -> JSONResponse:
        return problem(422, "the request cannot be used", errors=[_field(one) for one in fault.errors()])

    @api.exception_handler(HTTPException)
    def _http(_request: Request, fault: HTTPException) -> JSONResponse:
        return problem(fault.status_code, headers=fault.headers)


def _field(error: Mapping[str, Any]) -> FieldProblem:
    """Return what is wrong in pydantic's words, which say what is expected and not what was sent."""
    return FieldProblem(where=".".join(str(part)[:64] for part in error["loc"]), message=str(error["msg"]))
