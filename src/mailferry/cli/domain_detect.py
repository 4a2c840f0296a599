"""`mailferry domain detect`: which system the old host is, and why."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mailferry.cli.database import open_database
from mailferry.cli.program import WrongUse, invocation
from mailferry.cli.showing import AsJson, show_json
from mailferry.model.access import Server
from mailferry.model.profile import Profile
from mailferry.model.server_url import BadServerUrl, parse_server_url
from mailferry.providers.detection import UNKNOWN_HOST, Detection, Gathered, detect
from mailferry.providers.loader import load_profiles
from mailferry.providers.remedies import no_passwords
from mailferry.roster import domains as roster
from mailferry.roster.lookup import NoSuchDomain
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreUnavailable


def detect_source(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The domain, added or not.")],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="URL", help="Its old host, if not added; may be repeated."),
    ] = None,
    mx: Annotated[
        list[str] | None,
        typer.Option(
            "--mx", metavar="HOST", help="Its mail exchanger before the DNS change; may be repeated."
        ),
    ] = None,
    dns: Annotated[
        str | None, typer.Option("--dns", metavar="ADDRESS", help="Ask this DNS server: 192.0.2.53[:53].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which system the old host is, by the DNS, certificates and greetings, and why."""
    from mailferry.app.detecting import gathered  # with the reactor: only when it is used
    from mailferry.cli.in_reactor import in_reactor

    settings = invocation(context).settings
    profiles = load_profiles(settings.service.profiles_folder)
    domain_name = name.strip().rstrip(".").lower()
    domain = _known_domain(context, domain_name)
    servers = [_server(url) for url in source or _sources(domain)]
    said = None if domain is None or domain.provider == UNKNOWN_HOST else domain.provider
    asked = Gathered(
        domain_name,
        said=said,
        recorded_mx=tuple(mx or ()),
        hosts=tuple(dict.fromkeys(server.host for server in servers)),
    )
    resolver = _resolver(dns)
    found = in_reactor(lambda reactor: gathered(settings, reactor, asked, servers, resolver))
    detection = detect(profiles, found)
    if as_json:
        show_json(_as_values(detection, found, profiles[detection.profile_id]))
    else:
        for line in lines(detection, found, profiles, added=domain is not None):
            typer.echo(line)


def _known_domain(context: typer.Context, name: str) -> Domain | None:
    try:
        return roster.find(open_database(context), name)
    except (NoSuchDomain, StoreUnavailable):
        return None  # asked before anything is set up


def _sources(domain: Domain | None) -> list[str]:
    return [] if domain is None else [url for url in (domain.source_imap, domain.source_pop3) if url]


def _server(url: str) -> Server:
    try:
        return parse_server_url(url)
    except BadServerUrl as error:
        raise WrongUse(f"--source: {error}") from error


def _resolver(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "53")
    try:
        address, number = ipaddress.ip_address(host), int(port)
    except ValueError as error:
        raise WrongUse(f"--dns: {text!r} is no address: write 192.0.2.53 or 192.0.2.53:53") from error
    if not 0 < number < 65536:
        raise WrongUse(f"--dns: {text!r} has no port from 1 to 65535")
    return str(address), number


def lines(
    detection: Detection, found: Gathered, profiles: Mapping[str, Profile], *, added: bool
) -> list[str]:
    """Return what is told: the verdict, each reason, what stayed unknown, and what to do next."""
    profile = profiles[detection.profile_id]
    said = [_verdict(detection, found, profile)]
    for reason in detection.reasons:
        mark = "against it" if reason.against else "for"
        said.append(
            f"  {mark}: {reason.evidence.value:<11} {reason.seen} -> {', '.join(reason.profiles)}"
            f" ({reason.confidence.value})"
        )
    said += [f"  not found out: {what}: {why}" for what, why in found.silent.items()]
    if not detection.decided:
        return [*said, "Give the mail exchanger from before the DNS change with --mx, or name the provider."]
    if detection.contradicted:
        said.append("Something speaks for another system: has the DNS been changed already?")
    unmovable = no_passwords(profile)
    if unmovable is not None:
        said += [unmovable.en, unmovable.zh]
    else:
        hosts = [*profile.imap_hosts[:1], *profile.pop3_hosts[:1]]
        said.append("Its usual servers: " + ", ".join(h.replace("{domain}", found.domain) for h in hosts))
        if found.said != profile.profile_id:
            word = "set" if added else "add"
            said.append(f"mailferry domain {word} {found.domain} --provider {profile.profile_id} ...")
    said.append("Before the move:")
    for step in profile.checklist:
        said += [f"  - {step.en}", f"    {step.zh}"]
    return said


def _verdict(detection: Detection, found: Gathered, profile: Profile) -> str:
    if detection.decided:
        return f"{found.domain}: {profile.profile_id} ({profile.names['en']})"
    if detection.candidates:
        return f"{found.domain}: one of {', '.join(detection.candidates)}"
    return f"{found.domain}: nothing known fits; {UNKNOWN_HOST} serves any standard server"


def _as_values(detection: Detection, found: Gathered, profile: Profile) -> dict[str, Any]:
    return {
        "domain": found.domain,
        "provider": detection.profile_id,
        "decided": detection.decided,
        "candidates": list(detection.candidates),
        "contradicted": detection.contradicted,
        "movable_by_password": profile.password_login,
        "checklist": [{"id": step.step_id, "en": step.en, "zh": step.zh} for step in profile.checklist],
        "reasons": [dataclasses.asdict(reason) for reason in detection.reasons],
        "gathered": dataclasses.asdict(found),
    }
