"""Which system a domain's old host is: a pure function over what was gathered, with its reasons.

The kinds of evidence are looked at in a fixed order (docs/providers.md). The first that fits a profile
decides; where it fits several, later kinds choose among them. What contradicts an earlier kind is told
and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from mailferry.model.profile import Confidence, Profile

UNKNOWN_HOST = "generic"
LONGEST_SEEN = 1000
"""Only so many characters of anything that a server said are looked at."""


class Evidence(StrEnum):
    """The kinds of evidence, in the order in which they are believed."""

    SAID = "said"
    RECORDED_MX = "recorded_mx"
    HOST = "host"
    MX = "mx"
    CNAME = "cname"
    SPF = "spf"
    CERTIFICATE = "certificate"
    GREETING = "greeting"
    CAPABILITY = "capability"
    ID = "id"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found out about a domain; the keys of mappings say where (a host name, a server's address)."""

    domain: str
    said: str | None = None
    """The profile that the administrator named."""
    recorded_mx: tuple[str, ...] = ()
    """The mail exchangers from before the DNS change, as the administrator gave them."""
    hosts: tuple[str, ...] = ()
    """Names of the source's servers, as the administrator gave them."""
    mx: tuple[str, ...] = ()
    """The mail exchangers of today: perhaps already those of the new host."""
    cnames: Mapping[str, str] = field(default_factory=dict)
    spf_includes: tuple[str, ...] = ()
    certificate_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    greetings: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    server_ids: Mapping[str, str] = field(default_factory=dict)
    """`name vendor`, as far as the server told them."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """What could not be found out, and why."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that was seen, and the profiles that it fits.

    `against` marks what contradicts better evidence. `confidence` is that of the fact it was compared with.
    """

    evidence: Evidence
    seen: str
    profiles: tuple[str, ...]
    confidence: Confidence
    against: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """The verdict: `profile_id` is `generic` where nothing fits, or where several `candidates` are left."""

    profile_id: str
    candidates: tuple[str, ...]
    reasons: tuple[Reason, ...]

    @property
    def decided(self) -> bool:
        """Whether exactly one profile is left."""
        return len(self.candidates) == 1

    @property
    def contradicted(self) -> bool:
        """Whether something speaks for another system."""
        return any(reason.against for reason in self.reasons)


_Fits = Callable[[Profile, str], bool]


def detect(profiles: Mapping[str, Profile], found: Gathered) -> Detection:
    """Return which of `profiles` the domain's old host is, and why."""
    possible = {
        profile_id: profile
        for profile_id, profile in profiles.items()
        if not profile.only_domains or found.domain in profile.only_domains
    }
    reasons = list(_reasons(possible, found))
    if found.said is not None and found.said in profiles:
        told = Reason(Evidence.SAID, found.said, (found.said,), Confidence.HIGH)
        reasons.insert(0, told)
    if _mx_has_moved(reasons):
        reasons = [replace(r, against=True) if r.evidence is Evidence.MX else r for r in reasons]
    left, judged = _narrowed(reasons)
    candidates = tuple(sorted(left))
    return Detection(candidates[0] if len(candidates) == 1 else UNKNOWN_HOST, candidates, tuple(judged))


def _reasons(possible: Mapping[str, Profile], found: Gathered) -> Iterator[Reason]:
    for evidence, seen, subject, fact, fits in _subjects(found):
        matched = [
            profile_id for profile_id, profile in possible.items() if fits(profile, subject[:LONGEST_SEEN])
        ]
        if matched:
            least = [possible[profile_id].confidence.get(fact, Confidence.UNKNOWN) for profile_id in matched]
            yield Reason(
                evidence, seen[:LONGEST_SEEN], tuple(sorted(matched)), min(least, key=list(Confidence).index)
            )


def _subjects(found: Gathered) -> Iterator[tuple[Evidence, str, str, str, _Fits]]:
    """Yield each thing to compare: kind, how it is shown, what is compared, with which fact, and how."""
    for name in found.recorded_mx:
        yield Evidence.RECORDED_MX, name, _host(name), "mx_patterns", _is_exchanger
    for name in found.hosts:
        yield Evidence.HOST, name, _host(name), "host_suffixes", _is_its_host
    for name in found.mx:
        yield Evidence.MX, name, _host(name), "mx_patterns", _is_exchanger
    for name, target in found.cnames.items():
        yield Evidence.CNAME, f"{name} -> {target}", _host(target), "host_suffixes", _is_its_host
    for name in found.spf_includes:
        yield Evidence.SPF, name, _host(name), "spf_includes", _is_its_spf
    for host, names in found.certificate_names.items():
        for name in names:
            yield Evidence.CERTIFICATE, f"{host}: {name}", _host(name), "host_suffixes", _is_its_host
    for server, line in found.greetings.items():
        yield Evidence.GREETING, f"{server}: {line}", line, "greeting_patterns", _greets
    for server, tokens in found.capabilities.items():
        for token in tokens:
            yield Evidence.CAPABILITY, f"{server}: {token}", token, "capability_tokens", _is_able
    for server, words in found.server_ids.items():
        yield Evidence.ID, f"{server}: {words}", words, "id_patterns", _calls_itself


def _mx_has_moved(reasons: Iterable[Reason]) -> bool:
    """Whether the old host itself is another than today's MX: the DNS has been changed already."""
    weak = {Evidence.SAID, Evidence.MX, Evidence.SPF}
    exchangers: set[str] = set()
    others: set[str] = set()
    for reason in reasons:
        if reason.evidence is Evidence.MX:
            exchangers.update(reason.profiles)
        elif reason.evidence not in weak:
            others.update(reason.profiles)
    return bool(exchangers and others) and not exchangers & others


def _narrowed(reasons: list[Reason]) -> tuple[set[str], list[Reason]]:
    """Return what is left when each kind of evidence has had its word, and the reasons as they counted."""
    left: set[str] = set()
    for evidence in Evidence:
        of_kind = [reason for reason in reasons if reason.evidence is evidence and not reason.against]
        fitting = {profile for reason in of_kind for profile in reason.profiles}
        left = (left & fitting or left) if left else fitting
    return left, [replace(r, against=r.against or not left & set(r.profiles)) for r in reasons]


def _host(name: str) -> str:
    return name.lower().rstrip(".").removeprefix("*.")


def _is_exchanger(profile: Profile, name: str) -> bool:
    return any(_compiled(pattern).fullmatch(name) for pattern in profile.mx_patterns)


def _is_its_host(profile: Profile, name: str) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in profile.host_suffixes)


def _is_its_spf(profile: Profile, name: str) -> bool:
    return name in profile.spf_includes


def _greets(profile: Profile, line: str) -> bool:
    return any(_compiled(pattern).search(line) for pattern in profile.greeting_patterns)


def _is_able(profile: Profile, token: str) -> bool:
    return token.upper() in profile.capability_tokens


def _calls_itself(profile: Profile, words: str) -> bool:
    return any(_compiled(pattern).search(words) for pattern in profile.id_patterns)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
