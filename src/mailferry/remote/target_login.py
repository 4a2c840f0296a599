"""The credentials of a login at the target, by one of three ways (contract, section 4, `[target]`).

With a *master* we can open any mailbox without its user's password: Dovecot's separator form
(`user*master`), or the SASL PLAIN authorization identity of RFC 4616. Without one, only the user's
own password opens the mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.access import Credentials, Secret

DOVECOT_SEPARATOR = "*"


class TargetLogin(StrEnum):
    """How the target is logged in to."""

    DOVECOT_MASTER = "dovecot-master"
    MASTER = "master"
    USER = "user"


class NoTargetAccess(ValueError):
    """Nothing is known that would open this mailbox at the target; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class TargetAccess:
    """The target's way of logging in, as configured."""

    login: TargetLogin
    master_user: str = ""
    master_password: Secret | None = None

    @property
    def has_master(self) -> bool:
        """Whether mailboxes open without their user's password."""
        return self.login is not TargetLogin.USER


def target_credentials(
    access: TargetAccess, address: str, *, user_password: Secret | None = None
) -> Credentials:
    """Return what opens the mailbox of `address` at the target.

    Raises NoTargetAccess when a master is configured without name or password, when the way is
    `user` and `user_password` is not given, or when `address` holds the separator itself, which
    would make it name another mailbox.
    """
    if access.login is TargetLogin.USER:
        if user_password is None:
            raise NoTargetAccess("the target opens with the user's own password only, and it is not known")
        return Credentials(authcid=address, password=user_password)
    if not access.master_user or access.master_password is None:
        raise NoTargetAccess("[target] master_user and master_password are both needed for this login")
    if DOVECOT_SEPARATOR in address:
        raise NoTargetAccess(
            f"an address with {DOVECOT_SEPARATOR!r} in it cannot be opened by a master login"
        )
    if access.login is TargetLogin.DOVECOT_MASTER:
        name = f"{address}{DOVECOT_SEPARATOR}{access.master_user}"
        return Credentials(authcid=name, password=access.master_password)
    return Credentials(authcid=access.master_user, password=access.master_password, authzid=address)
