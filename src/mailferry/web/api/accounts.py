"""Accounts over the API: pages of many, one with everything, and what may be done to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from mailferry.model.account import State
from mailferry.model.causes import Actor, Cause
from mailferry.roster import account_changes, accounts, switching
from mailferry.store.account_pages import Sort
from mailferry.web.api import shapes
from mailferry.web.api.asking import (
    Address,
    Body,
    CursorText,
    DomainFilter,
    Limit,
    PasswordBody,
    cursor,
    cursor_behind,
    number_key,
    text_key,
)
from mailferry.web.api.door import Reader, Writer
from mailferry.web.desk import Desk

_ACTIONS: Mapping[str, tuple[Callable[..., None], str]] = {
    "retry": (account_changes.retry, "Try again now"),
    "approve": (account_changes.approve, "Let the copy go on with what was held"),
    "pause": (account_changes.pause, "Stop copying at the next boundary; logins go on"),
    "resume": (account_changes.resume, "Copy again"),
    "reset": (account_changes.reset, "Undo not migrating, or a password that counts at the target alone"),
    "exclude": (account_changes.mark_local, "Say that it has nothing to move; it is made when it is new"),
}


class SwitchBody(Body):
    """How to switch."""

    force: bool = Field(
        default=False, description="Also when the account's password was never set at the target."
    )


def account_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["accounts"])
    _listing(routes, desk)
    _looking(routes, desk)
    for name, (do, summary) in _ACTIONS.items():
        routes.add_api_route(
            f"/accounts/{{address}}/{name}",
            _action(desk, do),
            methods=["POST"],
            name=f"account_{name}",
            summary=summary,
            response_model=shapes.Account,
        )

    @routes.post("/accounts/{address}/switch", response_model=shapes.Account)
    def account_switch(who: Writer, address: Address, body: SwitchBody | None = None) -> Response:
        """Serve the account from the target from now on; its sessions are ended first, which takes up to 10 s."""
        who.need_change_account(address)
        force = body is not None and body.force
        switching.switch(desk.database, address, who=who.audited, flips_file=desk.flips_file, force=force)
        return _shown(desk, address)

    @routes.post("/accounts/{address}/password", response_model=shapes.Account)
    def account_password(who: Writer, address: Address, body: PasswordBody) -> Response:
        """Give the copier the password of the old mailbox; it is never set at the target."""
        who.need_change_account(address)
        account_changes.password(desk.database, desk.keyring, address, body.secret(), who=who.audited)
        return _shown(desk, address)

    return routes


def _action(desk: Desk, do: Callable[..., None]) -> Callable[..., Response]:
    def act(who: Writer, address: Address) -> Response:
        who.need_change_account(address)
        do(desk.database, address, who=who.audited)
        return _shown(desk, address)

    return act


def _shown(desk: Desk, address: str) -> Response:
    return JSONResponse(accounts.show(desk.database, address))


def _listing(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/accounts", response_model=shapes.AccountList)
    def account_list(
        who: Reader,
        domain: DomainFilter = None,
        state: State | None = None,
        cause: Cause | None = None,
        actor: Annotated[Actor | None, Query(description="Who must act.")] = None,
        search: Annotated[
            str | None,
            Query(max_length=320, pattern=r"^[^\x00-\x1f\x7f]*$", description="A part of the address."),
        ] = None,
        paused: bool | None = None,
        verified: Annotated[
            bool | None, Query(description="Whether the old host has taken a password of it.")
        ] = None,
        sort: Sort = Sort.ADDRESS,
        descending: bool = False,
        limit: Limit = accounts.PAGE,
        cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
    ) -> Response:
        """List accounts in pages, in a stable order."""
        only = accounts.wanted(
            domain=domain,
            state=state,
            cause=cause,
            actor=actor,
            search=search,
            paused=paused,
            verified=verified,
            within=who.domains,
        )
        order = f"accounts {sort} {descending}"
        found = accounts.page(
            desk.database,
            only,
            after=text_key(order, cursor_),
            limit=limit,
            sort=sort,
            descending=descending,
        )
        following = cursor(order, found.next_after)
        return JSONResponse({"accounts": found.accounts, "next": following, "matching": found.matching})


def _looking(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/accounts/{address}", response_model=shapes.Account)
    def account_show(who: Reader, address: Address) -> Response:
        """Show everything about one account."""
        who.need_read_account(address)
        return _shown(desk, address)

    @routes.get("/accounts/{address}/log", response_model=shapes.History)
    def account_log(who: Reader, address: Address, limit: Limit = 100) -> Response:
        """List the account's changes of phase, newest first."""
        who.need_read_account(address)
        return JSONResponse({"changes": accounts.log(desk.database, address, limit=limit)})

    @routes.get("/accounts/{address}/skipped", response_model=shapes.SkippedList)
    def account_skipped(
        who: Reader,
        address: Address,
        limit: Limit = 500,
        cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
    ) -> Response:
        """List the messages that were not copied."""
        who.need_read_account(address)
        after = number_key("skipped", cursor_) or 0
        found = accounts.skipped(desk.database, address, after=after, limit=limit)
        return JSONResponse({"skipped": found, "next": cursor_behind("skipped", found, limit)})
