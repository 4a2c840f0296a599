"""What the API asks of old hosts: which system a domain's is, and whether a move from it would work."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints

from mailferry.model.access import Secret, Server
from mailferry.model.server_url import BadServerUrl, parse_server_url
from mailferry.providers.detection import UNKNOWN_HOST, Detection, Gathered, detect
from mailferry.roster import domains
from mailferry.roster.lookup import NoSuchDomain, plain_domain
from mailferry.roster.rights import Rights
from mailferry.store.domains import Domain
from mailferry.web.api import shapes
from mailferry.web.api.asking import Body, DomainName, PasswordBody, Words
from mailferry.web.api.door import Writer
from mailferry.web.api.problems import ApiFault
from mailferry.web.desk import Desk

_MOST = 10
_HostName = Annotated[str, StringConstraints(max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]


class DetectBody(Body):
    """Whose old host it is about."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x20\x7f]+$")]
    sources: list[Words] = Field(
        default=[], max_length=_MOST, description="Its old host's addresses; else those of the stored domain."
    )
    mx: list[_HostName] = Field(
        default=[], max_length=_MOST, description="Its mail exchangers before the DNS change."
    )


class Login(PasswordBody):
    """A real account to log in with."""

    address: Annotated[str, StringConstraints(min_length=1, max_length=320, pattern=r"^[^\x00-\x1f\x7f]*$")]


class TestBody(Body):
    """With which account, if any."""

    login: Login | None = None


def old_host_routes(desk: Desk) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["domains"])

    @routes.post("/detect", response_model=shapes.Detected)
    async def domain_detect(who: Writer, body: DetectBody) -> Response:
        """Say which system the old host is, by the DNS, certificates and greetings, and why."""
        domain = await run_in_threadpool(_known, desk, who, body.name)
        servers = [_server(url) for url in body.sources or _sources(domain)]
        said = None if domain is None or domain.provider == UNKNOWN_HOST else domain.provider
        hosts = tuple(dict.fromkeys(server.host for server in servers))
        asked = Gathered(plain_domain(body.name), said=said, recorded_mx=tuple(body.mx), hosts=hosts)
        gathered = await desk.on_reactor(lambda: desk.old_hosts.gather(asked, servers))
        return JSONResponse(_told(desk, detect(desk.profiles, gathered), gathered))

    @routes.post("/domains/{name}/test", response_model=shapes.Tested)
    async def domain_test(who: Writer, name: DomainName, body: TestBody | None = None) -> Response:
        """Really log in at the old host and look around: what speaks against a move, and what to do about it."""
        who.need_change(name)
        domain = await run_in_threadpool(domains.find, desk.database, name)
        login = None if body is None else body.login
        address, password = _typed(login)
        report = await desk.on_reactor(lambda: desk.old_hosts.test(domain, address, password, stored=True))
        lines = [
            {
                "sign": str(line.sign),
                "what": line.what,
                "found": line.found,
                "fix": {"en": line.fix, "zh": line.fix_zh},
                "what_zh": line.what_zh,
                "found_zh": line.found_zh,
            }
            for line in report.lines
        ]
        mapping = [
            {"source": box.source, "target": box.target, "role": box.role, "why": str(box.why)}
            for box in report.mapping
        ]
        return JSONResponse({"well": report.well, "lines": lines, "mailboxes": mapping})

    return routes


def _known(desk: Desk, who: Rights, name: str) -> Domain | None:
    """Return the domain if it is there; one that is not may be asked about by owners."""
    if not who.may_own():
        who.need_change(name)
    try:
        return domains.find(desk.database, name)
    except NoSuchDomain:
        who.need_own()
        return None


def _sources(domain: Domain | None) -> list[str]:
    return [] if domain is None else [url for url in (domain.source_imap, domain.source_pop3) if url]


def _server(url: str) -> Server:
    try:
        return parse_server_url(url)
    except BadServerUrl:
        raise ApiFault(422, "a source is an address such as imaps://imap.example.com") from None


def _typed(login: Login | None) -> tuple[str | None, Secret | None]:
    return (None, None) if login is None else (login.address, login.secret())


def _told(desk: Desk, detection: Detection, gathered: Gathered) -> dict[str, object]:
    profile = desk.profiles[detection.profile_id]
    return {
        "domain": gathered.domain,
        "provider": detection.profile_id,
        "decided": detection.decided,
        "candidates": list(detection.candidates),
        "contradicted": detection.contradicted,
        "movable_by_password": profile.password_login,
        "checklist": [{"id": step.step_id, "en": step.en, "zh": step.zh} for step in profile.checklist],
        "reasons": [
            {
                "evidence": reason.evidence.value,
                "seen": reason.seen,
                "profiles": list(reason.profiles),
                "confidence": reason.confidence.value,
                "against": reason.against,
            }
            for reason in detection.reasons
        ],
        "silent": dict(gathered.silent),
    }
