"""`account verify`: builds what a comparison of both sides needs, runs it, and puts it into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailferry.app.copier import Desks
from mailferry.app.parts import build_parts
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import Settings
from mailferry.copying.verify import Difference, Verification, verify_account
from mailferry.observe.log import get_log
from mailferry.roster.lookup import account_at, domain_at
from mailferry.wire.imap_names import decode_mailbox
from mailferry.wire.server_text import visible


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a comparison of one account found."""

    address: str
    found: Verification

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same."""
        return self.found.alike

    def lines(self) -> list[str]:
        """Return one line a difference, and the sum."""
        told = [
            f"{_mailbox(one)} uid {one.source_uid}: {one.fault.value} {visible(one.detail)}".rstrip()
            for one in self.found.differences
        ]
        found = self.found
        total = (
            f"{self.address}: {found.messages} messages at the source, {found.bodies_compared} read on both "
            f"sides, {found.skipped} skipped with a reason, {found.target_only} only at the target, "
            f"{len(found.differences)} differ"
        )
        return [*told, total]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found = self.found
        return {
            "address": self.address,
            "equal": found.alike,
            "messages": found.messages,
            "bodies_compared": found.bodies_compared,
            "skipped": found.skipped,
            "target_only": found.target_only,
            "differences": [
                {"mailbox": _mailbox(d), "uid": d.source_uid, "fault": d.fault.value, "detail": d.detail}
                for d in found.differences
            ],
        }


def _mailbox(difference: Difference) -> str:
    return visible(decode_mailbox(difference.mailbox))


async def verify_one(settings: Settings, reactor: Any, address: str, share: float) -> VerifyReport:
    """Compare one account's two sides; raises NoSuchAccount, Refused and Unavailable."""
    parts = build_parts(WorkerContext(settings, reactor, get_log("verify"), 0, lambda _why: None))
    try:
        account = await parts.database.read("account", lambda conn: account_at(conn, address))
        domain = await parts.database.read("domain", lambda conn: domain_at(conn, account.domain))
        found = await verify_account(Desks(parts).make(account, domain), account.id, sample=share)
    finally:
        await parts.close()
    return VerifyReport(account.address, found)
