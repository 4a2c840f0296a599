"""Comparisons of both sides over the API: begun by one request, asked about by others (web/comparisons.py)."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field

from mailferry.copying.verify_findings import NOTES
from mailferry.model.causes import Refused, RemoteFailure
from mailferry.roster import accounts
from mailferry.roster.lookup import NoSuchAccount
from mailferry.roster.moments import moment
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.web.api.asking import Address, Body
from mailferry.web.api.door import Reader, Writer
from mailferry.web.api.problems import ApiFault, Problem
from mailferry.web.api.shapes import Moment, Shape
from mailferry.web.comparisons import (
    AT_ONCE,
    DIFFERENCES_TOLD,
    KEPT_SECONDS,
    LARGEST_NUMBER,
    LONGEST_SECONDS,
    MOST_WAITING,
    BrokenOff,
    Comparison,
    ComparisonState,
    NotBegun,
    OtherwiseAsked,
    TookTooLong,
)
from mailferry.web.desk import Desk

_FORESEEN = (RemoteFailure, RosterRefusal, StoreRefusal, StoreUnavailable)
_ASK_AGAIN_SECONDS = 2
_FULL_SECONDS = 60
_NOT_KNOWN = (
    "this account has no such comparison here: it ended long ago, or the process that compared has ended, "
    "or another one was asked; begin it again"
)
_WHERE = (
    f"At most {AT_ONCE} accounts are compared at one time and {MOST_WAITING} wait; each comparison may take "
    f"{LONGEST_SECONDS / 3600:g} hours. It lives in the memory of the web process that was asked, and is remembered "
    f"for {KEPT_SECONDS / 3600:g} hour after its end: when that process ends it is gone and its address answers 404. "
    "Where several machines serve this API on one database, ask the same one about it: the others answer 404, "
    "never with another comparison."
)


class VerifyBody(Body):
    """How much is read again."""

    sample_percent: float = Field(
        default=100.0,
        gt=0,
        le=100,
        description="Of how many messages the octets are compared; of an account with copied mail one at least.",
    )


class Difference(Shape):
    """One message that is not alike on both sides, or something about a whole mailbox."""

    mailbox: str
    uid: int | None
    fault: str
    detail: str


class Verified(Shape):
    """What a comparison of both sides found."""

    equal: bool
    messages: int
    bodies_compared: int
    skipped: int
    target_only: int
    gone: int
    unlocated: int
    faults: dict[str, int] = Field(description="How many of each kind in all.")
    differences: list[Difference] = Field(description=f"The first {DIFFERENCES_TOLD}.")


class VerifyProgress(Shape):
    """How far it is."""

    expected: int = Field(description="Messages at the source, as the last pass of the copy counted them.")
    messages: int = Field(description="Messages at the source that were met so far.")
    bodies_compared: int
    differences: int


class Verification(Shape):
    """One comparison of both sides."""

    id: int
    address: str
    sample_percent: float
    state: ComparisonState
    asked_at: Moment
    began_at: Moment
    ended_at: Moment
    progress: VerifyProgress
    result: Verified | None = Field(description="With `done`.")
    problem: Problem | None = Field(description="With `failed`: why there is no result.")


Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The comparison's `id`.")]


def verification_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["accounts"])

    @routes.post(
        "/accounts/{address}/verify",
        status_code=202,
        response_model=Verification,
        description=(
            "Begin to compare source and target message by message, as both are now; nothing is changed. "
            "`Location` is where to ask how far it is. Of an account that is compared already this is the comparison "
            f"that goes on; with another `sample_percent` than its own it is refused (409). {_WHERE}"
        ),
    )
    async def account_verify(who: Writer, address: Address, body: VerifyBody | None = None) -> Response:
        who.need_change_account(address)
        asked = VerifyBody() if body is None else body
        account = await run_in_threadpool(accounts.find, desk.database, address)
        try:
            one = desk.comparisons.begin(
                account.address, asked.sample_percent / 100, partial(_compare, desk), expected=account.total
            )
        except OtherwiseAsked:
            raise ApiFault(409, "this account is compared just now, with another sample_percent") from None
        except NotBegun as full:
            raise ApiFault(503, str(full), {"retry-after": str(_FULL_SECONDS)}) from full
        headers = {
            "location": f"/api/v1/accounts/{quote(account.address, safe='@')}/verifications/{one.number}",
            "retry-after": str(_ASK_AGAIN_SECONDS),
        }
        return JSONResponse(_shown(one), 202, headers)

    @routes.get(
        "/accounts/{address}/verifications/{number}",
        response_model=Verification,
        description=f"Say how far a comparison is, and what it found. {_WHERE}",
    )
    async def account_verification(who: Reader, address: Address, number: Number) -> Response:
        who.need_read_account(address)
        return JSONResponse(_shown(_found(desk, address, number)))

    @routes.delete("/accounts/{address}/verifications/{number}", response_model=Verification)
    async def account_verification_end(who: Writer, address: Address, number: Number) -> Response:
        """Break a comparison off; one that has ended stays as it is."""
        who.need_change_account(address)
        one = _found(desk, address, number)
        desk.comparisons.end(one, "it was broken off by a request")
        return JSONResponse(_shown(one))

    return routes


async def _compare(desk: Desk, one: Comparison) -> dict[str, Any]:
    try:
        return await desk.on_reactor(
            lambda: desk.old_hosts.verify(one.address, one.share, one.tell, one.watch)
        )
    except _FORESEEN:
        raise
    except Exception as error:  # loop edge: its trace is for the log alone
        desk.log.error("a comparison broke", exc_info=error)
        raise


def _found(desk: Desk, address: str, number: int) -> Comparison:
    one = desk.comparisons.find(address, number)
    if one is None:
        raise ApiFault(404, _NOT_KNOWN)
    return one


def _shown(one: Comparison) -> dict[str, Any]:
    so_far = {} if one.so_far is None else one.so_far()
    counted = one.sums or so_far
    problem = None if one.failure is None else _problem(one.failure).model_dump(exclude_none=True)
    return {
        "id": one.number,
        "address": one.address,
        "sample_percent": round(one.share * 100, 6),
        "state": one.standing.value,
        "asked_at": moment(one.asked_at),
        "began_at": moment(one.began_at),
        "ended_at": moment(one.ended_at),
        "progress": {
            "expected": one.expected,
            "messages": counted.get("messages", 0),
            "bodies_compared": counted.get("bodies_compared", 0),
            "differences": sum(
                number for fault, number in counted.get("faults", {}).items() if fault not in NOTES
            ),
        },
        "result": None if one.sums is None else {**one.sums, "differences": one.differences},
        "problem": problem,
    }


def _problem(failure: BaseException) -> Problem:
    """Return why a comparison has no result, in the words that a request for one would have been answered with."""
    status, detail = 500, "something went wrong here; the log of the service says what"
    if isinstance(failure, BrokenOff):
        status, detail = 503, str(failure)
    elif isinstance(failure, TookTooLong):
        hours = f"{LONGEST_SECONDS / 3600:g}"
        status = 409
        detail = f"it took longer than {hours} hours; ask with a smaller sample_percent, or use mailferry account verify"
    elif isinstance(failure, RemoteFailure):
        status = 409 if isinstance(failure, Refused) else 503
        detail = failure.text or failure.cause.value
    elif isinstance(failure, RosterRefusal):
        status = 404 if isinstance(failure, NoSuchAccount) else 409
        detail = str(failure)
    elif isinstance(failure, StoreUnavailable):
        status, detail = 503, "the service cannot look this up just now"
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
