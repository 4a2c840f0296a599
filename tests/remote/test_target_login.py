"""The three ways into a mailbox at the target."""

from __future__ import annotations

import pytest

from mailferry.model.access import Credentials, Secret
from mailferry.remote.target_login import NoTargetAccess, TargetAccess, TargetLogin, target_credentials

MASTER = Secret(b"master's own")
USER = Secret(b"user's own")
ADDRESS = "anna@new.test"


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        (TargetLogin.DOVECOT_MASTER, Credentials(authcid="anna@new.test*boss", password=MASTER)),
        (TargetLogin.MASTER, Credentials(authcid="boss", password=MASTER, authzid="anna@new.test")),
        (TargetLogin.USER, Credentials(authcid="anna@new.test", password=USER)),
    ],
)
def test_each_way_has_its_credentials(login: TargetLogin, expected: Credentials) -> None:
    access = TargetAccess(login, "boss", MASTER)
    assert target_credentials(access, ADDRESS, user_password=USER) == expected


@pytest.mark.parametrize("login", list(TargetLogin))
def test_what_is_missing_is_named(login: TargetLogin) -> None:
    with pytest.raises(NoTargetAccess, match="password"):
        target_credentials(TargetAccess(login, "boss"), ADDRESS)


@pytest.mark.hazard("T20")
@pytest.mark.parametrize("login", [TargetLogin.DOVECOT_MASTER, TargetLogin.MASTER])
def test_an_address_with_the_separator_in_it_is_refused(login: TargetLogin) -> None:
    with pytest.raises(NoTargetAccess):
        target_credentials(TargetAccess(login, "boss", MASTER), "anna*other@new.test")


def test_only_a_master_opens_mailboxes_without_their_users() -> None:
    assert [TargetAccess(login).has_master for login in TargetLogin] == [True, True, False]
