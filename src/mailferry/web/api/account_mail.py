"""The messages of one account over the API: what became of each, what differs now, and those that were left out."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import Field
from starlette.background import BackgroundTask

from mailferry.model.causes import Refused, RemoteFailure
from mailferry.roster.receipt import write_receipt
from mailferry.web.api.asking import LARGEST_ID, Address, Body
from mailferry.web.api.door import Reader, Writer
from mailferry.web.api.problems import STORE_SECONDS, ApiFault
from mailferry.web.api.shapes import Shape
from mailferry.web.desk import Desk
from mailferry.web.skipped_mail import MEDIA_TYPE, fetched_message

DIFFERENCES_TOLD = 1000
VERIFY_SECONDS = 300.0
"""How long a program is kept waiting; both sides of a large mailbox are read by `account verify`."""
_PIECE = 64 * 1024
_CSV = {"text/csv": {"schema": {"type": "string", "format": "binary"}}}
_MAIL = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}


class VerifyBody(Body):
    """How much is read again."""

    sample_percent: float = Field(
        default=100.0, gt=0, le=100, description="Of how many messages the octets are compared."
    )


class Difference(Shape):
    """One message that is not alike on both sides, or something about a whole mailbox."""

    mailbox: str
    uid: int | None
    fault: str
    detail: str


class Verified(Shape):
    """What a comparison of both sides found."""

    equal: bool
    messages: int
    bodies_compared: int
    skipped: int
    target_only: int
    gone: int
    unlocated: int
    faults: dict[str, int] = Field(description="How many of each kind in all.")
    differences: list[Difference] = Field(description=f"The first {DIFFERENCES_TOLD}.")


def account_mail_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["accounts"])
    verifying = Verifying(desk)

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

    @routes.post("/accounts/{address}/verify", response_model=Verified)
    async def account_verify(who: Writer, address: Address, body: VerifyBody | None = None) -> Response:
        """Compare source and target message by message, as both are now; changes nothing, one account at a time."""
        who.need_change_account(address)
        asked = VerifyBody() if body is None else body
        return JSONResponse(await verifying.verify(address, asked.sample_percent / 100))

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


class Verifying:
    """Compares one account at a time: it reads whole mailboxes in the process that serves the pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._busy = False

    async def verify(self, address: str, share: float) -> dict[str, Any]:
        """Return what was found; raises ApiFault, NoSuchAccount and StoreUnavailable."""
        if self._busy:
            wait = {"retry-after": "30"}
            raise ApiFault(503, "another account is compared just now; ask again later", wait)
        self._busy = True
        told: list[dict[str, Any]] = []

        def tell(difference: dict[str, Any]) -> None:
            if len(told) < DIFFERENCES_TOLD:
                told.append(difference)

        try:
            work = self._desk.on_reactor(lambda: self._desk.old_hosts.verify(address, share, tell))
            sums = await asyncio.wait_for(work, VERIFY_SECONDS)
        except TimeoutError:
            detail = f"this takes longer than {VERIFY_SECONDS:g} seconds; send a smaller sample_percent, or use mailferry account verify"
            raise ApiFault(409, detail) from None
        except RemoteFailure as failure:
            why = failure.text or failure.cause.value
            if isinstance(failure, Refused):
                raise ApiFault(409, why) from failure
            raise ApiFault(503, why, {"retry-after": str(STORE_SECONDS)}) from failure
        finally:
            self._busy = False
        return {**sums, "differences": told}
