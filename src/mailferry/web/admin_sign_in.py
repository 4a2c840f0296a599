"""The console's door: administrators sign in with a name and a password of their own."""

from __future__ import annotations

import hmac
import threading
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from mailferry.roster.rights import Rights
from mailferry.roster.sign_ins import is_theirs, rights_of
from mailferry.store import sign_ins
from mailferry.web.desk import Desk, Wrong, client_of, drop_ticket, keep_ticket, see_other, too_many
from mailferry.web.faults import NotSignedIn
from mailferry.web.forms import PostedForm
from mailferry.web.throttle import TooMany
from mailferry.web.tickets import Kind, Ticket, mark_of

COOKIE = "mailferry-console"
PATH = "/admin"
DOOR = "/admin/sign-in"
SIGNED_IN_SECONDS = 8 * 3600.0
HASHES_AT_ONCE = 2
"""Slow hashes need 19 MiB each; the rest wait their turn."""

_LONGEST_NAME = 64
_LOOKING = frozenset({"GET", "HEAD"})


class AdminSignIn:
    """Sign-in and sign-out, and the question who is signed in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route(DOOR, self.show, methods=["GET"])
        self.routes.add_api_route(DOOR, self.sign_in, methods=["POST"])
        self.routes.add_api_route("/admin/sign-out", self.sign_out, methods=["POST"])

    def who(self, request: Request) -> Rights:
        """Return who is signed in, with the rights of this moment.

        Raises NotSignedIn, also after its password was changed, and Forbidden when somebody who
        changes nothing sends anything.
        """
        ticket = self._ticket(request)
        if ticket is not None:
            name = ticket.name
            found = self._desk.database.read_now("console", lambda conn: sign_ins.find(conn, name))
            if found is not None and hmac.compare_digest(mark_of(found.verifier), ticket.mark):
                rights = rights_of(found)
                if request.method not in _LOOKING and not rights.changes:
                    raise rights.forbidden()
                return rights
        raise NotSignedIn(DOOR)

    def show(self, request: Request) -> Response:
        """Show the door."""
        return self._door(request)

    def sign_in(self, request: Request, form: PostedForm) -> Response:
        """Let an administrator in; a wrong name and a wrong password read the same and take as long."""
        desk = self._desk
        name, password = form.text("name"), form.secret("password")
        attempt = desk.admin_throttle.enter(name.casefold()[:_LONGEST_NAME], client_of(request).host)
        if isinstance(attempt, TooMany):
            return self._door(request, too_many(attempt), name, status=429)
        if password is None or len(name) > _LONGEST_NAME:
            return self._door(request, Wrong("console.refused"), name, status=401)
        with self._hashing:
            theirs = is_theirs(desk.database, name, password)
        found = desk.database.read_now("console", lambda conn: sign_ins.find(conn, name)) if theirs else None
        client = client_of(request).host
        if found is None:
            desk.log.warning(
                "console sign-in refused", client=client
            )  # the name may be a password, misplaced
            return self._door(request, Wrong("console.refused"), name, status=401)
        desk.log.info("console sign-in", name=found.name, client=client)
        desk.admin_throttle.was_right(attempt)
        self._end(request)
        answer = see_other("/admin/")
        mark = mark_of(found.verifier)
        ticket = desk.tickets.give(Kind.ADMIN, found.name, seconds=SIGNED_IN_SECONDS, mark=mark)
        keep_ticket(request, answer, COOKIE, ticket, path=PATH)
        return answer

    def sign_out(self, request: Request) -> Response:
        """End the sign-in."""
        self._end(request)
        answer = see_other(DOOR)
        drop_ticket(request, answer, COOKIE, path=PATH)
        return answer

    def _end(self, request: Request) -> None:
        ticket = self._ticket(request)
        if ticket is not None:
            self._desk.tickets.end(ticket)

    def _ticket(self, request: Request) -> Ticket | None:
        return self._desk.tickets.read(Kind.ADMIN, request.cookies.get(COOKIE))

    def _door(
        self, request: Request, wrong: Wrong | None = None, name: str = "", *, status: int = 200
    ) -> Response:
        ended = not wrong and COOKIE in request.cookies and self._ticket(request) is None
        said = "said.ended" if ended else None
        return self._desk.pages.page(
            request, "console_sign_in.html", status=status, who=None, wrong=wrong, said=said, name=name
        )


def signed_in(request: Request) -> Rights:
    """Return the administrator who is signed in at the site of `request`; raises NotSignedIn and Forbidden."""
    sign_in: AdminSignIn = request.app.state.admin_sign_in
    return sign_in.who(request)


Who = Annotated[Rights, Depends(signed_in)]
"""For handlers: the administrator who is signed in, and what he or she may do."""
