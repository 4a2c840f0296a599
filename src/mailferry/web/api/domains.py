"""Domains over the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from mailferry.config.domains import DomainEntry, domain_entry
from mailferry.config.faults import BadConfiguration, Fault
from mailferry.roster import domains, switching
from mailferry.roster.domains import LONGEST_EXTENSION_DAYS
from mailferry.roster.rights import Rights
from mailferry.web.api import shapes
from mailferry.web.api.asking import Body, CursorText, DomainName, Words, cursor, text_key
from mailferry.web.api.door import Reader, Writer
from mailferry.web.desk import Desk

_MOST_APPLIED = 500


class DomainRules(Body):
    """What can be changed; what is left out stays, null sets it back to its default."""

    source: Words | None = Field(
        default=None, description="Old host: imaps://host, imap://, pop3s://, pop3://."
    )
    source_pop3: Words | None = Field(default=None, description="The old host's POP3.")
    provider: Words | None = Field(default=None, description="Profile of the old host.")
    target: Words | None = Field(default=None, description="New host, if not the configured one; for owners.")
    target_pop3: Words | None = Field(default=None, description="The new host's POP3; for owners.")
    login_form: Words | None = Field(default=None, description="full, local, or a template.")
    switch: Literal["when-copied", "at-once"] | None = None
    language: Literal["en", "zh", "both"] | None = None
    accept_plaintext: bool | None = None
    push_from_plaintext: bool | None = None
    uses_codes: bool | None = None
    push_codes: bool | None = None
    only_listed: bool | None = Field(default=None, description="Only accounts that were listed move.")
    notices: Words | None = Field(
        default=None, description="Which messages users get: started,done,failed, or none."
    )


class NewDomain(DomainRules):
    """A domain to add."""

    name: Words
    source: Words = Field(description="Old host: imaps://host, imap://, pop3s://, pop3://.")
    window_days: int = Field(default=30, ge=1, le=LONGEST_EXTENSION_DAYS)


class DomainsAsWanted(Body):
    """Domains as code."""

    domains: list[NewDomain] = Field(max_length=_MOST_APPLIED)


class Extension(Body):
    """How much longer the window is."""

    days: int = Field(ge=1, le=LONGEST_EXTENSION_DAYS)


def domain_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["domains"])
    _looking(routes, desk)
    _changing(routes, desk)
    _running(routes, desk)
    return routes


def _looking(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/domains", response_model=shapes.DomainList)
    def domain_list(who: Reader) -> Response:
        """List the domains with their counts, by name."""
        return JSONResponse({"domains": domains.listing(desk.database, within=who.domains)})

    @routes.get("/domains/{name}", response_model=shapes.Domain)
    def domain_show(who: Reader, name: DomainName) -> Response:
        """Show one domain."""
        who.need_read(name)
        return JSONResponse(domains.show(desk.database, name))


def _changing(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/domains", response_model=shapes.Domain, status_code=201)
    def domain_add(who: Writer, body: NewDomain) -> Response:
        """Add a domain and open its window."""
        who.need_own()
        entry = _entry(desk, body)
        return JSONResponse(domains.add(desk.database, entry, who=who.audited), status_code=201)

    @routes.post("/domains/apply", response_model=shapes.AppliedDomains)
    def domain_apply(who: Writer, body: DomainsAsWanted) -> Response:
        """Make the domains as the body says, all or none; others stay as they are, and a second time changes nothing."""
        who.need_own()
        entries, faults = [], []
        for place, one in enumerate(body.domains):
            try:
                entries.append(_entry(desk, one))
            except BadConfiguration as fault:
                faults += [Fault("", f"domains.{place}.{each.key}", each.message) for each in fault.faults]
        names = [entry.name for entry in entries]
        faults += [
            Fault("", "domains", "a domain is named twice") for name in set(names) if names.count(name) > 1
        ]
        if faults:
            raise BadConfiguration(faults)
        done = domains.apply(desk.database, entries, who=who.audited)
        told = [{"name": one.name, "what": one.what, "keys": list(one.keys)} for one in done]
        return JSONResponse({"domains": told})

    @routes.patch("/domains/{name}", response_model=shapes.Domain)
    def domain_set(who: Writer, name: DomainName, body: DomainRules) -> Response:
        """Change what is given; the domain as a whole is checked again."""
        values = {key: getattr(body, key) for key in body.model_fields_set}
        who.need_change_rules(name, values)
        domains.find(desk.database, name)
        _need_profile(desk, values.get("provider"))
        try:
            return JSONResponse(domains.change(desk.database, name, values, who=who.audited))
        except BadConfiguration as fault:
            raise _unspoken(fault, values) from None

    @routes.delete("/domains/{name}", response_model=shapes.Removed)
    def domain_remove(
        who: Writer,
        name: DomainName,
        force: Annotated[bool, Query(description="Also when accounts have begun to move.")] = False,
    ) -> Response:
        """Forget the domain, its accounts and every sealed password of it; mail stays where it is."""
        who.need_change(name)
        who.need_own()
        removed = domains.remove(desk.database, desk.keyring, name, who=who.audited, force=force)
        return JSONResponse({"accounts": removed})


def _running(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/domains/{name}/pause", response_model=shapes.Domain)
    def domain_pause(who: Writer, name: DomainName) -> Response:
        """Copy nothing for the domain until it is resumed; logins go on."""
        return paused(who, name, wanted=True)

    @routes.post("/domains/{name}/resume", response_model=shapes.Domain)
    def domain_resume(who: Writer, name: DomainName) -> Response:
        """Go on copying."""
        return paused(who, name, wanted=False)

    def paused(who: Rights, name: str, *, wanted: bool) -> Response:
        who.need_change(name)
        domains.pause(desk.database, name, who=who.audited, paused=wanted)
        return JSONResponse(domains.show(desk.database, name))

    @routes.post("/domains/{name}/extend", response_model=shapes.Domain)
    def domain_extend(who: Writer, name: DomainName, body: Extension) -> Response:
        """Let the window end later, or open it again."""
        who.need_change(name)
        return JSONResponse(domains.extend(desk.database, name, body.days, who=who.audited))

    @routes.post("/domains/{name}/switch", response_model=shapes.Switched)
    def domain_switch(
        who: Writer, name: DomainName, cursor_: Annotated[CursorText, Query(alias="cursor")] = None
    ) -> Response:
        """Serve accounts whose password is at the target from there, before their copies end; so many as 20 s allow."""
        who.need_change(name)
        found = switching.switch_domain(
            desk.database,
            name,
            who=who.audited,
            flips_file=desk.flips_file,
            after=text_key("switch", cursor_),
            seconds=switching.REQUEST_SECONDS,
        )
        left = [{"address": address, "why": why} for address, why in found.left]
        following = cursor("switch", found.next_after)
        return JSONResponse({"moved": list(found.moved), "left": left, "next": following})


def _entry(desk: Desk, body: NewDomain) -> DomainEntry:
    """Return the domain that is meant; raises BadConfiguration with every fault."""
    given = body.model_dump(exclude_none=True)
    try:
        entry = domain_entry(given)
    except BadConfiguration as fault:
        raise _unspoken(fault, given) from None
    _need_profile(desk, entry.provider)
    return entry


def _need_profile(desk: Desk, provider: str | None) -> None:
    if provider is not None and provider not in desk.profiles:
        known = ", ".join(sorted(desk.profiles))
        raise BadConfiguration([Fault("", "provider", f"no such profile; known are {known}")])


def _unspoken(fault: BadConfiguration, given: Mapping[str, Any]) -> BadConfiguration:
    """Return the faults without what was sent: an address may hold a password that does not belong there."""
    texts = [value for value in given.values() if isinstance(value, str) and len(value) > 3]

    def plain(message: str) -> str:
        for text in texts:
            message = message.replace(repr(text), "this").replace(text, "...")
        return message

    return BadConfiguration(Fault(one.file, one.key, plain(one.message)) for one in fault.faults)
