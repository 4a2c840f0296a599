"""Domains as code: the file that `mailferry domain apply` reads, one `[[domain]]` table each.

The same type checks what `domain add` and the console are given. conf/domains.toml is the sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mailferry.config.faults import Fault
from mailferry.config.field_types import DomainName, ImapServer, Pop3Server, Section, ServerSetting
from mailferry.config.loader import read_toml, validated
from mailferry.config.plaintext_rule import in_confidence
from mailferry.config.secret_sources import SecretSources
from mailferry.model.access import Protocol, Server

LONGEST_WINDOW_DAYS = 3650

_PROFILE_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
_PLACE = re.compile(r"\{([^{}]*)\}")
_PLACES = frozenset({"local", "domain", "address"})

Notice = Literal["started", "done", "failed"]


def _notices(value: object) -> object:
    """Return the words of a comma list as `domain add --notices` takes it, `none` and nothing for none."""
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",")]
    return () if words in ([""], ["none"]) else tuple(dict.fromkeys(words))


class DomainEntry(Section):
    """One domain that moves."""

    name: DomainName
    accept_plaintext: bool = False  # before the addresses, which are judged by it
    source: ServerSetting
    source_pop3: Pop3Server | None = None
    provider: str = "generic"
    target: ImapServer | None = None
    target_pop3: Pop3Server | None = None
    window_days: int = Field(default=30, ge=1, le=LONGEST_WINDOW_DAYS)
    login_form: str = "full"
    switch: Literal["when-copied", "at-once"] = "when-copied"
    language: Literal["en", "zh", "both"] = "both"
    push_from_plaintext: bool = False
    uses_codes: bool = False
    push_codes: bool = False
    only_listed: bool = False
    notices: Annotated[tuple[Notice, ...], BeforeValidator(_notices)] = ("done",)

    @property
    def source_imap(self) -> Server | None:
        """The source's IMAP address, None for a source with POP3 only."""
        return self.source if self.source.protocol is Protocol.IMAP else None

    @property
    def source_pop3_server(self) -> Server | None:
        """The source's POP3 address, whichever of the two keys names it."""
        return self.source if self.source.protocol is Protocol.POP3 else self.source_pop3

    _confidential = field_validator("source", "source_pop3", "target", "target_pop3")(in_confidence)

    @field_validator("provider")
    @classmethod
    def _an_id(cls, provider: str) -> str:
        if not _PROFILE_ID.fullmatch(provider):
            raise ValueError("a provider is the id of a profile, such as netease_qiye or generic")
        return provider

    @field_validator("login_form")
    @classmethod
    def _a_form(cls, form: str) -> str:
        if form in {"full", "local"}:
            return form
        places = _PLACE.findall(form)
        if not places or not set(places) <= _PLACES or set(_PLACE.sub("", form)) & set("{}"):
            raise ValueError("write full, local, or a template with {local}, {domain} or {address}")
        if not {"local", "address"} & set(places) or any(ord(character) < 0x20 for character in form):
            raise ValueError("a template holds {local} or {address} and no control characters")
        return form

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        faults = []
        if self.source.protocol is Protocol.POP3 and self.source_pop3 is not None:
            faults.append("source is a POP3 address already; source_pop3 goes with an IMAP one")
        if self.push_from_plaintext and not self.accept_plaintext:
            faults.append("push_from_plaintext = true needs accept_plaintext = true")
        if self.push_codes and not self.uses_codes:
            faults.append("push_codes = true needs uses_codes = true")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class DomainsFile(Section):
    """The whole file."""

    domain: tuple[DomainEntry, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [entry.name for entry in self.domain]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there more than once")
        return self


def load_domains(path: Path) -> tuple[DomainEntry, ...]:
    """Return the domains of the file at `path`; raises BadConfiguration with every fault."""
    return validated(DomainsFile, read_toml(path), path, SecretSources(path.absolute().parent)).domain


def domain_entry(values: Mapping[str, Any], where: str = "domain") -> DomainEntry:
    """Return one domain from an operator's words; raises BadConfiguration whose faults name `where`."""
    return validated(DomainEntry, values, Path(where), SecretSources())


def unknown_provider(entry: DomainEntry, known: Mapping[str, object], where: str) -> Fault | None:
    """Return a fault when the domain names a profile that does not exist."""
    if entry.provider in known:
        return None
    return Fault(
        where, f"{entry.name}.provider", f"no profile {entry.provider}; known are {', '.join(sorted(known))}"
    )
