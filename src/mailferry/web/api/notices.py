"""Notices over the API: what was sent to users and administrators, what is due, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from mailferry.model.causes import Cause
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.roster import notices
from mailferry.store.notices import Audience, Standing
from mailferry.web.api.asking import CursorText, DomainFilter, Limit, cursor_behind, number_key
from mailferry.web.api.door import Reader
from mailferry.web.api.problems import ApiFault
from mailferry.web.api.shapes import Moment, Shape
from mailferry.web.desk import Desk


class Reached(StrEnum):
    """By which way a notice goes: into the user's new mailbox, or to an administrator."""

    USER = "user"
    WEBHOOK = "webhook"
    MAIL = "mail"


class Notice(Shape):
    """What somebody was told, or is to be told."""

    id: int
    domain: str
    address: str | None = Field(description="Of the account; null for a notice about its domain.")
    to: Reached
    kind: str = Field(
        description="started, done or failed to a user; must_act, source_blocked, source_refuses_all or window_ends."
    )
    cause: Cause | None = Field(description="By which accounts failed.")
    state: Standing = Field(
        description="`dropped`: no longer so when its turn came, or given up after many tries."
    )
    made_at: Moment
    due_at: Moment = Field(description="When it is sent, or tried again.")
    sent_at: Moment
    tries: int


class NoticeList(Shape):
    """One page of notices."""

    notices: list[Notice] = Field(description="Newest first.")
    next: str | None


def notice_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["overview"])

    @routes.get("/notices", response_model=NoticeList)
    def notices_list(
        who: Reader,
        domain: DomainFilter = None,
        address: Annotated[
            str | None,
            Query(
                max_length=320,
                pattern=r"^[^\x00-\x1f\x7f]*$",
                description="Only about this account; notices to administrators are about domains.",
            ),
        ] = None,
        to: Annotated[Reached | None, Query(description="By which way they go.")] = None,
        state: Standing | None = None,
        limit: Limit = 100,
        cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
    ) -> Response:
        """List notices to users and administrators with what became of them, newest first."""
        if domain is not None:
            who.need_read(domain)
        named = None if address is None else _address(address)
        if named is not None:
            who.need_read_account(named)
        rows = notices.listing(
            desk.database,
            domain=domain,
            address=named,
            to=None if to is None else Audience(to.value),
            standing=state,
            before=number_key("notices", cursor_),
            within=who.domains,
            limit=limit,
        )
        return JSONResponse({"notices": rows, "next": cursor_behind("notices", rows, limit)})

    return routes


def _address(text: str) -> str:
    try:
        return canonical_address(text)
    except BadAddress as error:
        raise ApiFault(422, f"no account has such an address: {error}") from None
