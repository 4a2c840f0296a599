"""What an administrator may do to a domain. Each change writes an audit row in its own transaction.

Addresses and rules come in as a `DomainEntry`, which is checked in one place for the command line,
the console and files of domains alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mailferry.config.domains import DomainEntry, domain_entry
from mailferry.passwords.sealing import KeyRing
from mailferry.plan.notices import in_words, wanted_notices
from mailferry.plan.refusal_context import AT_ONCE_SECONDS, WHOLE_DOMAIN
from mailferry.roster import switching
from mailferry.roster.lookup import domain_at
from mailferry.roster.moments import moment
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.server_words import words_or_none
from mailferry.store import account_listing, audit, domain_refusals, domains, passwords, source_checks
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain, DomainRules
from mailferry.store.faults import AlreadyThere
from mailferry.store.source_checks import SourceCheck

LONGEST_EXTENSION_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Applied:
    """What `domain apply` did with one domain: `added`, `changed` (with the names of the keys) or `unchanged`."""

    name: str
    what: str
    keys: tuple[str, ...] = ()


def add(database: Database, entry: DomainEntry, *, who: str) -> dict[str, Any]:
    """Add a domain and open its window; returns what `show` does. Raises RosterRefusal when it is there."""

    def change(conn: Connection) -> None:
        try:
            domains.add(conn, entry.name, window_days=entry.window_days, **_rules(entry))
        except AlreadyThere:
            raise RosterRefusal(f"domain {entry.name} is there already; change it with domain set") from None
        _audit(conn, who, "add", entry.name, _rules(entry).get("source_imap") or "")

    database.run_now("domain add", change)
    return show(database, entry.name)


def listing(database: Database, *, within: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """Return all domains, or those of `within`, with their counts, by name."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        now = db_now(conn)
        found = domains.listing(conn)
        return [_view(conn, domain, now) for domain in found if within is None or domain.name in within]

    return database.read_now("domains", read)


def names(database: Database, *, within: frozenset[str] | None = None) -> list[str]:
    """Return the names of all domains, or of those of `within`."""
    found = database.read_now("domains", domains.listing)
    return [domain.name for domain in found if within is None or domain.name in within]


def show(database: Database, name: str) -> dict[str, Any]:
    """Return one domain with its counts; raises NoSuchDomain."""
    return database.read_now("domain", lambda conn: _view(conn, domain_at(conn, name), db_now(conn)))


def find(database: Database, name: str) -> Domain:
    """Return the domain's row; raises NoSuchDomain."""
    return database.read_now("domain", lambda conn: domain_at(conn, name))


def unsaved(entry: DomainEntry) -> Domain:
    """Return the domain as it would be, for a test before it is added; nothing is stored."""
    rules: dict[str, Any] = dict(_rules(entry))
    return Domain(
        name=entry.name,
        window_days=entry.window_days,
        window_opened_at=0.0,
        window_ends_at=0.0,
        window_number=0,
        window_over_for=0.0,
        paused=False,
        added_at=0.0,
        **rules,
    )


def words(database: Database, name: str) -> dict[str, Any]:
    """Return the domain as the words of a `DomainEntry`; raises NoSuchDomain."""
    return _words(find(database, name))


def change(database: Database, name: str, values: Mapping[str, Any], *, who: str) -> dict[str, Any]:
    """Change the keys of a `DomainEntry` that `values` holds (None sets one back to its default).

    The domain as a whole is checked again. Raises BadConfiguration with every fault, RosterRefusal
    for the window (extend it) and the name, NoSuchDomain.
    """
    fixed = sorted({"name", "window_days"} & set(values))
    if fixed:
        raise RosterRefusal(f"{fixed[0]} cannot be set; the window is changed by domain extend")
    before = find(database, name)
    merged = {**_words(before), **values}
    entry = domain_entry({key: value for key, value in merged.items() if value is not None})

    def write(conn: Connection) -> None:
        changed = _changed(domain_at(conn, name), entry)
        if changed:
            domains.set_rules(conn, before.name, **_rules(entry))
            _audit(conn, who, "set", before.name, ", ".join(changed))

    database.run_now("domain set", write)
    return show(database, before.name)


def apply(database: Database, entries: Sequence[DomainEntry], *, who: str) -> list[Applied]:
    """Make the domains as the file says, all or none; domains that it leaves out stay as they are. Idempotent."""

    def write(conn: Connection) -> list[Applied]:
        return [_apply_one(conn, entry, who) for entry in entries]

    return database.run_now("domain apply", write)


def pause(database: Database, name: str, *, who: str, paused: bool = True) -> None:
    """Stop copying the domain's accounts (logins go on), or go on with it. Safe to repeat."""

    def write(conn: Connection) -> None:
        domain = domain_at(conn, name)
        domains.set_rules(conn, domain.name, paused=paused)
        _audit(conn, who, "pause" if paused else "resume", domain.name)

    database.run_now("domain pause", write)


def extend(database: Database, name: str, days: int, *, who: str) -> dict[str, Any]:
    """Let the window end `days` later; one that is over is re-opened for so many days."""
    if not 1 <= days <= LONGEST_EXTENSION_DAYS:
        raise RosterRefusal(f"a window is extended by 1 to {LONGEST_EXTENSION_DAYS} days")

    def write(conn: Connection) -> None:
        domain = domain_at(conn, name)
        after = domains.extend(conn, domain.name, days)
        anew = "re-opened" if after.window_number != domain.window_number else "extended"
        _audit(conn, who, "extend", domain.name, f"{anew} until {moment(after.window_ends_at)}")

    database.run_now("domain extend", write)
    return show(database, name)


def remove(database: Database, keyring: KeyRing, name: str, *, who: str, force: bool = False) -> int:
    """Forget the domain, its accounts and every sealed password of it; returns how many accounts that were.

    Mail stays where it is. Raises RosterRefusal when accounts have begun to move, unless `force`.
    """

    def write(conn: Connection) -> tuple[int, Sequence[int]]:
        domain = domain_at(conn, name)
        moving = account_listing.started(conn, domain.name)
        if moving and not force:
            raise RosterRefusal(
                f"{moving} accounts of {domain.name} have begun to move; what was copied would no longer be known. "
                "Force it only when the move is over or was never meant"
            )
        windows = [*range(1, domain.window_number + 1), *passwords.sealed_windows(conn, domain.name)]
        removed = domains.remove(conn, domain.name)
        _audit(conn, who, "remove", domain.name, f"{removed} accounts")
        return removed, sorted(set(windows))

    plain = find(database, name).name
    removed, windows = database.run_now("domain remove", write)
    for window in windows:
        keyring.destroy(plain, window)
    database.scrub()
    return removed


def _apply_one(conn: Connection, entry: DomainEntry, who: str) -> Applied:
    before = domains.find(conn, entry.name)
    if before is None:
        domains.add(conn, entry.name, window_days=entry.window_days, **_rules(entry))
        _audit(conn, who, "add", entry.name, "by file")
        return Applied(entry.name, "added")
    changed = _changed(before, entry)
    if before.window_days != entry.window_days:
        domains.set_window_days(conn, entry.name, entry.window_days)
        changed.append("window_days")
    if not changed:
        return Applied(entry.name, "unchanged")
    domains.set_rules(conn, entry.name, **_rules(entry))
    _audit(conn, who, "set", entry.name, "by file: " + ", ".join(changed))
    return Applied(entry.name, "changed", tuple(changed))


def _rules(entry: DomainEntry) -> DomainRules:
    return {
        "source_imap": words_or_none(entry.source_imap),
        "source_pop3": words_or_none(entry.source_pop3_server),
        "provider": entry.provider,
        "target_imap": words_or_none(entry.target),
        "target_pop3": words_or_none(entry.target_pop3),
        "login_form": entry.login_form,
        "switch": entry.switch,
        "language": entry.language,
        "accept_plaintext": entry.accept_plaintext,
        "push_from_plaintext": entry.push_from_plaintext,
        "uses_codes": entry.uses_codes,
        "push_codes": entry.push_codes,
        "only_listed": entry.only_listed,
        "notices": in_words(entry.notices),
    }


def _words(domain: Domain) -> dict[str, Any]:
    """Return a stored domain as the words of a `DomainEntry`."""
    two = domain.source_imap is not None
    return {
        "name": domain.name,
        "source": domain.source_imap if two else domain.source_pop3,
        "source_pop3": domain.source_pop3 if two else None,
        "provider": domain.provider,
        "target": domain.target_imap,
        "target_pop3": domain.target_pop3,
        "window_days": domain.window_days,
        "login_form": domain.login_form,
        "switch": domain.switch,
        "language": domain.language,
        "accept_plaintext": domain.accept_plaintext,
        "push_from_plaintext": domain.push_from_plaintext,
        "uses_codes": domain.uses_codes,
        "push_codes": domain.push_codes,
        "only_listed": domain.only_listed,
        "notices": in_words(wanted_notices(domain.notices)) or "none",
    }


def _changed(before: Domain, entry: DomainEntry) -> list[str]:
    return [key for key, value in _rules(entry).items() if getattr(before, key) != value]


def _view(conn: Connection, domain: Domain, now: float) -> dict[str, Any]:
    counts = account_listing.counts_by_state(conn, domain.name)
    refused = domain_refusals.lately(conn, domain.name, seconds=AT_ONCE_SECONDS, now=now).count
    return {
        **_words(domain),
        "paused": domain.paused,
        "added_at": moment(domain.added_at),
        "window_opened_at": moment(domain.window_opened_at),
        "window_ends_at": moment(domain.window_ends_at),
        "window_open": domain.window_open(now),
        "accounts": {state.value: number for state, number in counts.items()},
        "never_verified": passwords.never_verified(conn, domain.name),
        "switchable": passwords.pushed_in(conn, domain.name, switching.AT_SOURCE),
        "source_refuses_all": refused if refused >= WHOLE_DOMAIN else 0,
        "blocked_since": moment(domain.source_blocked_at),
        "source_checks": [_check(check) for check in source_checks.current(conn, domain.name)],
    }


def _check(check: SourceCheck) -> dict[str, Any]:
    return {
        "protocol": check.protocol.value,
        "at": moment(check.at),
        "refuses_made_up_password": check.refuses,
        "accepts_variants": None if check.variants is None else list(check.variants),
    }


def _audit(conn: Connection, who: str, what: str, name: str, detail: str | None = None) -> None:
    audit.write(conn, who=who, what=f"domain.{what}", subject=name, detail=detail)
