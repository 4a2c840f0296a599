"""The console's log of who did what: pages, newest first, of one object or one person alone."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.roster import overview
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk
from mailferry.web.faults import BadRequest
from mailferry.web.forms import asked

ROWS = 100


def audit_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/admin/audit")
    def audit(request: Request, who: Who) -> Response:
        before = asked(request, "before")
        if before and not (before.isascii() and before.isdigit() and len(before) < 19):
            raise BadRequest("before is the number of a row")
        words = {name: asked(request, name) for name in ("subject", "by")}
        rows = overview.audit_log(
            desk.database,
            subject=words["subject"] or None,
            by=words["by"] or None,
            before=int(before) if before else None,
            within=who.domains,
            limit=ROWS,
        )
        kept = {name: word for name, word in words.items() if word}
        older = urlencode({**kept, "before": rows[-1]["id"]}) if len(rows) == ROWS else None
        return desk.pages.page(
            request, "console_audit.html", who=who, page="audit", rows=rows, filter=words, older=older
        )

    return routes
