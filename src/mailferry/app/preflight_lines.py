"""What `domain test` says of what it saw: counts that differ, the estimate, the risk, the profile's checklist."""

from __future__ import annotations

from collections.abc import Mapping

from mailferry.app.checking import Line, Sign
from mailferry.app.preflight_look import Look
from mailferry.app.preflight_words import finding, said
from mailferry.model.access import Protocol
from mailferry.model.profile import AfterDnsChange, Profile
from mailferry.plan.checklist import Observed, Seen, judged
from mailferry.plan.copy_estimate import estimate, octets_each
from mailferry.plan.mailbox_mapping import ALL_MAIL, plan_mailboxes, shown_name
from mailferry.plan.pace import PaceLimits
from mailferry.providers.sentences import Words
from mailferry.wire.server_text import visible

_SIGNS = {Seen.WELL: Sign.WELL, Seen.WRONG: Sign.NOTE, Seen.YOURS: Sign.YOURS}


def at_server(protocol: Protocol, part: str = "") -> Words:
    """Return how lines about a server of the source begin; `part` is such as `.login`."""
    return said(f"at.server{part}", protocol=Words(protocol.value, protocol.value.upper()))


def read_messages(protocol: Protocol, look: Look) -> list[Line]:
    """Say whether the messages that were read came whole."""
    what, withheld, read = at_server(protocol, ".messages"), said("fix.withheld"), look.sample.read
    if look.bodyless:
        return [finding(Sign.FAULT, what, said("bodyless", bodyless=look.bodyless, read=read), withheld)]
    if look.placeholders:
        found = said("placeholders", placeholders=look.placeholders, read=read)
        return [finding(Sign.NOTE, what, found, withheld)]
    if look.unreadable and not read:
        return [finding(Sign.FAULT, what, said("none-readable"), withheld)]
    if not read:
        return [finding(Sign.NOTE, what, said("none-to-read"), said("fix.older-account"))]
    seconds = max(look.sample.seconds, 0.001)
    whole = said("read-whole", read=read, octets=look.sample.read_octets, seconds=seconds)
    if look.unreadable:
        found = said("read-partly", whole=whole, unreadable=look.unreadable)
        return [finding(Sign.NOTE, what, found, withheld)]
    return [finding(Sign.WELL, what, whole)]


def compared(looks: Mapping[Protocol, Look], observed: Observed) -> list[Line]:
    """Say whether both protocols show the same INBOX; nothing where only one was looked at."""
    if len(looks) < 2:
        return []
    what, imap, pop3 = said("at.completeness"), looks[Protocol.IMAP].inbox, looks[Protocol.POP3].inbox
    if not observed.hidden:
        return [finding(Sign.WELL, what, said("same-count", count=imap))]
    return [finding(Sign.NOTE, what, said("other-count", imap=imap, pop3=pop3), said("fix.hidden"))]


def estimated(looks: Mapping[Protocol, Look], profile: Profile, limits: PaceLimits) -> list[Line]:
    """Say how much this account's copy is and how long it takes; nothing where nobody logged in."""
    look = looks.get(Protocol.IMAP) or looks.get(Protocol.POP3)
    if look is None:
        return []
    what, found = said("at.estimate"), estimate(look.sample, limits, exact_sizes=profile.exact_sizes)
    amount = said("amount", messages=found.messages)
    about = said("about", amount=amount, size=_size(found.octets))
    if found.hours is None:
        return [finding(Sign.NOTE, what, said("speed-unknown", about=about), said("fix.nothing-read"))]
    why = said("as-measured")
    if found.limit is not None:
        why = said("slowed", limit=said(f"slowed.{found.limit.name.lower()}"))
    return [finding(Sign.WELL, what, said("takes", about=about, span=_span(found.hours), why=why))]


def copied_twice(look: Look | None, profile: Profile) -> list[Line]:
    """Say how much of the account stands in a mailbox of all mail and, mostly, in others as well (Gmail's labels)."""
    if look is None:
        return []
    plan = plan_mailboxes(
        look.listed, (), profile=profile, source_namespace=look.space, target_namespace=look.space
    )
    lines = []
    for mailbox in (pair.source for pair in plan.pairs if ALL_MAIL in pair.source.attributes):
        count = look.counts.get(mailbox.name, 0)
        each = octets_each(look.sample, exact_sizes=profile.exact_sizes)
        found = said(
            "all-mail",
            mailbox=visible(shown_name(mailbox.name)),
            amount=said("amount", messages=count),
            size=_size(round(count * each)),
        )
        lines.append(finding(Sign.NOTE, said("at.all-mail"), found, said("fix.all-mail")))
    return lines


def _size(octets: int) -> str:
    return f"{octets / 1e9:.1f} GB" if octets >= 1e9 else f"{octets / 1e6:.1f} MB"


def _span(hours: float) -> Words:
    if hours < 1 / 60:
        return said("span.moment")
    return said("span.minutes", minutes=hours * 60) if hours < 2 else said("span.hours", hours=hours)


def after_dns_change(profile: Profile) -> Line:
    """Name the risk that the source lets nobody in once the domain's DNS names another service."""
    what = said("at.dns")
    if profile.after_dns_change is AfterDnsChange.OPEN:
        return finding(Sign.WELL, what, said("dns.open"))
    limited = profile.after_dns_change is AfterDnsChange.RESTRICTED
    found = said("dns.restricted") if limited else said("dns.unknown")
    return finding(Sign.YOURS, what, found, said("fix.dns"))


def checklist(profile: Profile, observed: Observed) -> list[Line]:
    """Work through the provider's own steps: what was seen of each, and what only people can see."""
    lines = []
    for step in profile.checklist:
        seen = judged(step.step_id, observed)
        what, found = said("at.step", step=step.step_id), said(f"seen.{seen.name.lower()}")
        lines.append(finding(_SIGNS[seen], what, found, Words(step.en, step.zh)))
    return lines
