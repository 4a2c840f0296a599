"""Messages that were not copied, one by one: each is fetched from the old host when somebody asks for it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from mailferry.model.causes import RemoteFailure
from mailferry.roster import accounts
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk
from mailferry.web.faults import BadRequest
from mailferry.web.forms import PostedForm


def skipped_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.post("/admin/account/skipped")
    async def fetch(who: Who, form: PostedForm) -> Response:
        """Answer with the message as a file, never as a page; it stays on our disk only until it is sent."""
        address, number = form.text("address"), form.number("message")
        who.need_change_account(address)
        place = await run_in_threadpool(accounts.skipped_place, desk.database, address, number)
        folder = Path(await run_in_threadpool(tempfile.mkdtemp, prefix="mailferry-skipped-"))
        away = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        kept = False
        try:
            found = await desk.on_reactor(lambda: desk.old_hosts.fetch(address, *place, folder))
            if found.file is None:
                raise BadRequest(found.why, status=404)
            kept = True
        except RemoteFailure as failure:
            raise BadRequest(failure.text or failure.cause.value, status=409) from failure
        finally:
            if not kept:
                await away()
        name = f"message-{number}.eml"
        return FileResponse(found.file, media_type="message/rfc822", filename=name, background=away)

    return routes
