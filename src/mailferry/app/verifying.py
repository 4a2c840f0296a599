"""`account verify`: builds what a comparison of both sides needs, runs it, and puts it into words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mailferry.app.copier import Desks
from mailferry.app.parts import Parts, build_parts
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import Settings
from mailferry.copying.verify import verify_account
from mailferry.copying.verify_findings import Difference, Tell, Verification
from mailferry.observe.log import get_log
from mailferry.roster.account_views import mailbox_shown
from mailferry.roster.lookup import account_at, domain_at
from mailferry.wire.server_text import visible


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The sums of a comparison of one account; its differences were told while it ran."""

    address: str
    found: Verification

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same."""
        return self.found.alike

    def lines(self) -> list[str]:
        """Return the sums in words."""
        found = self.found
        words = [
            f"{found.messages} messages at the source",
            f"{found.bodies_compared} read on both sides",
            f"{found.skipped} skipped with a reason",
            f"{found.target_only} only at the target",
        ]
        if found.gone:
            words.append(f"{found.gone} no longer at the source")
        if found.unlocated:
            words.append(f"{found.unlocated} that the target took and never named")
        return [f"{self.address}: {', '.join(words)}, {found.differences} differ"]

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        found = self.found
        return {
            "equal": found.alike,
            "messages": found.messages,
            "bodies_compared": found.bodies_compared,
            "skipped": found.skipped,
            "target_only": found.target_only,
            "gone": found.gone,
            "unlocated": found.unlocated,
            "faults": {fault.value: number for fault, number in sorted(found.faults.items())},
        }


def line_of(one: Difference) -> str:
    """Return one difference, or one note, in one line."""
    place = mailbox_shown(one.mailbox)
    if one.source_uid is not None:
        place += f" uid {one.source_uid}"
    return f"{place}: {one.fault.value} {visible(one.detail)}".rstrip()


def as_json(one: Difference) -> dict[str, Any]:
    """Return one difference, or one note, as JSON values."""
    return {
        "mailbox": mailbox_shown(one.mailbox),
        "uid": one.source_uid,
        "fault": one.fault.value,
        "detail": one.detail,
    }


async def verify_one(
    settings: Settings, reactor: Any, address: str, share: float, tell: Tell
) -> VerifyReport:
    """Compare one account's two sides; `tell` hears of each difference.

    Raises NoSuchAccount, Refused and Unavailable.
    """
    parts = build_parts(WorkerContext(settings, reactor, get_log("verify"), 0, lambda _why: None))
    try:
        return await compare_sides(parts, address, share, tell)
    finally:
        await parts.close()


async def compare_sides(
    parts: Parts,
    address: str,
    share: float,
    tell: Tell,
    *,
    begun: Callable[[VerifyReport], None] = lambda _report: None,
) -> VerifyReport:
    """Do the same with parts that are there already; `begun` gets the report whose sums grow."""
    account = await parts.database.read("account", lambda conn: account_at(conn, address))
    domain = await parts.database.read("domain", lambda conn: domain_at(conn, account.domain))
    report = VerifyReport(account.address, Verification(tell))
    begun(report)
    desk = Desks(parts).make(account, domain)
    await verify_account(desk, account.id, tell, sample=share, into=report.found)
    return report
