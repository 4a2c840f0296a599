"""Setting a domain up: which system the old host is, a real login there, what becomes of the mailboxes, and then: add.

One form in three buttons. Nothing is stored before the last; each answer is the same form filled in again
with what was found below it (a password is asked for each time).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from mailferry.config.faults import BadConfiguration
from mailferry.model.profile import Profile
from mailferry.model.server_url import BadServerUrl, parse_server_url
from mailferry.providers.detection import UNKNOWN_HOST, Detection, Gathered, detect
from mailferry.roster import domains
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import Rights
from mailferry.web.admin_sign_in import Who
from mailferry.web.console_domain_form import DEFAULTS, Typed, entry_of, faults_of, known_entry_of, typed
from mailferry.web.desk import Desk, Wrong, see_other
from mailferry.web.faults import BadRequest
from mailferry.web.forms import Form, PostedForm
from mailferry.web.old_hosts import Report

_MOST_MX = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What detection says."""

    detection: Detection
    gathered: Gathered
    profile: Profile


class DomainSetup:
    """The handlers. Owners only: to add a domain names a host that our master password may be sent to."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.routes = APIRouter(include_in_schema=False)

        @self.routes.get("/admin/domains/add")
        def ask(request: Request, who: Who) -> Response:
            who.need_own()
            return self._page(request, who, Typed(DEFAULTS))

        @self.routes.post("/admin/domains/add")
        async def do(request: Request, who: Who, form: PostedForm) -> Response:
            who.need_own()
            match form.text("do"):
                case "detect":
                    return await self._detected(request, who, form)
                case "test":
                    return await self._tested(request, who, form)
                case "add":
                    return await run_in_threadpool(self._added, request, who, form)
                case _:
                    raise BadRequest("there is no such button", status=404)

    async def _detected(self, request: Request, who: Rights, form: Form) -> Response:
        """Ask DNS and servers; fill in what they tell where nothing was typed."""
        values, faults = typed(form), {}
        name = str(values["name"]).rstrip(".").lower()
        servers = []
        for key in ("source", "source_pop3"):
            try:
                servers += [parse_server_url(values[key])] if values[key] else []
            except BadServerUrl as error:
                faults[key] = str(error)
        if not name:
            faults["name"] = "write a domain such as example.com"
        if faults:
            return self._page(request, who, Typed(values, faults), status=400)
        mx = tuple(form.text("mx").replace(",", " ").split()[:_MOST_MX])
        hosts = tuple(dict.fromkeys(server.host for server in servers))
        asked = Gathered(name, recorded_mx=mx, hosts=hosts)
        gathered = await self._desk.on_reactor(lambda: self._desk.old_hosts.gather(asked, servers))
        detection = detect(self._desk.profiles, gathered)
        profile = self._desk.profiles[detection.profile_id]
        filled = _filled({**values, "name": name, "mx": " ".join(mx)}, detection, profile, name)
        return self._page(request, who, Typed(filled), found=Found(detection, gathered, profile))

    async def _tested(self, request: Request, who: Rights, form: Form) -> Response:
        """Really log in, as the domain would be."""
        desk, values = self._desk, typed(form)
        try:
            entry = entry_of(values)
        except BadConfiguration as fault:
            return self._page(request, who, Typed(values, faults_of(fault)), status=400)
        account, password = form.text("account", longest=320) or None, form.secret("password")
        try:
            report = await desk.on_reactor(
                lambda: desk.old_hosts.test(domains.unsaved(entry), account, password, stored=False)
            )
        except RosterRefusal as refusal:
            return self._page(request, who, Typed(values, {"account": str(refusal)}), status=400)
        return self._page(request, who, Typed({**values, "account": account}), report=report)

    def _added(self, request: Request, who: Rights, form: Form) -> Response:
        values = typed(form)
        try:
            entry = known_entry_of(values, self._desk.profiles)
            added = domains.add(self._desk.database, entry, who=who.audited)
        except BadConfiguration as fault:
            return self._page(request, who, Typed(values, faults_of(fault)), status=400)
        except RosterRefusal as refusal:
            wrong = Wrong("fault.title", detail=str(refusal))
            return self._page(request, who, Typed(values), wrong=wrong, status=409)
        return see_other("/admin/domain?" + urlencode({"name": added["name"], "said": "added"}))

    def _page(
        self,
        request: Request,
        who: Rights,
        form: Typed,
        *,
        found: Found | None = None,
        report: Report | None = None,
        wrong: Wrong | None = None,
        status: int = 200,
    ) -> Response:
        return self._desk.pages.page(
            request,
            "console_domain_setup.html",
            status=status,
            who=who,
            page="domains",
            form=form,
            profiles=self._desk.profiles,
            found=found,
            report=report,
            wrong=wrong,
            said=None,
        )


def _filled(values: Mapping[str, Any], detection: Detection, profile: Profile, name: str) -> dict[str, Any]:
    """Return the form with the provider that was found, and its usual servers where none was typed."""
    filled = dict(values)
    if not detection.decided:
        return filled
    filled["provider"] = profile.profile_id
    if profile.profile_id != UNKNOWN_HOST and not values["source"]:
        imap = [url.replace("{domain}", name) for url in profile.imap_hosts[:1]]
        pop3 = [url.replace("{domain}", name) for url in profile.pop3_hosts[:1]]
        filled["source"] = (imap or pop3 or [""])[0]
        filled["source_pop3"] = pop3[0] if imap and pop3 else ""
    return filled
