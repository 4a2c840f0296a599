"""The console's page of one account: how far it is, who must act, what may be done to it, its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.model.causes import Cause
from mailferry.model.profile import CheckStep
from mailferry.providers.remedies import remedies
from mailferry.roster import account_changes, accounts, switching
from mailferry.roster.account_changes import APPROVABLE, DOUBTFUL, FAILED, MOVING, TAKES_PASSWORD
from mailferry.roster.lookup import NoSuchAccount
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import Rights
from mailferry.store.faults import StoreRefusal
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk, Wrong, see_other
from mailferry.web.faults import BadRequest
from mailferry.web.forms import Form, PostedForm, asked

SKIPPED_SHOWN = 200
_ACTIONS: Mapping[str, Callable[..., None]] = {
    "retry": account_changes.retry,
    "approve": account_changes.approve,
    "pause": account_changes.pause,
    "resume": account_changes.resume,
    "reset": account_changes.reset,
    "exclude": account_changes.mark_local,
}
_SAID = frozenset({*_ACTIONS, "password", "switch"})


class ConsoleAccount:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes = APIRouter(include_in_schema=False)

        @self.routes.get("/admin/account")
        def show(request: Request, who: Who) -> Response:
            return self._shown(request, who, asked(request, "address"))

        @self.routes.post("/admin/account/password")
        def password(request: Request, who: Who, form: PostedForm) -> Response:
            return self._password(request, who, form)

        @self.routes.post("/admin/account/switch")
        def switch(request: Request, who: Who, form: PostedForm) -> Response:
            return self._switch(request, who, form)

        @self.routes.post("/admin/account/{action}")
        def act(request: Request, action: str, who: Who, form: PostedForm) -> Response:
            return self._act(request, action, who, form)

    def _shown(
        self, request: Request, who: Rights, address: str, wrong: Wrong | None = None, status: int = 200
    ) -> Response:
        who.need_read_account(address)
        database = self._desk.database
        account = accounts.show(database, address)
        said = request.query_params.get("said", "")
        try:
            history = accounts.log(database, address)
            skipped = accounts.skipped(database, address, limit=SKIPPED_SHOWN)
        except NoSuchAccount:  # one that its domain does not move has no row
            history, skipped = [], []
        return self._desk.pages.page(
            request,
            "console_account.html",
            status=status,
            who=who,
            page="accounts",
            account=account,
            may_change=who.may_change(account["domain"]),
            offered=_offered(account),
            takes_password=account["phase"] in TAKES_PASSWORD,
            steps=self._steps(account),
            history=history,
            skipped=skipped,
            shown=SKIPPED_SHOWN,
            wrong=wrong,
            said=f"said.{said}" if said in _SAID else None,
        )

    def _steps(self, account: Mapping[str, Any]) -> tuple[CheckStep, ...]:
        """What mends the account's failure, in its provider's own words."""
        cause = account["last_run"]["cause"]
        profile = self._desk.profiles.get(account["provider"])
        return () if cause is None or profile is None else remedies(Cause(cause), profile)

    def _act(self, request: Request, action: str, who: Rights, form: Form) -> Response:
        do = _ACTIONS.get(action)
        if do is None:
            raise BadRequest("there is no such action", status=404)
        return self._carried_out(
            request, who, form, action, lambda address, by: do(self._desk.database, address, who=by)
        )

    def _switch(self, request: Request, who: Rights, form: Form) -> Response:
        """Serve the account from the target; waits for its sessions to end, up to ten seconds."""
        desk, force = self._desk, form.ticked("force")
        return self._carried_out(
            request,
            who,
            form,
            "switch",
            lambda address, by: switching.switch(
                desk.database, address, who=by, flips_file=desk.flips_file, force=force
            ),
        )

    def _password(self, request: Request, who: Rights, form: Form) -> Response:
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
        self, request: Request, who: Rights, form: Form, action: str, do: Callable[[str, str], None]
    ) -> Response:
        address = form.text("address")
        who.need_change_account(address)
        try:
            do(address, who.audited)
        except (RosterRefusal, StoreRefusal) as refusal:
            wrong = Wrong("fault.title", detail=str(refusal))
            return self._shown(request, who, address, wrong, status=409)
        return see_other("/admin/account?" + urlencode({"address": address, "said": action}))


def _offered(account: Mapping[str, Any]) -> list[str]:
    """Return the actions that make sense now, the likeliest first; the roster decides for good."""
    phase, cause = account["phase"], account["last_run"]["cause"]
    found = []
    if cause in APPROVABLE or account["completeness"] in DOUBTFUL:
        found.append("approve")
    if phase in FAILED | MOVING or phase == "SWITCHED" or account["password"]["imported"]:
        found.append("retry")
    if phase in FAILED | MOVING | {"IDLE", "SWITCHED"}:
        found.append("resume" if account["paused"] else "pause")
    if phase == "LOCAL" or account["password"]["target_wins"]:
        found.append("reset")
    if phase == "IDLE":
        found.append("exclude")
    if phase in {"PRECOPY", "BLOCKED"}:
        found.append("switch")
    return found
