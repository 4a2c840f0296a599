"""What stands for both hosts behind the user page: passwords that are right, and what a login sets going."""

from __future__ import annotations

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, succeed

from mailferry.gate.checking import Verdict
from mailferry.model.access import Secret
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Answer
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.store import accounts
from mailferry.store.database import Database
from mailferry.wire.proxy_header import Endpoint


class Judge:
    """The hosts' passwords by address; `down` makes both hosts silent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.old: dict[str, str] = {}
        self.new: dict[str, str] = {}
        self.down = False

    def sign_in(self, name: str, password: Secret, _client: Endpoint) -> Deferred[Verdict]:
        """Judge a login: the old password starts the move, the new one of an unknown account says LOCAL."""
        try:
            address = canonical_address(name)
        except BadAddress:
            return succeed(Verdict(Answer.REFUSED))
        if self.down:
            return succeed(Verdict(Answer.TEMPORARY, address))
        if _is(self.old.get(address), password):
            self._lead(address, {Phase.IDLE: Event.SOURCE_ACCEPTED})
        elif _is(self.new.get(address), password):
            self._lead(address, {Phase.IDLE: Event.TARGET_ONLY})
        else:
            return succeed(Verdict(Answer.REFUSED, address))
        return succeed(Verdict(None, address))

    def begin_move(
        self, address: str, old_name: str, password: Secret, _client: Endpoint
    ) -> Deferred[Verdict]:
        """Judge the old mailbox's password of an account that lives on the target."""
        if not _is(self.old.get(old_name or address), password):
            return succeed(Verdict(Answer.REFUSED, address))
        self._lead(address, {Phase.LOCAL: Event.OLD_PASSWORD_ENTERED})
        return succeed(Verdict(None, address))

    async def settled(self) -> None:
        """Nothing goes on behind the answers."""

    def _lead(self, address: str, events: dict[Phase, Event]) -> None:
        def begin(conn: Connection) -> None:
            account = accounts.ensure(conn, address, address.rpartition("@")[2])
            event = events.get(account.phase)
            if event is not None:
                accounts.apply(conn, account.id, event, epoch=account.epoch)

        self._database.run_now("judge", begin)


def _is(known: str | None, typed: Secret) -> bool:
    return known is not None and typed.reveal() == known.encode()
