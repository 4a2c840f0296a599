"""What a source says of good passwords, by domain: the signs that it has shut the whole domain out.

Two counts tell: accounts refused in a row by words about their passwords, with nobody accepted in between, and
more refused than accepted within ten minutes, whatever the words, once there are ten.

The rows stand in `wrong_tries` as `known` and count for nothing else. `source` is the domain's name while a refusal
stands in the row that is not broken yet, the same behind `_BEFORE` once a login was accepted, and for acceptances.
Those are written only while refusals of the domain stand there; acceptances from before the first refusal are not
known, which errs on the side of "later".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, insert, literal, or_, select, update

from mailferry.model.causes import ABOUT_THE_PASSWORD, Cause
from mailferry.store.database import db_now
from mailferry.store.schema import wrong_tries
from mailferry.store.wrong_tries import TryKeys, prune, values_of

ENOUGH = 10
"""So many accounts within `MIXED_SECONDS` say something when some of them are accepted."""

MIXED_SECONDS = 600.0

_ACCEPTED = "accepted"
_BEFORE = "~"
"""Begins no domain's name."""


@dataclass(frozen=True, slots=True)
class DomainRefusals:
    """How many accounts' good passwords the source refused lately, and whether acceptances are written down."""

    count: int = 0
    watched: bool = False


def before(domain: str) -> str:
    """Return what stands in `source` of a domain's rows that are not of its unbroken row."""
    return _BEFORE + domain


def lately(conn: Connection, domain: str, *, seconds: float, now: float | None = None) -> DomainRefusals:
    """Return what was refused within `seconds`: all in a row, or of the last ten minutes where that is over half."""
    at = db_now(conn) if now is None else now
    count, watched = conn.execute(
        select(*looked_up(literal(domain), literal(before(domain)), literal(at), literal(seconds)))
    ).one()
    return DomainRefusals(count, bool(watched))


def looked_up(domain: Any, domain_before: Any, at: Any, seconds: Any) -> tuple[Any, Any]:
    """Return the two columns of `DomainRefusals`, for a statement that looks up more; the arguments are expressions."""
    row = wrong_tries.c
    recent = row.at > at - MIXED_SECONDS

    def of_accounts(*conditions: Any) -> Any:
        return func.count(case((and_(*conditions), row.account_key)).distinct())

    about_it = or_(*(row.cause == name for name in sorted(ABOUT_THE_PASSWORD)))
    in_a_row = of_accounts(row.source == domain, about_it)
    failed, taken = of_accounts(_refused(), recent), of_accounts(row.cause == _ACCEPTED, recent)
    over_half = and_(failed + taken >= ENOUGH, failed > taken)
    ours = and_(row.known, row.source.in_([domain, domain_before]), row.at > at - seconds)
    count = select(case((over_half, failed), else_=in_a_row)).where(ours).scalar_subquery()
    return count, select(row.id).where(ours).exists()


def shut_out(
    conn: Connection, *, seconds: float, at_least: int, now: float | None = None
) -> Mapping[str, int]:
    """Return the domains of which so many accounts had their good passwords refused, with how many."""
    at = db_now(conn) if now is None else now
    row = wrong_tries.c
    query = (
        select(row.source).distinct().where(row.known, row.source != "", _refused(), row.at > at - seconds)
    )
    names = {name.removeprefix(_BEFORE) for name in conn.execute(query).scalars()}
    counts = {name: lately(conn, name, seconds=seconds, now=at).count for name in names}
    return {name: count for name, count in counts.items() if count >= at_least}


def refused(conn: Connection, keys: TryKeys, cause: Cause, *, now: float | None = None) -> None:
    """Note that the source refused a password that it had accepted before."""
    at = db_now(conn) if now is None else now
    prune(conn, at)
    values = {**values_of(keys), "source": keys.domain}
    conn.execute(insert(wrong_tries).values(**values, cause=cause.value, at=at, known=True))


def accepted(
    conn: Connection, keys: TryKeys, *, known_good: bool, was_shut_out: bool, now: float | None = None
) -> None:
    """Note that the source took a password of the domain, `known_good` when it had done so before.

    What it said of passwords while it shut the domain out is remembered against nobody.
    """
    at = db_now(conn) if now is None else now
    behind = before(keys.domain)
    row = wrong_tries.c
    conn.execute(update(wrong_tries).where(row.known, row.source == keys.domain).values(source=behind))
    if was_shut_out:
        conn.execute(update(wrong_tries).where(row.known, row.source == behind).values(password_key=b""))
    if known_good:
        values = {**values_of(keys), "source": behind, "password_key": b""}
        conn.execute(insert(wrong_tries).values(**values, cause=_ACCEPTED, at=at, known=True))


def _refused() -> Any:
    """Of a row that is `known`: the source said no, in whatever words."""
    return wrong_tries.c.cause != _ACCEPTED
