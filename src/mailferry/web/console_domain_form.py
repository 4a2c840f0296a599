"""The form of a domain's addresses and rules: from what is typed to a `DomainEntry`, with a fault at each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailferry.config.domains import DomainEntry, domain_entry, unknown_provider
from mailferry.config.faults import BadConfiguration
from mailferry.model.profile import Profile
from mailferry.web.forms import Form

TEXTS = (
    "name",
    "source",
    "source_pop3",
    "provider",
    "target",
    "target_pop3",
    "login_form",
    "switch",
    "language",
)
NUMBERS = ("window_days",)
TICKS = ("accept_plaintext", "push_from_plaintext", "uses_codes", "push_codes", "only_listed")
DEFAULTS: Mapping[str, Any] = {
    "provider": "generic",
    "window_days": "30",
    "login_form": "full",
    "switch": "when-copied",
    "language": "both",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """A form as it was typed, and what is wrong with it by field; the key is empty for the whole."""

    values: Mapping[str, Any]
    faults: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """Return a field's value, empty for none."""
        value = self.values.get(name)
        return "" if value is None else value


def typed(form: Form) -> dict[str, Any]:
    """Return what the form says: only what was typed or ticked."""
    values: dict[str, Any] = {name: form.text(name) for name in (*TEXTS, *NUMBERS)}
    values |= {name: form.ticked(name) for name in TICKS}
    return values


def changed(before: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return which fields say something else than the domain does."""
    return [key for key, value in values.items() if (before.get(key) or "") != (value or "")]


def entry_of(values: Mapping[str, Any]) -> DomainEntry:
    """Return the domain that the words mean; raises BadConfiguration with every fault."""
    return domain_entry({name: value for name, value in values.items() if value != ""})


def known_entry_of(values: Mapping[str, Any], profiles: Mapping[str, Profile]) -> DomainEntry:
    """Return the domain that the words mean; raises BadConfiguration also for a provider that nobody knows."""
    entry = entry_of(values)
    unknown = unknown_provider(entry, profiles, "domain")
    if unknown is not None:
        raise BadConfiguration([unknown])
    return entry


def faults_of(fault: BadConfiguration) -> dict[str, str]:
    """Return what is wrong by field; what belongs to none stands under the empty key."""
    found: dict[str, str] = {}
    for one in fault.faults:
        key = one.key.rpartition(".")[2]
        known = key if key in {*TEXTS, *NUMBERS, *TICKS} else ""
        found[known] = f"{found[known]}; {one.message}" if known in found else one.message
    return found
