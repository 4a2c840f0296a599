"""A message that was not copied, fetched from the old host when somebody asks for it: console and API alike."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from mailferry.model.causes import RemoteFailure
from mailferry.roster import accounts
from mailferry.web.desk import Desk
from mailferry.web.faults import BadRequest

MEDIA_TYPE = "message/rfc822"


async def fetched_message(desk: Desk, address: str, number: int) -> FileResponse:
    """Answer with the message as a file, never as a page; it stays on our disk only until it is sent.

    The caller has asked whether it may be seen. Raises RosterRefusal for a message that is not on the
    list, BadRequest when it could not be had.
    """
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
    return FileResponse(found.file, media_type=MEDIA_TYPE, filename=name, background=away)
