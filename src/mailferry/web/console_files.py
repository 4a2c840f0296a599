"""Accounts from and to files of spreadsheet programs, in the console."""

from __future__ import annotations

from itertools import chain

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from mailferry.roster.account_files import ImportReport, export_lines, import_accounts
from mailferry.roster.rights import Rights
from mailferry.web.admin_sign_in import Who
from mailferry.web.console_accounts import filter_of, filter_words
from mailferry.web.desk import Desk
from mailferry.web.forms import Upload, read_upload

FAULTS_SHOWN = 200
LEFT_SHOWN = 50


def file_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/admin/import")
    def ask(request: Request, who: Who) -> Response:
        return _page(request, who)

    @routes.post("/admin/import")
    async def take_in(request: Request, who: Who) -> Response:
        upload = await read_upload(request)  # nothing of a stranger's file is read
        return await run_in_threadpool(_taken_in, request, who, upload)

    def _taken_in(request: Request, who: Rights, upload: Upload) -> Response:
        check_only = bool(upload.fields.get("check_only"))
        report = import_accounts(
            desk.database,
            desk.keyring,
            upload.octets,
            who=who.audited,
            dry_run=check_only,
            only=who.domains,
        )
        return _page(request, who, report, check_only=check_only, status=422 if report.faults else 200)

    @routes.get("/admin/accounts.csv")
    def export(request: Request, who: Who) -> Response:
        lines = export_lines(desk.database, filter_of(filter_words(request), who))
        begin = [next(lines), next(lines), next(lines, b"")]  # a refusal comes before the first octet
        desk.log.info("accounts exported", name=who.name)
        headers = {"content-disposition": 'attachment; filename="accounts.csv"'}
        return StreamingResponse(chain(begin, lines), media_type="text/csv; charset=utf-8", headers=headers)

    def _page(
        request: Request,
        who: Rights,
        report: ImportReport | None = None,
        *,
        check_only: bool = False,
        status: int = 200,
    ) -> Response:
        return desk.pages.page(
            request,
            "console_import.html",
            status=status,
            who=who,
            page="import",
            report=report,
            check_only=check_only,
            shown=FAULTS_SHOWN,
            left_shown=LEFT_SHOWN,
            wrong=None,
            said=None,
        )

    return routes
