"""`account skipped --eml`: builds what fetching an account's skipped mail needs, and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mailferry.app.copier import Desks
from mailferry.app.parts import build_parts
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import Settings
from mailferry.copying.skipped_mail import Tell, fetch_skipped
from mailferry.observe.log import get_log
from mailferry.roster.lookup import account_at, domain_at


async def fetch_one(settings: Settings, reactor: Any, address: str, folder: Path, tell: Tell) -> None:
    """Fetch one account's skipped messages into files; `tell` hears of each.

    Raises NoSuchAccount, Refused, Unavailable and OSError.
    """
    parts = build_parts(WorkerContext(settings, reactor, get_log("skipped"), 0, lambda _why: None))
    try:
        account = await parts.database.read("account", lambda conn: account_at(conn, address))
        domain = await parts.database.read("domain", lambda conn: domain_at(conn, account.domain))
        await fetch_skipped(Desks(parts).make(account, domain), account.id, folder, tell)
    finally:
        await parts.close()
