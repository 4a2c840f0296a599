"""The console's accounts: pages of many with filters, one with everything, and what may be done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.model.account import State
from mailferry.model.causes import Cause
from mailferry.roster import account_changes, accounts, domains
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.account_listing import AccountFilter
from mailferry.store.database import Database
from mailferry.store.faults import StoreRefusal
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk, Wrong, see_other
from mailferry.web.faults import BadRequest
from mailferry.web.forms import Form, PostedForm, asked

_FILTERS = ("domain", "state", "cause", "search")
_ACTIONS: Mapping[str, Callable[..., None]] = {
    "retry": account_changes.retry,
    "approve": account_changes.approve,
    "pause": account_changes.pause,
    "resume": account_changes.resume,
    "reset": account_changes.reset,
}
_SAID = frozenset({*_ACTIONS, "password"})
_SKIPPED_SHOWN = 200


class ConsoleAccounts:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes = APIRouter(include_in_schema=False)

        @self.routes.get("/admin/accounts")
        def listing(request: Request, who: Who) -> Response:
            return self._listing(request, who)

        @self.routes.get("/admin/account")
        def show(request: Request, who: Who) -> Response:
            return self._shown(request, who, asked(request, "address"))

        @self.routes.post("/admin/account/password")
        def password(
            request: Request,
            who: Who,
            form: PostedForm,
        ) -> Response:
            return self._password(request, who, form)

        @self.routes.post("/admin/account/{action}")
        def act(
            request: Request,
            action: str,
            who: Who,
            form: PostedForm,
        ) -> Response:
            return self._act(request, action, who, form)

    def _listing(self, request: Request, who: str) -> Response:
        desk = self._desk
        words = filter_words(request)
        after = asked(request, "after") or None
        found = accounts.page(desk.database, filter_of(words), after=after)
        kept = {name: word for name, word in words.items() if word}
        following = urlencode({**kept, "after": found.next_after}) if found.next_after else None
        return desk.pages.page(
            request,
            "console_accounts.html",
            who=who,
            page=found,
            filter=words,
            domains=_domain_names(desk.database),
            states=list(State),
            causes=list(Cause),
            export=urlencode(kept),
            first=None if after is None else urlencode(kept) or "all",
            next=following,
        )

    def _shown(
        self, request: Request, who: str, address: str, wrong: Wrong | None = None, status: int = 200
    ) -> Response:
        database = self._desk.database
        account = accounts.show(database, address)
        said = request.query_params.get("said", "")
        return self._desk.pages.page(
            request,
            "console_account.html",
            status=status,
            who=who,
            account=account,
            facts=list(_flat(account)),
            history=accounts.log(database, address),
            skipped=accounts.skipped(database, address, limit=_SKIPPED_SHOWN),
            wrong=wrong,
            said=f"said.{said}" if said in _SAID else None,
        )

    def _act(self, request: Request, action: str, who: str, form: Form) -> Response:
        do = _ACTIONS.get(action)
        if do is None:
            raise BadRequest("there is no such action", status=404)
        return self._carried_out(
            request, who, form, action, lambda address, by: do(self._desk.database, address, who=by)
        )

    def _password(self, request: Request, who: str, form: Form) -> Response:
        desk, secret = self._desk, form.secret("password")
        if secret is None:
            wrong = Wrong("said.no-password")
            return self._shown(request, who, form.text("address"), wrong, status=400)
        return self._carried_out(
            request,
            who,
            form,
            "password",
            lambda address, by: account_changes.password(
                desk.database, desk.keyring, address, secret, who=by
            ),
        )

    def _carried_out(
        self, request: Request, who: str, form: Form, action: str, do: Callable[[str, str], None]
    ) -> Response:
        address = form.text("address")
        try:
            do(address, f"console:{who}")
        except (RosterRefusal, StoreRefusal) as refusal:
            wrong = Wrong("fault.title", detail=str(refusal))
            return self._shown(request, who, address, wrong, status=409)
        return see_other("/admin/account?" + urlencode({"address": address, "said": action}))


def filter_words(request: Request) -> dict[str, str]:
    """Return the filter as typed, empty words for what was not chosen."""
    return {name: asked(request, name) for name in _FILTERS}


def filter_of(words: Mapping[str, str]) -> AccountFilter:
    """Return the filter that the words mean; raises RosterRefusal that names what is known."""
    given: dict[str, Any] = {name: word or None for name, word in words.items()}
    return accounts.wanted(**given)


def _domain_names(database: Database) -> list[str]:
    return [domain["name"] for domain in domains.listing(database)]


def _flat(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything of `account show` as names and values; the advice stands elsewhere on the page."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from (() if name == "advice" else _flat(value, f"{before}{name}."))
        elif name != "cause_text":
            yield f"{before}{name}", "–" if value is None else value
