"""The user page: sign in with the mail address, see how the move stands, start it, try again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from mailferry.gate.checking import Verdict
from mailferry.gate.place import find_place
from mailferry.model.account import State
from mailferry.model.causes import Answer
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.roster.account_changes import retry
from mailferry.roster.refusals import RosterRefusal
from mailferry.store.database import db_now
from mailferry.web.desk import Desk, Wrong, client_of, drop_ticket, keep_ticket, see_other, too_many
from mailferry.web.faults import NotSignedIn
from mailferry.web.forms import PostedForm, asked
from mailferry.web.throttle import TooMany
from mailferry.web.tickets import Kind, Ticket
from mailferry.web.user_view import View, view_of

COOKIE = "mailferry-user"
SIGNED_IN_SECONDS = 3600.0
_HTMX = "hx-request"
_SAID = {"started": "user.said.started", "again": "user.said.again"}


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why something was not done, with the status of the answer."""

    wrong: Wrong
    status: int


_NO_PASSWORD = _Fault(Wrong("user.start.refused"), 401)


class UserPage:
    """The page's handlers. What asks the servers awaits the reactor; what only reads runs in threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route("/", self.home, methods=["GET"])
        self.routes.add_api_route("/progress", self.progress, methods=["GET"])
        self.routes.add_api_route("/sign-in", self.sign_in, methods=["POST"])
        self.routes.add_api_route("/sign-out", self.sign_out, methods=["POST"])
        self.routes.add_api_route("/start", self.start, methods=["POST"])
        self.routes.add_api_route("/again", self.again, methods=["POST"])

    def home(self, request: Request) -> Response:
        """Show the account of who is signed in, else the door."""
        ticket = self._ticket(request)
        if ticket is None:
            return self._door(request)
        return self._state(request, ticket.name)

    def progress(self, request: Request) -> Response:
        """Answer an open page of who is signed in with how the move stands now, or that nothing changed."""
        if _HTMX not in request.headers:
            return see_other("/")
        ticket = self._ticket(request)
        view = None if ticket is None else self._view(ticket.name)
        if view is None:
            return Response(status_code=204, headers={"hx-redirect": "/"})
        shown, news = _shown(request), (view.state.value, view.quarter)
        if view.state is State.FAILED and shown[0] == view.state.value:
            return Response(status_code=204)  # what is typed into the page's form stays there
        return self._desk.pages.page(request, "user_progress.html", view=view, tells=shown != news)

    async def sign_in(self, request: Request, form: PostedForm) -> Response:
        """Judge address and password as a mail program's login; the old password starts the move."""
        desk, client = self._desk, client_of(request)
        typed, password = form.text("address"), form.secret("password")
        if password is None:
            return self._door(request, Wrong("user.refused"), typed, status=401)
        outcome = await self._judged(
            request, typed, lambda: desk.old_mailbox.sign_in(typed, password, client)
        )
        fault = _fault(outcome, "user.refused")
        if fault is not None:
            return self._door(request, fault.wrong, typed, status=fault.status)
        assert isinstance(outcome, Verdict)
        before = self._ticket(request)
        if before is not None:
            desk.tickets.end(before)
        answer = see_other("/")
        fresh = desk.tickets.give(Kind.USER, outcome.address, seconds=SIGNED_IN_SECONDS)
        keep_ticket(request, answer, COOKIE, fresh, path="/")
        return answer

    def sign_out(self, request: Request) -> Response:
        """End the sign-in."""
        ticket = self._ticket(request)
        if ticket is not None:
            self._desk.tickets.end(ticket)
        answer = see_other("/")
        drop_ticket(request, answer, COOKIE, path="/")
        return answer

    async def start(self, request: Request, form: PostedForm) -> Response:
        """Begin the move of who is signed in with the old mailbox's password."""
        mailbox, client, ticket = self._desk.old_mailbox, client_of(request), self._signed_in(request)
        old, password = form.text("old_address"), form.secret("password")
        if password is None:
            return await self._told(request, ticket.name, _NO_PASSWORD)
        outcome = await self._judged(
            request, old or ticket.name, lambda: mailbox.begin_move(ticket.name, old, password, client)
        )
        fault = _fault(outcome, "user.start.refused")
        return see_other("/?said=started") if fault is None else await self._told(request, ticket.name, fault)

    async def again(self, request: Request, form: PostedForm) -> Response:
        """Try a failed move again, with the password as it is now."""
        mailbox, client, ticket = self._desk.old_mailbox, client_of(request), self._signed_in(request)
        password = form.secret("password")
        if password is None:
            return await self._told(request, ticket.name, _NO_PASSWORD)
        outcome = await self._judged(
            request, ticket.name, lambda: mailbox.sign_in(ticket.name, password, client)
        )
        fault = _fault(outcome, "user.start.refused")
        if fault is not None:
            return await self._told(request, ticket.name, fault)
        await run_in_threadpool(self._retried, ticket.name)
        return see_other("/?said=again")

    async def _judged(
        self, request: Request, name: str, judge: Callable[[], Deferred[Verdict]]
    ) -> Verdict | TooMany:
        """Have a password judged, unless that was tried too often."""
        throttle = self._desk.user_throttle
        attempt = throttle.enter(_counted(name), client_of(request).host)
        if isinstance(attempt, TooMany):
            return attempt
        verdict = await self._desk.on_reactor(judge)
        if verdict.accepted:
            throttle.was_right(attempt)
        elif verdict.answer is Answer.TEMPORARY:
            throttle.was_not_judged(attempt)
        return verdict

    def _retried(self, address: str) -> None:
        try:
            retry(self._desk.database, address, who=f"user:{address}")
        except RosterRefusal:
            pass  # the login itself set it going meanwhile, and the page shows it

    def _ticket(self, request: Request) -> Ticket | None:
        return self._desk.tickets.read(Kind.USER, request.cookies.get(COOKIE))

    def _signed_in(self, request: Request) -> Ticket:
        ticket = self._ticket(request)
        if ticket is None:
            raise NotSignedIn("/")
        return ticket

    def _door(
        self, request: Request, wrong: Wrong | None = None, address: str = "", *, status: int = 200
    ) -> Response:
        ended = not wrong and COOKIE in request.cookies and self._ticket(request) is None
        return self._desk.pages.page(
            request,
            "user_sign_in.html",
            status=status,
            wrong=wrong,
            said="said.ended" if ended else None,
            address=address,
        )

    async def _told(self, request: Request, address: str, fault: _Fault) -> Response:
        return await run_in_threadpool(self._state, request, address, fault.wrong, fault.status)

    def _state(
        self, request: Request, address: str, wrong: Wrong | None = None, status: int = 200
    ) -> Response:
        view = self._view(address)
        if view is None:
            return self._door(request)
        said = None if wrong else _SAID.get(request.query_params.get("said", ""))
        return self._desk.pages.page(
            request, "user_state.html", status=status, view=view, wrong=wrong, said=said
        )

    def _view(self, address: str) -> View | None:
        """Return how the account stands, None when its domain is not moved by us any more."""

        def look(conn: Connection) -> View | None:
            place = find_place(conn, address)
            return None if place is None else view_of(place, self._desk.profiles, now=db_now(conn))

        return self._desk.database.read_now("user page", look)


def _shown(request: Request) -> tuple[str, int]:
    """Return the state and the quarter that the asking page shows."""
    state, quarter = asked(request, "state", longest=40), asked(request, "quarter", longest=1)
    return state, int(quarter) if quarter.isascii() and quarter.isdigit() else -1


def _fault(outcome: Verdict | TooMany, refused: str) -> _Fault | None:
    """Return what the page says: "wrong" only where a server judged, "later" where it could not be asked."""
    if isinstance(outcome, TooMany):
        return _Fault(too_many(outcome), 429)
    if outcome.answer is Answer.REFUSED:
        return _Fault(Wrong(refused, detail=outcome.text), 401)
    return None if outcome.accepted else _Fault(Wrong("try-later"), 503)


def _counted(typed: str) -> str:
    """Return the name that attempts are counted under: one for all spellings of an account."""
    try:
        return canonical_address(typed)
    except BadAddress:
        return typed.casefold()[:320]
