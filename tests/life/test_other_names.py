"""Accounts that have another name at the old host than their address: the whole life under both names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mailferry.app.gate_building import make_checker
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Protocol, Secret, Side
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Answer
from mailferry.observe.log import get_log
from mailferry.roster.account_files import import_accounts
from mailferry.web.old_mailbox import OldMailbox
from tests.kit.move import CLIENT, OLD, OTHER, USER, Move
from tests.life.conftest import Service
from tests.life.steps import HOUR, MINUTE

pytestmark = pytest.mark.deadline(60)


@dataclass(frozen=True, slots=True)
class Names:
    """How the user of `USER` is called at the old host: `there` is what that host knows and nothing else."""

    there: str
    login_form: str = "full"
    listed: str = ""
    """What the imported list says, empty where it says nothing."""


NAMES = {
    "full": Names("wang.li@elder.test", listed="wang.li@elder.test"),
    "local": Names("li", login_form="local"),
    "listed-local": Names("wang", login_form="local", listed="wang@elder.test"),
    "different": Names("S-10017", listed="S-10017"),
    "template": Names("corp\\li", login_form="CORP\\{local}"),
}


async def begin(service: Service, names: Names, **options: object) -> Move:
    move = await service(source_accounts={names.there: LabAccount(password=OLD)}, **options)
    move.set_rules(login_form=names.login_form)
    store = old_mail(move, names)
    store.create(b"Projects")
    for number in range(4):
        store.deliver(b"Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\nHi\r\n" % (number, number))
        store.deliver(b"Subject: plan %d\r\n\r\nHi\r\n" % number, mailbox=b"Projects")
    return move


def old_mail(move: Move, names: Names) -> Mailstore:
    return move.source.mailstore(names.there)


def alike(move: Move, names: Names) -> bool:
    return old_mail(move, names).fingerprint() == move.target.mailstore(USER).fingerprint()


async def follow_to_the_end(move: Move, names: Names) -> None:
    """Late mail comes by itself, and a password changed at the old host follows."""
    old_mail(move, names).deliver(b"Subject: late\r\n\r\nHi\r\n")
    await move.until(lambda: alike(move, names), within=HOUR)
    object.__setattr__(move.source.premises.accounts[names.there], "password", b"a newer one")
    admission = await move.admitted(b"a newer one")
    assert admission.side is Side.TARGET
    await move.logout(admission)
    assert {record.address for record in move.source.premises.logins()} == {names.there}


@pytest.mark.parametrize("protocol", [Protocol.IMAP, Protocol.POP3], ids=str)
@pytest.mark.parametrize("names", [pytest.param(value, id=key) for key, value in NAMES.items()])
async def test_a_user_logs_in_with_the_new_address_and_the_old_password_and_is_moved(
    service: Service, names: Names, protocol: Protocol
) -> None:
    move = await begin(service, names)
    if names.listed:
        rows = f"target,source\n{USER},{names.listed}\n".encode()
        import_accounts(move.database, move.parts.keyring, rows, who="test")
    assert (await move.rejected(OTHER, protocol=protocol)).answer is Answer.REFUSED
    admission = await move.admitted(protocol=protocol)
    assert admission.side is Side.SOURCE
    await move.logout(admission)
    await move.copy()
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert alike(move, names)
    after = await move.admitted(protocol=protocol)
    assert after.side is Side.TARGET
    await move.logout(after)
    await follow_to_the_end(move, names)


async def test_an_imported_password_goes_with_the_imported_name(service: Service) -> None:
    names = NAMES["full"]
    move = await begin(service, names)
    rows = f"target,source,password\n{USER},{names.listed},{OLD.decode()}\n".encode()
    import_accounts(move.database, move.parts.keyring, rows, who="test")
    await move.copy()
    await move.until(lambda: move.known().copied == 8, within=10 * MINUTE)
    assert (move.known().phase, move.known().trigger) == (Phase.PRECOPY, Trigger.IMPORT)
    await move.logout(await move.admitted())
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert alike(move, names)


@pytest.mark.parametrize("names", [NAMES["full"], NAMES["different"]], ids=["full", "different"])
async def test_a_user_who_has_a_new_password_names_the_old_address_on_the_page(
    service: Service, names: Names
) -> None:
    """The password is the other mailbox's: the copy gets it, the target does not."""
    move = await begin(service, names)
    move.users.write_text(f"{USER}:{{PLAIN}}{OTHER.decode()}::::::\n")
    await move.logout(await move.admitted(OTHER))
    assert move.phase() is Phase.LOCAL
    page = OldMailbox(
        checker=make_checker(move.parts, move.gate.admit),
        judges=move.penalty,
        database=move.database,
        keyring=move.parts.keyring,
        reactor=move.time.reactor,
        log=get_log("test"),
    )
    wrong = await move.done(page.begin_move(USER, names.there, Secret(b"wrong"), CLIENT))
    assert wrong.answer is Answer.REFUSED
    assert (await move.done(page.begin_move(USER, names.there, Secret(OLD), CLIENT))).accepted
    assert move.phase() is Phase.BACKFILL
    await move.copy()
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert alike(move, names)
    old_mail(move, names).deliver(b"Subject: late\r\n\r\nHi\r\n")
    await move.until(lambda: alike(move, names), within=HOUR)
    assert (await move.rejected(OLD)).answer is Answer.REFUSED
    admission = await move.admitted(OTHER)
    assert admission.side is Side.TARGET
    await move.logout(admission)
