"""The console's domains: the list, and what may be done to one of them."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from mailferry.config.faults import BadConfiguration
from mailferry.model.account import State
from mailferry.model.causes import Cause
from mailferry.providers.sentences import advice
from mailferry.roster import domains, switching
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import Rights
from mailferry.roster.switching import Switched
from mailferry.web.admin_sign_in import Who
from mailferry.web.console_domain_form import Typed, changed, faults_of, known_entry_of, typed
from mailferry.web.desk import Desk, Wrong, see_other
from mailferry.web.faults import BadRequest
from mailferry.web.forms import Form, PostedForm, asked
from mailferry.web.old_hosts import Report

_SAID = frozenset({"pause", "resume", "extend", "added", "rules"})
LEFT_SHOWN = 100


class ConsoleDomains:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes = APIRouter(include_in_schema=False)

        @self.routes.get("/admin/domains")
        def listing(request: Request, who: Who) -> Response:
            found = domains.listing(desk.database, within=who.domains)
            return desk.pages.page(
                request, "console_domains.html", who=who, page="domains", domains=found, states=list(State)
            )

        @self.routes.get("/admin/domain")
        def show(request: Request, who: Who) -> Response:
            return self._shown(request, who, asked(request, "name"))

        @self.routes.get("/admin/domain/rules")
        def rules(request: Request, who: Who) -> Response:
            name = asked(request, "name")
            who.need_change(name)
            return self._rules(request, who, Typed(domains.words(desk.database, name)))

        @self.routes.post("/admin/domain/rules")
        def set_rules(request: Request, who: Who, form: PostedForm) -> Response:
            return self._set(request, who, form)

        @self.routes.post("/admin/domain/test")
        async def test(request: Request, who: Who, form: PostedForm) -> Response:
            return await self._tested(request, who, form)

        @self.routes.post("/admin/domain/{action}")
        def act(request: Request, action: str, who: Who, form: PostedForm) -> Response:
            return self._act(request, action, who, form)

    def _act(self, request: Request, action: str, who: Rights, form: Form) -> Response:
        desk, name = self._desk, form.text("name")
        who.need_change(name)
        if action == "remove":
            who.need_own()
        if action in {"switch", "remove"} and form.text("confirm") != domains.find(desk.database, name).name:
            return self._shown(request, who, name, Wrong("domain.confirm"), status=400)
        try:
            match action:
                case "pause" | "resume":
                    domains.pause(desk.database, name, who=who.audited, paused=action == "pause")
                case "extend":
                    domains.extend(desk.database, name, form.number("days"), who=who.audited)
                case "switch":
                    moved = switching.switch_domain(
                        desk.database,
                        name,
                        who=who.audited,
                        flips_file=desk.flips_file,
                        after=form.text("after") or None,
                        seconds=switching.REQUEST_SECONDS,
                    )
                    return self._shown(request, who, name, switched=moved)
                case "remove":
                    force = form.ticked("force")
                    domains.remove(desk.database, desk.keyring, name, who=who.audited, force=force)
                    return see_other("/admin/domains")
                case _:
                    raise BadRequest("there is no such action", status=404)
        except RosterRefusal as refusal:
            return self._shown(request, who, name, Wrong("fault.title", detail=str(refusal)), status=409)
        return see_other("/admin/domain?" + urlencode({"name": name, "said": action}))

    async def _tested(self, request: Request, who: Rights, form: Form) -> Response:
        """Really log in at the old host of a domain that is there; what its source refuses is noted."""
        desk, name = self._desk, form.text("name")
        who.need_change(name)
        domain = await run_in_threadpool(domains.find, desk.database, name)
        account, password = form.text("account", longest=320) or None, form.secret("password")
        try:
            report = await desk.on_reactor(
                lambda: desk.old_hosts.test(domain, account, password, stored=True)
            )
        except RosterRefusal as refusal:
            wrong = Wrong("fault.title", detail=str(refusal))
            return await run_in_threadpool(self._shown, request, who, name, wrong, 400)
        return await run_in_threadpool(self._shown, request, who, name, report=report)

    def _set(self, request: Request, who: Rights, form: Form) -> Response:
        desk, name = self._desk, form.text("name")
        who.need_change(name)
        before = domains.words(desk.database, name)
        values = {**typed(form), "name": before["name"], "window_days": before["window_days"]}
        who.need_change_rules(name, changed(before, values))
        try:
            known_entry_of(values, desk.profiles)
            given = {
                key: None if value == "" else value
                for key, value in values.items()
                if key not in {"name", "window_days"}
            }
            domains.change(desk.database, name, given, who=who.audited)
        except BadConfiguration as fault:
            return self._rules(request, who, Typed(values, faults_of(fault)), status=400)
        return see_other("/admin/domain?" + urlencode({"name": name, "said": "rules"}))

    def _rules(self, request: Request, who: Rights, form: Typed, *, status: int = 200) -> Response:
        return self._desk.pages.page(
            request,
            "console_domain_rules.html",
            status=status,
            who=who,
            page="domains",
            form=form,
            profiles=self._desk.profiles,
            wrong=None,
            said=None,
        )

    def _shown(
        self,
        request: Request,
        who: Rights,
        name: str,
        wrong: Wrong | None = None,
        status: int = 200,
        *,
        report: Report | None = None,
        switched: Switched | None = None,
    ) -> Response:
        who.need_read(name)
        said = request.query_params.get("said", "")
        domain = domains.show(self._desk.database, name)
        return self._desk.pages.page(
            request,
            "console_domain.html",
            status=status,
            who=who,
            page="domains",
            domain=domain,
            profile=self._desk.profiles.get(domain["provider"]),
            report=report,
            switched=switched,
            left_shown=LEFT_SHOWN,
            refused_advice=advice(Cause.SOURCE_REFUSES_DOMAIN),
            wrong=wrong,
            said=f"said.{said}" if said in _SAID else None,
        )
