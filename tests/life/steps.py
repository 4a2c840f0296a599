"""What several lives have in common."""

from __future__ import annotations

from mailferry.gate.admission import Admitted
from mailferry.lab.host import LabHost
from mailferry.model.access import Side
from mailferry.model.account import Phase
from mailferry.store import cutovers, passwords
from mailferry.store.accounts import Account
from mailferry.store.passwords import PasswordRecord
from tests.kit.move import OLD, USER, Move

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def fill(move: Move) -> None:
    """Lay a little mail into two mailboxes; what mail looks like matters elsewhere."""
    store = move.source.mailstore(USER)
    store.create(b"Projects")
    for number in range(3):
        letter(move.source, f"old {number}")
        store.deliver(b"Subject: plan %d\r\n\r\nHi\r\n" % number, mailbox=b"Projects")


def letter(host: LabHost, subject: str = "news") -> None:
    """Let a message arrive at a host."""
    host.mailstore(USER).deliver(b"Subject: %s\r\n\r\nHello\r\n" % subject.encode())


def choose_password(host: LabHost, password: bytes) -> None:
    """The user changes the password at the old host."""
    object.__setattr__(host.premises.accounts[USER], "password", password)


def source_logins(move: Move) -> int:
    """How many connections the source has seen."""
    return len(move.source.premises.records)


def password_record(move: Move) -> PasswordRecord:
    return move.database.read_now("row", lambda conn: passwords.get(conn, move.known().id))


async def logged_in_once(move: Move, password: bytes = OLD) -> None:
    """A session through the gate that ends at once."""
    await move.logout(await move.admitted(password))


async def switched(move: Move) -> None:
    """Let the user log in and the account be copied and flipped."""
    fill(move)
    await logged_in_once(move)
    await move.copy()
    await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=60)


def without_account(move: Move) -> str:
    """Take the user's account out of the target's passwd-file, so that no password can be set there."""
    line = move.users.read_text()
    move.users.write_text("somebody@else.test:{PLAIN}x::::::\n")
    return line


async def frozen_by_a_copier_that_died(move: Move, seconds: float) -> Account:
    """Freeze the account as a cutover does whose process is killed then."""
    fill(move)
    await logged_in_once(move)
    await move.time.settle()
    assert password_record(move).proved_at is not None
    account = move.known()
    deadline = move.time.now() + seconds
    return move.database.run_now(
        "freeze", lambda conn: cutovers.freeze(conn, account.id, account.epoch, deadline)
    )


async def a_login_meets_a_freeze_of_20_seconds(move: Move) -> None:
    """It waits for as long, sets back what nobody ends, and is served by the source."""
    await frozen_by_a_copier_that_died(move, 20)
    login = move.admit()
    await move.time.advance(19)
    assert not login.called
    admission = await move.done(login, within=2)
    assert isinstance(admission, Admitted)
    assert (admission.side, move.phase()) == (Side.SOURCE, Phase.PRECOPY)
    await move.logout(admission)
