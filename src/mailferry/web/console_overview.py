"""The console's overview: one screen that tells whether the move goes well and who must do what, with charts.

The board is asked for anew by the page itself while it is open; charts are drawn with the page only.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.model.account import State
from mailferry.roster import overview
from mailferry.roster.board import board
from mailferry.roster.chart_series import SPANS, chart_series
from mailferry.web.admin_sign_in import Who
from mailferry.web.charts import plots
from mailferry.web.desk import Desk
from mailferry.web.faults import BadRequest
from mailferry.web.forms import asked

DEFAULT_SPAN = "24h"


def overview_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/admin/")
    def show(request: Request, who: Who) -> Response:
        domain, span = asked(request, "domain"), asked(request, "span") or DEFAULT_SPAN
        if span not in SPANS:
            raise BadRequest("there is no such span")
        if domain:
            who.need_read(domain)
        facts = board(desk.database, desk.profiles, domain=domain or None, within=who.domains)
        shown: dict[str, Any] = {
            "who": who,
            "board": facts,
            "domain": domain,
            "span": span,
            "states": list(State),
            "here": "/admin/?" + urlencode({"domain": domain, "span": span}),
        }
        if request.headers.get("hx-request"):  # our script asks for what changes alone
            return desk.pages.page(request, "console_board.html", **shown)
        series = chart_series(desk.database, span, domain=domain or None, within=who.domains)
        return desk.pages.page(
            request,
            "console_overview.html",
            page="overview",
            spans=list(SPANS),
            plots=plots(series),
            processes=overview.processes(desk.database) if who.may_own() else [],
            **shown,
        )

    return routes
