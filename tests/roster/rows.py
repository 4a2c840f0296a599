"""What roster tests begin with: a key ring, a checked domain, accounts in some phase."""

from __future__ import annotations

from pathlib import Path

from mailferry.config.domains import DomainEntry, domain_entry
from mailferry.model.access import Secret
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import ServiceKey
from mailferry.roster import domains, overview
from mailferry.store.database import Database

WHO = "console:anna"


def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys", ServiceKey(Secret(bytes(32))))


def entry(name: str = "a.test", **values) -> DomainEntry:
    return domain_entry({"name": name, "source": "imaps://old.test", **values})


def with_domain(store: Database, name: str = "a.test", **values) -> None:
    domains.add(store, entry(name, **values), who=WHO)


def audited(store: Database) -> list[tuple[str, str, str]]:
    """Who did what to whom, oldest first, the set-up of domains left out."""
    rows = reversed(overview.audit_log(store))
    return [(row["who"], row["what"], row["subject"]) for row in rows if row["what"] != "domain.add"]
