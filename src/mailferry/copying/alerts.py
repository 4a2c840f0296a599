"""What administrators are told: one message a domain and cause, however many accounts it is about.

What a message says is put together when it is first sent, from what is so then, and kept, so that a
repeat is the same message. What is no longer so is not sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection

from mailferry.copying.notice_mail import day, moment
from mailferry.model.causes import CAUSES, Cause
from mailferry.plan.alert_words import AlertFacts, alert_words
from mailferry.plan.notices import REFUSES_ALL_AGAIN, WINDOW_DAYS, Alert, window_stage
from mailferry.plan.refusal_context import AT_ONCE_SECONDS, WHOLE_DOMAIN
from mailferry.store import account_listing, domain_refusals, domains, notices
from mailferry.store.database import db_now
from mailferry.store.domains import DAY, Domain
from mailferry.store.notices import Audience, Notice

SOME_ACCOUNTS = 20
"""So many addresses stand in a message; the list of all is a command away."""


def look_at_domains(conn: Connection) -> list[tuple[Alert, str, str]]:
    """Return what is so of domains now and somebody is to be told: alert, subject, domain."""
    now = db_now(conn)
    found = [one for domain in domains.listing(conn) for one in _of_domain(domain, now)]
    refusing = domain_refusals.shut_out(conn, seconds=AT_ONCE_SECONDS, at_least=WHOLE_DOMAIN)
    known = {domain.name for domain in domains.listing(conn)} if refusing else set()
    return found + [(Alert.SOURCE_REFUSES_ALL, name, name) for name in refusing if name in known]


def _of_domain(domain: Domain, now: float) -> Iterator[tuple[Alert, str, str]]:
    if domain.source_blocked_at is not None:
        yield Alert.SOURCE_BLOCKED, f"{domain.name}/{domain.source_blocked_at:.0f}", domain.name
    days = window_stage(domain.window_ends_at, now)
    if days is not None and domain.window_ends_at - domain.window_opened_at > days * DAY:
        window = f"{domain.window_number}/{domain.window_ends_at:.0f}"
        yield Alert.WINDOW_ENDS, f"{domain.name}/{window}/{days}", domain.name


def want(conn: Connection, alert: Alert, subject: str, domain: str, outlets: Collection[Audience]) -> None:
    """Make the notices of one alert about a domain, one for each outlet, unless they were made before."""
    now = db_now(conn)
    again = REFUSES_ALL_AGAIN if alert is Alert.SOURCE_REFUSES_ALL else None
    for audience in outlets:
        notices.want(conn, audience, alert.value, subject, domain=domain, due_at=now, again_after=again)


def composed(conn: Connection, notice: Notice) -> dict[str, Any] | None:
    """Return what the notice says, kept from its first try on; None when it is no longer so."""
    if notice.detail is not None:
        kept: dict[str, Any] = json.loads(notice.detail)
        return kept
    domain = domains.get(conn, notice.domain)
    facts = _facts(conn, notice, domain)
    if facts is None:
        return None
    kind = Alert(notice.kind)
    words = alert_words(kind, facts)
    message = {
        "id": message_key(notice),
        "kind": kind.value,
        "domain": domain.name,
        "made_at": moment(notice.made_at),
        "cause": None if facts.cause is None else facts.cause.value,
        "who_must_act": None if facts.cause is None else CAUSES[facts.cause].actor.value,
        "accounts": {"count": facts.count, "some": list(facts.accounts)},
        "states": facts.states,
        "window_ends_at": moment(domain.window_ends_at),
        "language": domain.language,
        "subject": dict(words.subject),
        "text": dict(words.text),
    }
    return message if notices.compose(conn, notice, json.dumps(message, ensure_ascii=False)) else None


def message_key(notice: Notice) -> str:
    """Return what stays the same over all tries of one message and differs from every other's."""
    made_of = f"{notice.id}\0{notice.kind}\0{notice.subject}\0{notice.made_at:.6f}"
    return hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()


def _facts(conn: Connection, notice: Notice, domain: Domain) -> AlertFacts | None:
    """Return what is so now, None when there is nothing to tell any more."""
    now = db_now(conn)
    match Alert(notice.kind):
        case Alert.MUST_ACT:
            cause = Cause(notice.subject.rpartition("/")[2])
            count, some = notices.failing(conn, domain.name, cause, some=SOME_ACCOUNTS)
            return AlertFacts(domain.name, cause, count, some) if count else None
        case Alert.SOURCE_BLOCKED:
            if domain.source_blocked_at is None:
                return None
            return AlertFacts(domain.name, Cause.SOURCE_TAKES_ANY_PASSWORD)
        case Alert.SOURCE_REFUSES_ALL:
            count = domain_refusals.lately(conn, domain.name, seconds=AT_ONCE_SECONDS).count
            if count < WHOLE_DOMAIN:
                return None
            return AlertFacts(domain.name, Cause.SOURCE_REFUSES_DOMAIN, count)
        case Alert.WINDOW_ENDS:
            days = int(notice.subject.rpartition("/")[2])
            if days not in WINDOW_DAYS or not now < domain.window_ends_at <= now + days * DAY:
                return None
            states = account_listing.counts_by_state(conn, domain.name)
            shown = {state.value: number for state, number in states.items()}
            ends = day(domain.window_ends_at)
            return AlertFacts(domain.name, days=days, window_ends=ends, states=shown)
