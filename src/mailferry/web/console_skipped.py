"""Messages that were not copied, one by one, in the console."""

from __future__ import annotations

from fastapi import APIRouter, Response

from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk
from mailferry.web.forms import PostedForm
from mailferry.web.skipped_mail import fetched_message


def skipped_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.post("/admin/account/skipped")
    async def fetch(who: Who, form: PostedForm) -> Response:
        address, number = form.text("address"), form.number("message")
        who.need_change_account(address)
        return await fetched_message(desk, address, number)

    return routes
