"""The whole move over the API: numbers, numbers over time, processes, and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from mailferry.roster import overview
from mailferry.web.api import shapes
from mailferry.web.api.asking import LARGEST_ID, CursorText, DomainFilter, Limit, cursor_behind, number_key
from mailferry.web.api.door import Reader, Writer
from mailferry.web.desk import Desk

LONGEST_HOURS = 24 * 400
ProcessNumber = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The process's `id`.")]


def overview_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["overview"])

    @routes.get("/overview", response_model=shapes.Overview)
    def overview_show(who: Reader, domain: DomainFilter = None) -> Response:
        """Count accounts by state and cause, messages and bytes; the present rate and the time left."""
        if domain is not None:
            who.need_read(domain)
        return JSONResponse(overview.overview(desk.database, domain, within=who.domains))

    @routes.get("/samples", response_model=shapes.Samples)
    def samples_list(
        who: Reader,
        domain: DomainFilter = None,
        hours: Annotated[float, Query(gt=0, le=LONGEST_HOURS, description="So far back.")] = 24.0,
    ) -> Response:
        """List what happened in the last hours, in at most 500 even steps, oldest first."""
        if domain is not None:
            who.need_read(domain)
        found = overview.series(desk.database, hours=hours, domain=domain, within=who.domains)
        return JSONResponse({"samples": found})

    @routes.get("/audit", response_model=shapes.AuditList)
    def audit_list(
        who: Reader,
        subject: Annotated[
            str | None,
            Query(max_length=320, pattern=r"^[^\x00-\x1f\x7f]*$", description="An address or a domain."),
        ] = None,
        limit: Limit = 100,
        cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
    ) -> Response:
        """List who did what, newest first."""
        rows = overview.audit_log(
            desk.database,
            subject=subject,
            before=number_key("audit", cursor_),
            within=who.domains,
            limit=limit,
        )
        return JSONResponse({"rows": rows, "next": cursor_behind("audit", rows, limit)})

    @routes.get("/processes", response_model=shapes.Processes)
    def processes_list(who: Reader) -> Response:
        """List our processes on all machines; for tokens of all domains."""
        if who.domains is not None:
            raise who.forbidden()
        return JSONResponse({"processes": overview.processes(desk.database)})

    @routes.post("/processes/{number}/declare-dead", response_model=shapes.Processes)
    def process_declare_dead(who: Writer, number: ProcessNumber) -> Response:
        """Void a silent process that is known to be dead: its sessions no longer hold up accounts. For owners."""
        who.need_own()
        overview.declare_dead(desk.database, number, who=who.audited)
        return JSONResponse({"processes": overview.processes(desk.database)})

    return routes
