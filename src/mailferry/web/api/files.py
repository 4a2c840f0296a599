"""Accounts from and to CSV files over the API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse

from mailferry.model.account import State
from mailferry.model.causes import Actor, Cause
from mailferry.roster import accounts, domains
from mailferry.roster.account_files import ImportReport, export_lines, import_accounts
from mailferry.roster.rights import Rights
from mailferry.web.api import shapes
from mailferry.web.api.asking import DomainFilter
from mailferry.web.api.door import Reader, Writer
from mailferry.web.api.problems import ApiFault, FieldProblem, problem
from mailferry.web.desk import Desk
from mailferry.web.forms import UPLOAD_OCTETS

IMPORT = "/import"
FAULTS_TOLD = 1000
_COLUMNS = frozenset({"target", "source", "password"})
_CSV = {"text/csv": {"schema": {"type": "string", "format": "binary"}}}


def file_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["files"])

    @routes.post(
        IMPORT,
        response_model=shapes.ImportReport,
        openapi_extra={"requestBody": {"required": True, "content": _CSV}},
    )
    async def accounts_import(
        request: Request,
        who: Writer,
        dry_run: Annotated[bool, Query(description="Only say what would be done.")] = False,
    ) -> Response:
        """Take in a file of accounts; with a fault in any row nothing is done."""
        octets = await _read(request)
        return await run_in_threadpool(taken_in, who, octets, dry_run)

    def taken_in(who: Rights, octets: bytes, dry_run: bool) -> Response:
        report = import_accounts(
            desk.database, desk.keyring, octets, who=who.audited, dry_run=dry_run, only=who.domains
        )
        if report.faults and not dry_run:
            detail = f"nothing was done: {len(report.faults)} faults in the file"
            return problem(422, detail, errors=[_told(row) for row in _faults(report)])
        return JSONResponse(
            {
                "rows": report.rows,
                "added": report.added,
                "passwords": report.passwords,
                "left_alone": list(report.left_alone),
                "faults": _faults(report),
                "encoding": report.encoding,
                "dry_run": dry_run,
            }
        )

    @routes.get("/export", response_class=Response, responses={200: {"content": _CSV}})
    def accounts_export(
        who: Reader,
        domain: DomainFilter = None,
        state: State | None = None,
        cause: Cause | None = None,
        actor: Actor | None = None,
    ) -> Response:
        """Return the accounts with their states as a file that spreadsheet programs open; no passwords."""
        if domain is not None:
            who.need_read(domain)
            domains.find(desk.database, domain)
        only = accounts.wanted(domain=domain, state=state, cause=cause, actor=actor, within=who.domains)
        headers = {"content-disposition": 'attachment; filename="accounts.csv"'}
        return StreamingResponse(
            export_lines(desk.database, only), media_type="text/csv; charset=utf-8", headers=headers
        )

    return routes


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > UPLOAD_OCTETS:
            raise ApiFault(413, f"the file is over {UPLOAD_OCTETS // 2**20} MiB; split it")
    return bytes(body)


def _faults(report: ImportReport) -> list[dict[str, object]]:
    """Return the first faults. A column of another name is not repeated: the file may begin with a password."""
    return [
        {
            "line": fault.line,
            "column": fault.column if fault.column in _COLUMNS else "",
            "message": fault.message,
        }
        for fault in report.faults[:FAULTS_TOLD]
    ]


def _told(row: dict[str, object]) -> FieldProblem:
    column = f".{row['column']}" if row["column"] else ""
    return FieldProblem(where=f"line {row['line']}{column}", message=str(row["message"]))
