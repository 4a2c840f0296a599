"""What a day does to a mailbox: 1 % of the messages change at the source, the same for every copier."""

from __future__ import annotations

import imaplib
from collections.abc import Sequence
from dataclasses import dataclass

from bench.data_sets import DataSet, Mail, date_of, warm
from bench.servers import PASSWORD
from tests.kit.peer_dovecot import Dovecot

WORDS = "0.5 % new, 0.3 % flagged, 0.2 % expunged"


@dataclass(frozen=True, slots=True)
class Change:
    """How many messages are added, marked and taken away, spread over all mailboxes."""

    new: int
    flagged: int
    expunged: int

    @classmethod
    def one_percent(cls, data_set: DataSet) -> Change:
        """Return 1 % of the set, at least one of each kind."""
        thousands = data_set.messages / 1000
        return cls(*(max(1, round(thousands * part)) for part in (5, 3, 2)))


def change(server: Dovecot, user: str, mail: Mail, amount: Change, round_number: int) -> None:
    """Make the change by IMAP, as the user's own program would."""
    data_set = mail.data_set
    names = data_set.mailbox_names()
    with imaplib.IMAP4("127.0.0.1", server.ports["imap"]) as session:
        session.login(user, PASSWORD)
        for index in range(amount.new):
            number = data_set.messages * (1 + round_number) + index
            octets = mail.message(number).replace(b"\n", b"\r\n")
            _said_ok(
                session.append(
                    f'"{names[index % len(names)]}"', "", imaplib.Time2Internaldate(date_of(number)), octets
                )
            )
        for position, name in enumerate(names):
            flagged = len(range(position, amount.flagged, len(names)))
            expunged = len(range(position, amount.expunged, len(names)))
            if flagged or expunged:
                _mark(session, name, flagged, expunged)
    warm(server, user)


def _mark(session: imaplib.IMAP4, name: str, flagged: int, expunged: int) -> None:
    """Flag the oldest messages that have no flag yet, and take away the ones behind them."""
    session.select(f'"{name}"')
    found = session.uid("SEARCH", "UNFLAGGED")[1][0].split()
    chosen = found[: flagged + expunged]
    if flagged:
        _said_ok(session.uid("STORE", _joined(chosen[:flagged]), "+FLAGS.SILENT", r"(\Flagged)"))
    if expunged:
        _said_ok(session.uid("STORE", _joined(chosen[flagged:]), "+FLAGS.SILENT", r"(\Deleted)"))
        _said_ok(session.uid("EXPUNGE", _joined(chosen[flagged:])))
    session.unselect()


def _joined(uids: Sequence[bytes]) -> str:
    return b",".join(uids).decode()


def _said_ok(answer: tuple[str, object]) -> None:
    if answer[0] != "OK":
        raise RuntimeError(f"the source did not take a change: {answer}")
