"""What the web process asks of mail servers, made of its own parts (web/old_hosts.py says what for)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from mailferry.app.copier import Desks
from mailferry.app.detecting import gathered
from mailferry.app.parts import Parts
from mailferry.app.preflight import Preflight
from mailferry.app.verifying import as_json, compare_sides
from mailferry.copying.skipped_mail import FetchedMail, fetch_skipped
from mailferry.model.access import Secret, Server
from mailferry.providers.detection import Gathered
from mailferry.roster.lookup import account_at, domain_at
from mailferry.store.accounts import Account
from mailferry.store.domains import Domain
from mailferry.web.old_hosts import FetchedMessage, OldHosts, Report, Tell, Watch


def make_old_hosts(parts: Parts) -> OldHosts:
    """Return the four questions."""

    def gather(asked: Gathered, servers: Sequence[Server]) -> Deferred[Gathered]:
        return Deferred.fromCoroutine(gathered(parts.settings, parts.reactor, asked, servers))

    def test(
        domain: Domain, account: str | None, password: Secret | None, *, stored: bool
    ) -> Deferred[Report]:
        return Deferred.fromCoroutine(_report(parts, domain, account, password, stored=stored))

    def fetch(address: str, mailbox_id: int, uid: int, folder: Path) -> Deferred[FetchedMessage]:
        return Deferred.fromCoroutine(_message(parts, address, mailbox_id, uid, folder))

    def verify(address: str, share: float, tell: Tell, watch: Watch) -> Deferred[dict[str, Any]]:
        work = compare_sides(
            parts,
            address,
            share,
            lambda one: tell(as_json(one)),
            begun=lambda report: watch(report.as_json),
        )
        return Deferred.fromCoroutine(work).addCallback(lambda report: report.as_json())

    return OldHosts(gather=gather, test=test, fetch=fetch, verify=verify)


async def _report(
    parts: Parts, domain: Domain, account: str | None, password: Secret | None, *, stored: bool
) -> Report:
    look = Preflight(parts, domain, account, password, stored=stored)
    lines = await look.run()
    return Report(lines=lines, mapping=await look.mapping())


async def _message(parts: Parts, address: str, mailbox_id: int, uid: int, folder: Path) -> FetchedMessage:
    account: Account = await parts.database.read("account", lambda conn: account_at(conn, address))
    domain = await parts.database.read("domain", lambda conn: domain_at(conn, account.domain))
    told: list[FetchedMail] = []
    desk = Desks(parts).make(account, domain)
    await fetch_skipped(desk, account.id, folder, told.append, only=(mailbox_id, uid))
    return (
        FetchedMessage(told[0].file, told[0].why)
        if told
        else FetchedMessage(None, "it is not on the list any more")
    )
