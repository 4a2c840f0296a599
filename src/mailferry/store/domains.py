"""Domains that move: their two hosts, their rules, and the window in which a move may begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailferry.store import source_checks
from mailferry.store.database import db_now
from mailferry.store.faults import AlreadyThere, Unknown
from mailferry.store.schema import accounts, domains, window_numbers
from mailferry.store.upsert import upsert

DAY = 86400.0
GRACE_DAYS = 30
"""How long after the window a copy that has started may go on."""

SEEN_OVER_SECONDS = 3600.0
"""For how long running processes must have seen a window over before it is (`confirm_ended`)."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain. Servers are addresses as the administrator wrote them (contract, section 3)."""

    name: str
    source_imap: str | None
    source_pop3: str | None
    provider: str
    target_imap: str | None
    target_pop3: str | None
    window_days: int
    window_opened_at: float
    window_ends_at: float
    window_number: int
    """Counts the windows of the name; each has a sealing key of its own, and none comes again."""
    window_over_for: float
    """Seconds for which running processes have seen the window over (`confirm_ended`)."""
    login_form: str
    switch: str
    """`when-copied` or `at-once`."""
    language: str
    """`en`, `zh` or `both`."""
    accept_plaintext: bool
    push_from_plaintext: bool
    paused: bool
    added_at: float
    uses_codes: bool = False
    """Users log in at the source with a provider's authorization code, not with their password."""
    push_codes: bool = False
    """Such a code is set at the target like a password."""
    source_blocked_at: float | None = None
    """Since when the source is known to take any password (`store/source_checks`): its word counts nothing."""
    only_listed: bool = False
    """Only accounts that an administrator listed move; others are judged by the target alone."""
    notices: str = "done"
    """Which messages users get in their mailbox: `started`, `done`, `failed`, with commas between."""

    def window_open(self, now: float) -> bool:
        """Whether first triggers, following the password and late mail happen at `now`."""
        return now < self.window_ends_at

    def window_holds(self, now: float) -> bool:
        """Whether logins still treat the window as open.

        A clock that jumps ahead alone ends no window, not even for the logins of that moment.
        """
        return self.window_open(now) or self.window_over_for < SEEN_OVER_SECONDS

    @property
    def blocked(self) -> bool:
        """Whether the source takes any password, so that nothing follows from its word."""
        return self.source_blocked_at is not None

    def grace_open(self, now: float) -> bool:
        """Whether a copy that has started keeps its source and secret at `now`."""
        return now < self.window_ends_at + GRACE_DAYS * DAY


class DomainRules(TypedDict, total=False):
    """What an administrator may set on a domain at any time."""

    source_imap: str | None
    source_pop3: str | None
    provider: str
    target_imap: str | None
    target_pop3: str | None
    login_form: str
    switch: str
    language: str
    accept_plaintext: bool
    push_from_plaintext: bool
    paused: bool
    uses_codes: bool
    push_codes: bool
    only_listed: bool
    notices: str


_BY_NAME = select(domains).where(domains.c.name == bindparam("name"))
_DEFAULTS: DomainRules = {
    "source_imap": None,
    "source_pop3": None,
    "provider": "generic",
    "target_imap": None,
    "target_pop3": None,
    "login_form": "full",
    "switch": "when-copied",
    "language": "both",
    "accept_plaintext": False,
    "push_from_plaintext": False,
    "paused": False,
    "uses_codes": False,
    "push_codes": False,
    "only_listed": False,
    "notices": "",
}


def add(
    conn: Connection,
    name: str,
    *,
    window_days: int = 30,
    now: float | None = None,
    **rules: Unpack[DomainRules],
) -> Domain:
    """Add a domain and open its first window; raises AlreadyThere."""
    at = db_now(conn) if now is None else now
    if find(conn, name) is not None:
        raise AlreadyThere(f"domain {name} is there already")
    values = {
        **_DEFAULTS,
        **rules,
        "name": name,
        "window_days": window_days,
        "window_opened_at": at,
        "window_ends_at": at + window_days * DAY,
        "window_number": _next_window_number(conn, name),
        "added_at": at,
    }
    try:
        conn.execute(insert(domains).values(values))
    except IntegrityError as error:
        if _another_was_first(error):
            raise AlreadyThere(f"domain {name} is there already") from error
        raise
    return get(conn, name)


def _next_window_number(conn: Connection, name: str) -> int:
    """Return a number that no window of the domain has had, were it removed and added again in between.

    The key of a window that ended is destroyed for ever; a new window needs another.
    """
    counted = (
        upsert(conn, window_numbers)
        .values(domain=name, last=1)
        .on_conflict_do_update(index_elements=["domain"], set_={"last": window_numbers.c.last + 1})
        .returning(window_numbers.c.last)
    )
    return int(conn.execute(counted).scalar_one())


def _another_was_first(error: IntegrityError) -> bool:
    return "unique" in str(error.orig).lower()


def find(conn: Connection, name: str) -> Domain | None:
    """Return the domain, or None."""
    row = conn.execute(_BY_NAME, {"name": name}).mappings().first()
    return None if row is None else Domain(**row)


def get(conn: Connection, name: str) -> Domain:
    """Return the domain; raises Unknown."""
    found = find(conn, name)
    if found is None:
        raise Unknown(f"there is no domain {name}")
    return found


def listing(conn: Connection) -> Sequence[Domain]:
    """Return all domains by name."""
    return [Domain(**row) for row in conn.execute(select(domains).order_by(domains.c.name)).mappings()]


def names_ever(conn: Connection) -> list[str]:
    """Return the names of all domains that ever had a window, also of those that were removed."""
    return list(conn.execute(select(window_numbers.c.domain).order_by(window_numbers.c.domain)).scalars())


def set_rules(conn: Connection, name: str, **rules: Unpack[DomainRules]) -> Domain:
    """Change what is given, leave the rest; raises Unknown."""
    if rules:
        changed = conn.execute(update(domains).where(domains.c.name == name).values(**rules))
        if not changed.rowcount:
            raise Unknown(f"there is no domain {name}")
        source_checks.reckon_block(conn, name)
    return get(conn, name)


def extend(conn: Connection, name: str, days: int, *, now: float | None = None) -> Domain:
    """Let the window end `days` later: than its end while it is open, than now once it is over.

    A window that was over is re-opened under a new number, hence a new sealing key.
    """
    at = db_now(conn) if now is None else now
    before = get(conn, name)
    if before.window_open(at):
        values: dict[str, Any] = {"window_ends_at": before.window_ends_at + days * DAY}
    else:
        values = {
            "window_opened_at": at,
            "window_ends_at": at + days * DAY,
            "window_number": _next_window_number(conn, name),
        }
    conn.execute(update(domains).where(domains.c.name == name).values(**values, window_over_for=0.0))
    return get(conn, name)


def set_window_days(conn: Connection, name: str, days: int) -> Domain:
    """Let the present window have `days` days, counted from its beginning; raises Unknown."""
    ends = domains.c.window_opened_at + days * DAY
    conn.execute(
        update(domains)
        .where(domains.c.name == name)
        .values(window_days=days, window_ends_at=ends, window_over_for=0.0)
    )
    return get(conn, name)


def confirm_ended(
    conn: Connection, *, seconds: float, grace: float = SEEN_OVER_SECONDS, now: float | None = None
) -> Sequence[Domain]:
    """Return the domains whose window has been seen over for `grace` seconds of running time.

    `seconds` is what passed since the caller's last look by a clock that nobody can set, so that a
    wall clock that jumps ahead and is put right again ends no window. What cannot be undone
    (closing accounts, destroying keys) follows this, not the bare comparison of times.
    """
    at = db_now(conn) if now is None else now
    over = domains.c.window_ends_at <= at
    conn.execute(update(domains).where(~over, domains.c.window_over_for > 0).values(window_over_for=0.0))
    conn.execute(
        update(domains)
        .where(over, domains.c.window_over_for < grace)
        .values(window_over_for=domains.c.window_over_for + seconds)
    )
    ended = select(domains).where(over, domains.c.window_over_for >= grace).order_by(domains.c.name)
    return [Domain(**row) for row in conn.execute(ended).mappings()]


def remove(conn: Connection, name: str) -> int:
    """Remove the domain with all its accounts; return how many accounts that were. Raises Unknown."""
    get(conn, name)
    count = conn.execute(select(func.count()).where(accounts.c.domain == name)).scalar_one()
    conn.execute(delete(accounts).where(accounts.c.domain == name))
    conn.execute(delete(domains).where(domains.c.name == name))
    return count
