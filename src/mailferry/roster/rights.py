"""Who is asking, and what they may see and change: one rule for the console and the API.

A domain (and every account of it) outside of somebody's domains reads exactly as one that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mailferry.plan.addresses import domain_of
from mailferry.roster.lookup import address_of, no_such_account, no_such_domain, plain_domain
from mailferry.roster.refusals import RosterRefusal

TARGET_KEYS = ("target", "target_pop3")
"""What of a domain's rules only owners say: our master password is sent there."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class AdminRole(StrEnum):
    """What a sign-in is for."""

    OWNER = "owner"
    """Sees and changes everything."""
    DOMAIN_ADMIN = "domain-admin"
    """Sees and changes the domains named for it; neither adds nor removes any."""
    READER = "reader"
    """Sees everything, changes nothing."""
    DOMAIN_READER = "domain-reader"
    """Sees the domains named for it. A role of its own, so that one whose last domain was removed sees none."""

    @property
    def of_domains(self) -> bool:
        """Whether somebody of this role sees named domains only."""
        return self in {AdminRole.DOMAIN_ADMIN, AdminRole.DOMAIN_READER}

    @property
    def changes(self) -> bool:
        """Whether somebody of this role changes anything at all."""
        return self in {AdminRole.OWNER, AdminRole.DOMAIN_ADMIN}


class Forbidden(RosterRefusal):
    """A request of somebody who sees the thing and may not do that to it; answered with 403."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Who is asking. `domains` None is all of them; `audited` is the name for the audit log."""

    name: str
    audited: str
    role: AdminRole
    domains: frozenset[str] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def changes(self) -> bool:
        """Whether there is anything that they may change: pages leave the forms out otherwise."""
        return self.role.changes

    def may_read(self, domain: str) -> bool:
        """Whether they see the domain and its accounts."""
        return self.domains is None or plain_domain(domain) in self.domains

    def may_change(self, domain: str) -> bool:
        """Whether they may change the domain and its accounts."""
        return self.changes and self.may_read(domain)

    def may_own(self) -> bool:
        """Whether they may do what concerns all domains.

        That is to add and remove domains, to see processes, to name a target (our master password is
        sent there), and to give others rights.
        """
        return self.role is AdminRole.OWNER

    def need_read(self, domain: str) -> None:
        """Raise NoSuchDomain, in the words for a domain that is not there, unless they see it."""
        if not self.may_read(domain):
            raise no_such_domain(domain)

    def need_change(self, domain: str) -> None:
        """Raise NoSuchDomain unless they see the domain, and Forbidden unless they may change it."""
        self.need_read(domain)
        if not self.may_change(domain):
            raise self.forbidden()

    def need_read_account(self, address: str) -> None:
        """Raise NoSuchAccount, in the words for one that is not there, unless they see its domain."""
        canonical = address_of(address)
        if not self.may_read(domain_of(canonical)):
            raise no_such_account(canonical)

    def need_change_account(self, address: str) -> None:
        """Raise NoSuchAccount unless they see the account, and Forbidden unless they may change it."""
        self.need_read_account(address)
        if not self.changes:
            raise self.forbidden()

    def need_own(self) -> None:
        """Raise Forbidden unless they may do what concerns all domains."""
        if not self.may_own():
            raise self.forbidden()

    def need_change_rules(self, domain: str, keys: Iterable[str]) -> None:
        """Raise as `need_change` does, and Forbidden unless they may change these of a domain's rules."""
        self.need_change(domain)
        if not self.may_own() and not set(TARGET_KEYS).isdisjoint(keys):
            raise self.forbidden()

    def forbidden(self) -> Forbidden:
        """Return the fault of what they may not do."""
        return Forbidden(f"{self.name} may not do this; ask an owner")


def check_name(kind: str, name: str) -> None:
    """Raise RosterRefusal unless `name` can be that of a sign-in or a token, as the audit log shows it."""
    if not _NAME.fullmatch(name):
        raise RosterRefusal(f"a {kind}'s name has letters, digits and . _ @ - and at most 64 of them")
