"""The messages of one account over the API: what became of each, and those that were left out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from mailferry.roster.receipt import write_receipt
from mailferry.web.api.asking import LARGEST_ID, Address
from mailferry.web.api.door import Reader, Writer
from mailferry.web.desk import Desk
from mailferry.web.skipped_mail import MEDIA_TYPE, fetched_message

_PIECE = 64 * 1024
_CSV = {"text/csv": {"schema": {"type": "string", "format": "binary"}}}
_MAIL = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}


def account_mail_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["accounts"])

    @routes.get("/accounts/{address}/receipt", response_class=Response, responses={200: {"content": _CSV}})
    def account_receipt(who: Reader, address: Address) -> Response:
        """Return one line a message as a file: copied, already there, or skipped and why. No host is asked."""
        who.need_read_account(address)
        with ExitStack() as held:
            file = held.enter_context(tempfile.TemporaryFile(prefix="mailferry-receipt-"))
            write_receipt(desk.database, address, file, seekable=True)
            file.seek(0)
            sent = held.pop_all()
        headers = {"content-disposition": 'attachment; filename="receipt.csv"'}
        return StreamingResponse(
            _pieces(file),
            media_type="text/csv; charset=utf-8",
            headers=headers,
            background=BackgroundTask(sent.close),
        )

    @routes.post(
        "/accounts/{address}/skipped/{number}/fetch",
        response_class=Response,
        responses={200: {"content": _MAIL}},
    )
    async def account_skipped_fetch(
        who: Writer,
        address: Address,
        number: Annotated[int, Path(ge=1, le=LARGEST_ID, description="The message's `id` on the list.")],
    ) -> Response:
        """Fetch a message that was not copied from the old host, and return it as a file."""
        who.need_change_account(address)
        return await fetched_message(desk, address, number)

    return routes


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
