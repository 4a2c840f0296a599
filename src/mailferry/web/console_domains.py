"""The console's domains: the list, one of them with its window and counts, pause and extend."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.model.account import State
from mailferry.roster import domains
from mailferry.roster.refusals import RosterRefusal
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk, Wrong, see_other
from mailferry.web.faults import BadRequest
from mailferry.web.forms import PostedForm, asked

_SAID = frozenset({"pause", "resume", "extend"})


def domain_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/admin/domains")
    def listing(request: Request, who: Who) -> Response:
        found = domains.listing(desk.database)
        return desk.pages.page(request, "console_domains.html", who=who, domains=found, states=list(State))

    @routes.get("/admin/domain")
    def show(request: Request, who: Who) -> Response:
        return _shown(request, who, asked(request, "name"))

    @routes.post("/admin/domain/{action}")
    def act(
        request: Request,
        action: str,
        who: Who,
        form: PostedForm,
    ) -> Response:
        name, by = form.text("name"), f"console:{who}"
        try:
            match action:
                case "pause" | "resume":
                    domains.pause(desk.database, name, who=by, paused=action == "pause")
                case "extend":
                    domains.extend(desk.database, name, form.number("days"), who=by)
                case _:
                    raise BadRequest("there is no such action", status=404)
        except RosterRefusal as refusal:
            return _shown(request, who, name, Wrong("fault.title", detail=str(refusal)), status=409)
        return see_other("/admin/domain?" + urlencode({"name": name, "said": action}))

    def _shown(
        request: Request, who: str, name: str, wrong: Wrong | None = None, status: int = 200
    ) -> Response:
        said = request.query_params.get("said", "")
        return desk.pages.page(
            request,
            "console_domain.html",
            status=status,
            who=who,
            domain=domains.show(desk.database, name),
            wrong=wrong,
            said=f"said.{said}" if said in _SAID else None,
        )

    return routes
