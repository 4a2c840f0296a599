"""The overview of the move: is it going well, and if not, who must do what? All from one view of the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mailferry.model.account import STATES, Phase, State
from mailferry.model.causes import CAUSES, Actor, Cause
from mailferry.model.profile import CheckStep, Profile
from mailferry.model.server_url import parse_server_url
from mailferry.plan.refusal_context import AT_ONCE_SECONDS, WHOLE_DOMAIN
from mailferry.providers.remedies import remedies
from mailferry.providers.sentences import advice
from mailferry.roster.lookup import domain_at, no_such_domain
from mailferry.store import account_listing, domain_refusals, domains, leases, nodes, samples, source_hosts
from mailferry.store.account_listing import Totals, Trouble
from mailferry.store.database import Database, db_now
from mailferry.store.domains import DAY, Domain
from mailferry.store.nodes import SILENT_AFTER

RATE_SECONDS = 600.0
LATE_SECONDS = DAY
ENDING_DAYS = 7
"""A window is told of so many days before its end."""
NEEDED_ROLES = ("proxy", "copier")


@dataclass(frozen=True, slots=True)
class Counts:
    """Accounts by state."""

    states: Mapping[State, int]

    @property
    def accounts(self) -> int:
        """All of them."""
        return sum(self.states.values())

    @property
    def moving(self) -> int:
        """Accounts that move or shall."""
        return self.accounts - self.states[State.NOT_MIGRATING]

    @property
    def percent(self) -> float:
        """How many of those are done, in percent, rounded down."""
        done = self.states[State.DONE]
        return int(1000 * done / self.moving) / 10 if self.moving else 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """Accounts with one cause, for which somebody must act. `stopped` of them are not tried again by themselves."""

    actor: Actor
    cause: Cause
    accounts: int
    stopped: int
    by_domain: Mapping[str, int]
    advice: Mapping[str, str]
    """In both languages (`en`, `zh`)."""
    remedies: Sequence[CheckStep] = ()
    """The steps in the provider's own words, where all its domains have one provider."""


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One domain at a glance."""

    domain: Domain
    counts: Counts
    acting: int
    """Accounts for which somebody must act."""
    late: int
    """Late messages of the last day."""
    window_open: bool
    days_left: float


@dataclass(frozen=True, slots=True)
class RoleRow:
    """The processes of one role."""

    role: str
    alive: int
    silent: int

    @property
    def lacking(self) -> bool:
        """Whether the move cannot go on for want of it."""
        return self.alive == 0 and self.role in NEEDED_ROLES


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the screen."""

    at: float
    total: Counts
    mail: Totals
    """Sums over all accounts."""
    domains: Sequence[DomainRow]
    needs: Sequence[Need]
    roles: Sequence[RoleRow]
    blocked: Sequence[DomainRow]
    """Domains whose source takes any password."""
    shut_out: Mapping[str, int]
    """Domains that their source refuses as a whole: of how many accounts a good password lately."""
    ending: Sequence[DomainRow]
    held: Sequence[source_hosts.TroubledHost]
    """Hosts that are left alone for a while."""
    messages_a_second: float
    octets_a_second: float
    eta_seconds: float | None
    late: int
    queue: int

    @property
    def needs_by_actor(self) -> Mapping[Actor, Sequence[Need]]:
        """What is to be done, by who must do it; nobody's last."""
        order = (Actor.ADMINISTRATOR, Actor.USER, Actor.PROVIDER, Actor.NOBODY)
        found = {actor: [need for need in self.needs if need.actor is actor] for actor in order}
        return {actor: needs for actor, needs in found.items() if needs}

    @property
    def trouble(self) -> bool:
        """Whether something needs somebody to act."""
        return bool(
            self.blocked
            or self.shut_out
            or any(role.lacking for role in self.roles)
            or any(need.actor is not Actor.NOBODY for need in self.needs)
        )


@dataclass(slots=True)
class _Needs:
    """What is counted for one cause."""

    accounts: int = 0
    stopped: int = 0
    by_domain: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def board(
    database: Database,
    profiles: Mapping[str, Profile],
    *,
    domain: str | None = None,
    within: frozenset[str] | None = None,
) -> Board:
    """Return the board of all domains, of those in `within`, or of one; raises NoSuchDomain."""

    def read(conn: Connection) -> Board:
        name = None if domain is None else domain_at(conn, domain).name
        if name is not None and within is not None and name not in within:
            raise no_such_domain(name)
        now = db_now(conn)
        counted = account_listing.counts_by_domain(conn, name, within)
        troubles = account_listing.troubles(conn, name, within)
        mail = account_listing.totals(conn, name, within)
        shown = [
            one
            for one in domains.listing(conn)
            if (name is None or one.name == name) and (within is None or one.name in within)
        ]
        late = samples.late_by_domain(conn, since=now - LATE_SECONDS)
        recent = samples.series(
            conn, since=now - RATE_SECONDS, until=now + samples.MINUTE, domain=name, within=within
        )
        refusing = domain_refusals.shut_out(conn, seconds=AT_ONCE_SECONDS, at_least=WHOLE_DOMAIN, now=now)
        rows = [_domain_row(one, counted, troubles, late, now) for one in shown]
        rate = sum(sample.messages for sample in recent) / RATE_SECONDS
        left = max(0, mail.messages - mail.copied - mail.skipped)
        hosts = {
            parse_server_url(url).host for one in shown for url in (one.source_imap, one.source_pop3) if url
        }
        return Board(
            at=now,
            total=_counts(counted),
            mail=mail,
            domains=rows,
            needs=_needs(troubles, {one.name: one for one in shown}, profiles),
            roles=_roles(conn, now),
            blocked=[row for row in rows if row.domain.blocked],
            shut_out={one.name: refusing[one.name] for one in shown if one.name in refusing},
            ending=[row for row in rows if row.window_open and row.days_left <= ENDING_DAYS],
            held=[
                one
                for host, one in sorted(source_hosts.troubled(conn).items())
                if one.held_until > now and host in hosts
            ],
            messages_a_second=rate,
            octets_a_second=sum(sample.octets for sample in recent) / RATE_SECONDS,
            eta_seconds=left / rate if rate > 0 and left else None,
            late=sum(row.late for row in rows),
            queue=leases.queue_length(conn, within=within),
        )

    return database.read_now("board", read)


def _counts(counted: Iterable[tuple[str, Phase, int]]) -> Counts:
    states = dict.fromkeys(State, 0)
    for _, phase, number in counted:
        states[STATES[phase]] += number
    return Counts(states)


def _domain_row(
    domain: Domain,
    counted: Sequence[tuple[str, Phase, int]],
    troubles: Sequence[Trouble],
    late: Mapping[str, int],
    now: float,
) -> DomainRow:
    acting = sum(
        trouble.accounts
        for trouble in troubles
        if trouble.domain == domain.name and CAUSES[trouble.cause].actor is not Actor.NOBODY
    )
    return DomainRow(
        domain=domain,
        counts=_counts(one for one in counted if one[0] == domain.name),
        acting=acting,
        late=late.get(domain.name, 0),
        window_open=domain.window_open(now),
        days_left=max(0.0, (domain.window_ends_at - now) / DAY),
    )


def _needs(
    troubles: Iterable[Trouble], known: Mapping[str, Domain], profiles: Mapping[str, Profile]
) -> list[Need]:
    """Return what is to be done, most accounts first."""
    counted: dict[Cause, _Needs] = defaultdict(_Needs)
    for trouble in troubles:
        need = counted[trouble.cause]
        need.accounts += trouble.accounts
        need.by_domain[trouble.domain] += trouble.accounts
        if STATES[trouble.phase] is State.FAILED or not CAUSES[trouble.cause].retries:
            need.stopped += trouble.accounts
    found = []
    for cause, need in counted.items():
        providers = {known[name].provider for name in need.by_domain if name in known}
        profile = profiles.get(providers.pop()) if len(providers) == 1 else None
        found.append(
            Need(
                actor=CAUSES[cause].actor,
                cause=cause,
                accounts=need.accounts,
                stopped=need.stopped,
                by_domain=dict(sorted(need.by_domain.items())),
                advice=advice(cause),
                remedies=() if profile is None else remedies(cause, profile),
            )
        )
    return sorted(found, key=lambda need: (-need.accounts, need.cause.value))


def _roles(conn: Connection, now: float) -> list[RoleRow]:
    alive: dict[str, int] = dict.fromkeys(NEEDED_ROLES, 0)
    silent: dict[str, int] = defaultdict(int)
    for node in nodes.listing(conn):
        alive.setdefault(node.role, 0)
        if node.renewed_at < now - SILENT_AFTER:
            silent[node.role] += 1
        else:
            alive[node.role] += 1
    return [RoleRow(role, number, silent[role]) for role, number in alive.items()]
