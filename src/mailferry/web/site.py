"""The site as a whole: which routes stand on a web listener, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from mailferry import __version__
from mailferry.roster.lookup import NoSuchAccount, NoSuchDomain
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import Forbidden
from mailferry.store.faults import StoreUnavailable
from mailferry.web.admin_sign_in import AdminSignIn
from mailferry.web.api import application
from mailferry.web.assets import asset_routes
from mailferry.web.console_account import ConsoleAccount
from mailferry.web.console_accounts import account_routes
from mailferry.web.console_audit import audit_routes
from mailferry.web.console_domain_setup import DomainSetup
from mailferry.web.console_domains import ConsoleDomains
from mailferry.web.console_files import file_routes
from mailferry.web.console_overview import overview_routes
from mailferry.web.console_rights import ConsoleRights
from mailferry.web.console_skipped import skipped_routes
from mailferry.web.desk import Desk, see_other
from mailferry.web.faults import BadRequest, NotSignedIn
from mailferry.web.heads import Heads
from mailferry.web.health import Address, health_routes
from mailferry.web.safe_answers import SafeAnswers
from mailferry.web.same_origin import SameOrigin
from mailferry.web.user_page import UserPage

_KNOWN_FAULTS = frozenset({400, 403, 404, 405, 413, 503})
_NOT_THERE = (NoSuchAccount, NoSuchDomain)


def make_site(desk: Desk, *, doors: Sequence[Address]) -> FastAPI:
    """Return the application of the web listener; `doors` are the mail listeners that `/readyz` tries."""
    site = FastAPI(title="mailferry", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    site.add_middleware(SameOrigin)
    site.add_middleware(Heads)
    site.add_middleware(SafeAnswers, log=desk.log)  # added last, so outermost
    _tell_faults(site, desk)
    site.include_router(asset_routes())
    sign_in = site.state.admin_sign_in = AdminSignIn(desk)
    site.include_router(health_routes(desk.database, doors))
    site.include_router(UserPage(desk).routes)
    site.include_router(sign_in.routes)
    site.include_router(overview_routes(desk))
    site.include_router(DomainSetup(desk).routes)
    site.include_router(ConsoleDomains(desk).routes)
    site.include_router(account_routes(desk))
    site.include_router(skipped_routes(desk))
    site.include_router(ConsoleAccount(desk).routes)
    site.include_router(file_routes(desk))
    site.include_router(audit_routes(desk))
    site.include_router(ConsoleRights(desk).routes)
    site.mount(application.PATH, application.make_api(desk))
    return site


def _tell_faults(site: FastAPI, desk: Desk) -> None:
    """Make a page of every fault; none repeats what was sent, and none tells strangers about the inside."""

    def page(request: Request, status: int, detail: str = "") -> Response:
        key = f"fault.{status if status in _KNOWN_FAULTS else 400}"
        console = request.url.path.startswith("/admin")
        facts = {"key": key, "detail": detail, "console": console, "who": None}
        return desk.pages.page(request, "fault.html", status=status, **facts)

    @site.exception_handler(NotSignedIn)
    def _to_the_door(request: Request, fault: NotSignedIn) -> Response:
        if "hx-request" in request.headers:  # a part of an open page: a door has no place in it
            return Response(status_code=204, headers={"hx-redirect": fault.door})
        return see_other(fault.door)

    @site.exception_handler(BadRequest)
    def _bad(request: Request, fault: BadRequest) -> Response:
        return page(request, fault.status, str(fault))

    @site.exception_handler(RosterRefusal)
    def _refused(request: Request, refusal: RosterRefusal) -> Response:
        status = 404 if isinstance(refusal, _NOT_THERE) else 403 if isinstance(refusal, Forbidden) else 400
        return page(request, status, str(refusal))

    @site.exception_handler(StoreUnavailable)
    def _down(request: Request, fault: StoreUnavailable) -> Response:
        desk.log.error("a page needs the store", why=str(fault))
        return page(request, 503)

    @site.exception_handler(RequestValidationError)
    def _invalid(request: Request, _fault: RequestValidationError) -> Response:
        return page(request, 400)

    @site.exception_handler(HTTPException)
    def _http(request: Request, fault: HTTPException) -> Response:
        return page(request, fault.status_code)
