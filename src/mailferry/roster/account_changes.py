"""What an administrator may do to one account. Each change writes an audit row in its own transaction."""

from __future__ import annotations

from sqlalchemy import Connection

from mailferry.model.access import Secret
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.passwords.sealing import KeyDestroyed, KeyRing, Purpose, SealBroken
from mailferry.roster.lookup import account_at, address_of, domain_at
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import accounts, audit, domains, mailboxes, passwords, wrong_tries
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain

MOVING = frozenset({Phase.PRECOPY, Phase.FREEZE, Phase.BACKFILL})
FAILED = frozenset({Phase.BLOCKED, Phase.STALLED})
TAKES_PASSWORD = frozenset({Phase.IDLE, Phase.PRECOPY, Phase.BACKFILL, Phase.BLOCKED, Phase.STALLED})
"""Phases in which the old mailbox's password is of use."""
APPROVABLE = frozenset(
    {
        Cause.DELETIONS_HELD,
        Cause.INCOMPLETE,
        Cause.BODIES_REFUSED,
        Cause.TARGET_REFUSES_MAIL,
        Cause.UIDL_UNPAIRED,
    }
)
"""Causes that an administrator may let the copy go on with."""
DOUBTFUL = frozenset({"suspect", "poor"})
"""Grades of a source's completeness that wait for the same."""


def retry(database: Database, address: str, *, who: str) -> None:
    """Try again now: a failed copy goes on, a running one has its next pass, a finished one fetches late mail.

    Remembered wrong passwords of the account are forgotten in any case. Raises RosterRefusal for an
    account that waits for its user's login or is not moving.
    """

    def change(conn: Connection) -> None:
        account = account_at(conn, address)
        if account.phase in FAILED:
            accounts.apply(conn, account.id, Event.RETRIED, epoch=account.epoch, who=who)
        elif account.phase in MOVING or _has_import(conn, account):
            accounts.wake(conn, account.id)
        elif account.phase is Phase.SWITCHED and _domain(conn, account).window_open(db_now(conn)):
            accounts.ask_sweep(conn, account.id)
        elif account.phase is Phase.IDLE:
            raise RosterRefusal(
                f"{account.address} has not logged in yet, and no password was imported for it"
            )
        else:
            raise RosterRefusal(f"{account.address} is {account.state.value}: there is nothing to try again")
        _audit(conn, who, "retry", account)

    database.run_now("forget tries", lambda conn: wrong_tries.forget(conn, account_at(conn, address).id))
    database.run_now("account retry", change)


def approve(database: Database, address: str, *, who: str) -> None:
    """Let the copy go on with what was held: deletions over the brake, a doubtful source, UIDLs without a pair.

    Raises RosterRefusal when nothing waits for approval.
    """

    def change(conn: Connection) -> None:
        account = account_at(conn, address)
        held = mailboxes.held_deletions(conn, account.id)
        doubtful = account.completeness in DOUBTFUL
        if not held and not doubtful and account.cause not in APPROVABLE:
            raise RosterRefusal(f"nothing of {account.address} waits for approval")
        accounts.note(conn, account.id, approved_at=db_now(conn))
        if account.phase in FAILED:
            accounts.apply(conn, account.id, Event.RETRIED, epoch=account.epoch, who=who)
        else:
            accounts.wake(conn, account.id)
        what = f"{held} deletions held, completeness {account.completeness or 'not graded'}"
        _audit(conn, who, "approve", account, what)

    database.run_now("account approve", change)


def pause(database: Database, address: str, *, who: str) -> None:
    """Stop copying the account at its next boundary; its logins go on. Safe to repeat."""

    def change(conn: Connection) -> None:
        account = account_at(conn, address)
        accounts.note(conn, account.id, paused=True)
        _audit(conn, who, "pause", account)

    database.run_now("account pause", change)


def resume(database: Database, address: str, *, who: str) -> None:
    """Copy the account again. Safe to repeat."""

    def change(conn: Connection) -> None:
        account = account_at(conn, address)
        accounts.note(conn, account.id, paused=False)
        if account.phase in MOVING:
            accounts.wake(conn, account.id)
        _audit(conn, who, "resume", account)

    database.run_now("account resume", change)


def reset(database: Database, address: str, *, who: str) -> None:
    """Undo what only an administrator may undo: *not migrating*, and a password that counts at the target alone.

    An account that somebody marked local, or that logged in with a new password first, is as if it had
    never logged in; its next login starts the move. Raises RosterRefusal when there is nothing to undo.
    """

    def change(conn: Connection) -> None:
        account = account_at(conn, address)
        undone = []
        if passwords.get(conn, account.id).target_wins:
            passwords.target_wins(conn, account.id, wins=False)
            undone.append("the target's password no longer wins")
        if account.phase is Phase.LOCAL:
            accounts.apply(conn, account.id, Event.RESET, epoch=account.epoch, who=who)
            undone.append("not migrating no longer")
        if not undone:
            raise RosterRefusal(
                f"{account.address} is {account.state.value}: a reset is for accounts that are not migrating "
                "or whose password was changed at the target"
            )
        wrong_tries.forget(conn, account.id)
        _audit(conn, who, "reset", account, "; ".join(undone))

    database.run_now("account reset", change)


def mark_local(database: Database, address: str, *, who: str) -> None:
    """Say that the account has nothing to move; it is made when it is new. Raises RosterRefusal once it moves."""

    def change(conn: Connection) -> None:
        name = address_of(address)
        domain = domain_at(conn, name.rpartition("@")[2])
        account = accounts.ensure(conn, name, domain.name)
        if account.phase is Phase.LOCAL:
            return
        if account.phase is not Phase.IDLE:
            raise RosterRefusal(
                f"{account.address} is {account.state.value} already: only an account that has not begun to move "
                "can be excluded; a pause stops its copy"
            )
        accounts.apply(conn, account.id, Event.MARKED_LOCAL, epoch=account.epoch, who=who)
        _audit(conn, who, "mark-local", account)

    database.run_now("account local", change)


def password(database: Database, keyring: KeyRing, address: str, secret: Secret, *, who: str) -> None:
    """Give the copier the password of the old mailbox; it logs in with it at the source and nothing else.

    It is never set at the target: only the user's own login does that. A failed copy is tried again
    with it. Raises RosterRefusal where no password is needed any more, or the domain's window is over.
    """

    def change(conn: Connection) -> None:
        account = account_at(conn, address)
        if account.phase not in TAKES_PASSWORD:
            raise RosterRefusal(
                f"{account.address} is {account.state.value} (phase {account.phase.value}): "
                "the old mailbox's password is not needed"
            )
        keep_for_copy(conn, keyring, account, _domain(conn, account), secret)
        if account.phase in FAILED:
            accounts.apply(conn, account.id, Event.RETRIED, epoch=account.epoch, who=who)
        _audit(conn, who, "password", account)

    database.run_now("account password", change)


def keep_for_copy(
    conn: Connection, keyring: KeyRing, account: Account, domain: Domain, secret: Secret
) -> None:
    """Seal a password for the copy alone and make the account due; the caller's transaction commits it.

    Raises RosterRefusal when the window is over and its key destroyed, or the key does not open.
    """
    accounts.locked(conn, account.id)
    try:
        sealed = keyring.seal(domain.name, domain.window_number, account.id, Purpose.COPY, secret)
    except SealBroken as error:
        raise RosterRefusal(str(error)) from error
    except KeyDestroyed:
        raise RosterRefusal(
            f"the window of {domain.name} is over and its key destroyed; re-open it with domain extend"
        ) from None
    passwords.imported(
        conn,
        account.id,
        password_epoch=passwords.get(conn, account.id).password_epoch,
        sealed=sealed,
        window_number=domain.window_number,
    )
    wrong_tries.forget(conn, account.id)
    accounts.wake(conn, account.id)


def _has_import(conn: Connection, account: Account) -> bool:
    return account.phase is Phase.IDLE and passwords.get(conn, account.id).sealed is not None


def _domain(conn: Connection, account: Account) -> Domain:
    return domains.get(conn, account.domain)


def _audit(conn: Connection, who: str, what: str, account: Account, detail: str | None = None) -> None:
    audit.write(conn, who=who, what=f"account.{what}", subject=account.address, detail=detail)
