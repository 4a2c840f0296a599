"""Who may sign in to the console, and the tokens of programs: for owners."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from mailferry.model.access import Secret
from mailferry.roster import domains, sign_ins, tokens
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import AdminRole, Rights
from mailferry.roster.tokens import Scope
from mailferry.web.admin_sign_in import Who
from mailferry.web.desk import Desk, Wrong, see_other
from mailferry.web.faults import BadRequest
from mailferry.web.forms import Form, PostedForm

_SIGN_INS, _TOKENS = "/admin/sign-ins", "/admin/tokens"
_SAID = frozenset({"sign-in-added", "sign-in-removed", "token-removed"})


class ConsoleRights:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes = APIRouter(include_in_schema=False)

        @self.routes.get(_SIGN_INS)
        def show_sign_ins(request: Request, who: Who) -> Response:
            who.need_own()
            return self._sign_ins(request, who)

        @self.routes.post(_SIGN_INS)
        def change_sign_ins(request: Request, who: Who, form: PostedForm) -> Response:
            who.need_own()
            return self._change_sign_in(request, who, form)

        @self.routes.get(_TOKENS)
        def show_tokens(request: Request, who: Who) -> Response:
            who.need_own()
            return self._tokens(request, who)

        @self.routes.post(_TOKENS)
        def change_tokens(request: Request, who: Who, form: PostedForm) -> Response:
            who.need_own()
            return self._change_token(request, who, form)

    def _change_sign_in(self, request: Request, who: Rights, form: Form) -> Response:
        database, name = self._desk.database, form.text("name", longest=64)
        try:
            if form.text("do") == "remove":
                if name == who.name:
                    raise RosterRefusal("nobody removes the sign-in that is used just now")
                sign_ins.remove(database, name, who=who.audited)
                return _said(_SIGN_INS, "sign-in-removed")
            password = form.secret("password")
            role = _role(form.text("role"))
            if password is None:
                raise RosterRefusal("type a password of 1 to 255 octets")
            named = form.text("domains").replace(",", " ").split() if role.of_domains else []
            sign_ins.add(database, name, password, who=who.audited, role=role, domains=named)
        except RosterRefusal as refusal:
            return self._sign_ins(request, who, Wrong("fault.title", detail=str(refusal)), status=409)
        return _said(_SIGN_INS, "sign-in-added")

    def _change_token(self, request: Request, who: Rights, form: Form) -> Response:
        database, name = self._desk.database, form.text("name", longest=64)
        try:
            if form.text("do") == "remove":
                tokens.remove(database, name, who=who.audited)
                return _said(_TOKENS, "token-removed")
            scopes = [scope for scope in Scope if form.ticked(scope.value)]
            made = tokens.add(
                database,
                name,
                scopes,
                domain=form.text("domain") or None,
                days=form.number("days") if form.text("days") else None,
                who=who.audited,
            )
        except RosterRefusal as refusal:
            return self._tokens(request, who, Wrong("fault.title", detail=str(refusal)), status=409)
        return self._tokens(request, who, made=made)

    def _sign_ins(
        self, request: Request, who: Rights, wrong: Wrong | None = None, *, status: int = 200
    ) -> Response:
        return self._desk.pages.page(
            request,
            "console_sign_ins.html",
            status=status,
            who=who,
            page="sign-ins",
            sign_ins=sign_ins.listing(self._desk.database),
            roles=list(AdminRole),
            shortest=sign_ins.SHORTEST_PASSWORD,
            wrong=wrong,
            said=_what_was_said(request),
        )

    def _tokens(
        self,
        request: Request,
        who: Rights,
        wrong: Wrong | None = None,
        *,
        made: Secret | None = None,
        status: int = 200,
    ) -> Response:
        return self._desk.pages.page(
            request,
            "console_tokens.html",
            status=status,
            who=who,
            page="tokens",
            tokens=tokens.listing(self._desk.database),
            domains=domains.names(self._desk.database),
            scopes=list(Scope),
            made=None if made is None else made.reveal().decode(),
            wrong=wrong,
            said=_what_was_said(request),
        )


def _said(path: str, word: str) -> Response:
    return see_other(f"{path}?" + urlencode({"said": word}))


def _what_was_said(request: Request) -> str | None:
    said = request.query_params.get("said", "")
    return f"said.{said}" if said in _SAID else None


def _role(word: str) -> AdminRole:
    try:
        return AdminRole(word)
    except ValueError:
        raise BadRequest("there is no such role") from None
