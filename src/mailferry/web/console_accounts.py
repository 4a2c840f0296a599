"""The console's list of accounts: search, filters, orders, and pages by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.model.account import State
from mailferry.model.causes import Actor, Cause
from mailferry.roster import accounts, domains
from mailferry.roster.rights import Rights
from mailferry.store.account_listing import AccountFilter
from mailferry.store.account_pages import Sort
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk
from mailferry.web.faults import BadRequest
from mailferry.web.forms import asked

_FILTERS = ("domain", "state", "cause", "actor", "verified", "search")
_VERIFIED = {"": None, "yes": True, "no": False}
_COLUMNS = (
    ("col.address", Sort.ADDRESS),
    ("col.state", Sort.STATE),
    ("col.percent", Sort.PERCENT),
    ("col.active", Sort.ACTIVITY),
)
"""Columns that can be sorted by, as they stand in the table."""


def account_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/admin/accounts")
    def listing(request: Request, who: Who) -> Response:
        words = filter_words(request)
        sort, descending = _order(request)
        after = asked(request, "after") or None
        found = accounts.page(
            desk.database, filter_of(words, who), after=after, sort=sort, descending=descending
        )
        kept = {name: word for name, word in words.items() if word}
        ordered = {**kept, **_order_words(sort, descending)}
        following = urlencode({**ordered, "after": found.next_after}) if found.next_after else None
        return desk.pages.page(
            request,
            "console_accounts.html",
            who=who,
            page="accounts",
            found=found,
            filter=words,
            order=_order_words(sort, descending),
            headings=[_heading(key, one, kept, sort, descending) for key, one in _COLUMNS],
            domains=domains.names(desk.database, within=who.domains),
            states=list(State),
            causes=list(Cause),
            actors=list(Actor),
            export=urlencode(kept),
            first=None if after is None else urlencode(ordered) or "search=",
            next=following,
        )

    return routes


def filter_words(request: Request) -> dict[str, str]:
    """Return the filter as typed, empty words for what was not chosen."""
    return {name: asked(request, name) for name in _FILTERS}


def filter_of(words: Mapping[str, str], who: Rights) -> AccountFilter:
    """Return the filter that the words mean, over what `who` may see; raises RosterRefusal that names what is known, BadRequest."""
    if words["verified"] not in _VERIFIED:
        raise BadRequest("verified is yes or no")
    given: dict[str, Any] = {name: word or None for name, word in words.items()}
    return accounts.wanted(**{**given, "verified": _VERIFIED[words["verified"]]}, within=who.domains)


def _order(request: Request) -> tuple[Sort, bool]:
    word = asked(request, "sort") or Sort.ADDRESS.value
    if word not in set(Sort):
        raise BadRequest("there is no such order")
    return Sort(word), asked(request, "down") == "1"


def _order_words(sort: Sort, descending: bool) -> dict[str, str]:
    found = {} if sort is Sort.ADDRESS else {"sort": sort.value}
    return {**found, "down": "1"} if descending else found


def _heading(
    key: str, own: Sort, kept: Mapping[str, str], sort: Sort, descending: bool
) -> dict[str, str | None]:
    """Return a column's heading: where its link leads (the other way round when it is the order) and `aria-sort`."""
    turned = own is sort and not descending
    state = None if own is not sort else "descending" if descending else "ascending"
    link = "/admin/accounts?" + urlencode({**kept, **_order_words(own, turned)})
    return {"key": key, "link": link, "sorted": state}
