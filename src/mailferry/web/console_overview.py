"""The console's overview and its audit log."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mailferry.model.causes import CAUSES, Cause
from mailferry.providers.sentences import advice
from mailferry.roster import overview
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk
from mailferry.web.faults import BadRequest
from mailferry.web.forms import asked

AUDIT_ROWS = 100


def overview_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/admin/")
    def show(request: Request, who: Who) -> Response:
        facts = overview.overview(desk.database)
        causes = [
            {
                "name": name,
                "accounts": number,
                "actor": CAUSES[Cause(name)].actor.value,
                "advice": advice(Cause(name)),
            }
            for name, number in sorted(facts["causes"].items(), key=lambda entry: -entry[1])
        ]
        processes = overview.processes(desk.database)
        return desk.pages.page(
            request, "console_overview.html", who=who, facts=facts, causes=causes, processes=processes
        )

    @routes.get("/admin/audit")
    def audit(request: Request, who: Who) -> Response:
        before = asked(request, "before")
        if before and not (before.isascii() and before.isdigit() and len(before) < 19):
            raise BadRequest("before is the number of a row")
        rows = overview.audit_log(desk.database, before=int(before) if before else None, limit=AUDIT_ROWS)
        older = rows[-1]["id"] if len(rows) == AUDIT_ROWS else None
        return desk.pages.page(request, "console_audit.html", who=who, rows=rows, before=older)

    return routes
