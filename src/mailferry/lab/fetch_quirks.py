"""What is odd about messages that a lab host gives out over IMAP: wrong octets, wrong sizes, refusals.

Four tables from a quirk to what it does, and one function for each of the moments at which FETCH asks
them. `Premises.troubled` says which messages they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mailferry.lab.connection import HungUp
from mailferry.lab.imap_reader import BadCommand
from mailferry.lab.imap_session import ImapSession, No
from mailferry.lab.imap_structure import split_header
from mailferry.lab.mailstore import LabMessage

TRUNCATED_AT = 20 * 1024
"""Where a host that cuts big bodies short cuts them; real ones do so at 20 MB."""
BACKOFF_SECONDS = 1.5
ERRORS_BORNE = 10

PLACEHOLDER = (
    b"From: Microsoft Exchange Server\r\nSubject: Retrieval using the IMAP4 protocol failed for the following "
    b"message: %d\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nThe server couldn't retrieve the "
    b"following message:\r\n\r\nSubject: an appointment\r\n\r\nThe message hasn't been deleted.\r\n"
)


def _header(message: LabMessage) -> bytes:
    return split_header(message.octets)[0]


BODIES: Mapping[str, Callable[[LabMessage], bytes]] = {
    "header_only": _header,
    "exchange_placeholder": lambda message: PLACEHOLDER % message.uid,
    "exchange_peek_nothing": lambda message: PLACEHOLDER % message.uid,
    "body_is_header": lambda message: _header(message).rstrip(b"\r\n") + b"\r\n",
    "body_empty": lambda _: b"",
    "body_truncated": lambda message: message.octets[:TRUNCATED_AT],
}
"""The octets that stand in for a message's own."""

SIZES: Mapping[str, Callable[[int], int]] = {
    "exchange_size_thrice": lambda size: 3 * size,
    "exchange_size_less": lambda size: size * 9 // 10,
}
"""RFC822.SIZE instead of the true one."""

PARTS: Mapping[str, Callable[[bytes], bytes]] = {
    "zimbra_two_views": lambda octets: re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"?", octets),
}
"""How BODY[HEADER] and BODY[TEXT] differ from what BODY[] has in the same place."""

LITERALS: Mapping[str, Callable[[bytes], bytes]] = {
    "literal_short": lambda octets: b"{%d}\r\n%s" % (len(octets) // 2, octets),
    "literal_long": lambda octets: b"{%d}\r\n%s" % (len(octets) + 50, octets),
    "body_nil": lambda _: b"NIL",
}
"""The string that carries a whole message, instead of a literal of its length."""


def body(session: ImapSession, message: LabMessage) -> bytes:
    """Return the message as this host gives it out."""
    for quirk, instead in BODIES.items():
        if session.premises.troubles(quirk, message.uid):
            return instead(message)
    return message.octets


def size(session: ImapSession, message: LabMessage) -> int:
    """Return RFC822.SIZE as this host tells it."""
    told = len(message.octets)
    for quirk, instead in SIZES.items():
        if session.premises.troubles(quirk, message.uid):
            told = instead(told)
    return told


def part(session: ImapSession, octets: bytes) -> bytes:
    """Return a section of a message as this host gives it out."""
    for quirk, instead in PARTS.items():
        if session.has(quirk):
            octets = instead(octets)
    return octets


def literal(session: ImapSession, message: LabMessage, octets: bytes, *, whole: bool) -> bytes:
    """Return the string that carries `octets`."""
    for quirk, instead in LITERALS.items():
        if whole and session.premises.troubles(quirk, message.uid):
            return instead(octets)
    return b"{%d}\r\n%s" % (len(octets), octets)


def numbered(session: ImapSession, number: int) -> int:
    """Return the sequence number under which a message is given out."""
    return 0 if session.has("fetch_number_zero") else number + 7 * session.has("fetch_number_wrong")


def _serverbug(_: ImapSession, _message: LabMessage) -> bool:
    raise No("[SERVERBUG] Internal error occurred. Refer to server log for more information.")


def _refused(_: ImapSession, _message: LabMessage) -> bool:
    raise No("FETCH failed")


def _rate_limit(session: ImapSession, _: LabMessage) -> bool:
    """Once, and without hanging up: what looks like a BYE is none."""
    session.premises.spent["fetch_limit"] += 1
    if session.premises.spent["fetch_limit"] > 1:
        return True
    session.send(b"* BYE +")
    raise No("[LIMIT] UID FETCH Rate limit hit.")


def _missing(session: ImapSession, _: LabMessage) -> bool:
    session.partly = True
    return False


def _quota(session: ImapSession, message: LabMessage) -> bool:
    if session.premises.spent["octets"] + len(message.octets) > session.premises.octet_limit:
        raise No("[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)")
    return True


def _expired(session: ImapSession, message: LabMessage) -> bool:
    if session.premises.spent["octets"] + len(message.octets) <= session.premises.octet_limit:
        return True
    session.premises.spent["octets"] = 0  # a new session has a new allowance
    session.send(b"* BYE Session expired, please login again")
    session.link.hang_up()
    raise HungUp


def _cut(session: ImapSession, message: LabMessage) -> bool:
    """Once for each message."""
    if session.premises.spent[f"literal_cut {message.uid}"]:
        return True
    session.premises.spent[f"literal_cut {message.uid}"] = 1
    half = message.octets[: len(message.octets) // 2]
    session.link.send(b"* 1 FETCH (UID %d BODY[] {%d}\r\n%s" % (message.uid, len(message.octets), half))
    session.link.hang_up()
    raise HungUp


TROUBLES: Mapping[str, Callable[[ImapSession, LabMessage], bool]] = {
    "fetch_serverbug": _serverbug,
    "fetch_refused": _refused,
    "fetch_limit": _rate_limit,
    "fetch_partly": _missing,
    "gmail_overquota": _quota,
    "gmail_session_expired": _expired,
    "exchange_peek_nothing": lambda session, _: not session.peeking,
    "literal_cut": _cut,
}
"""What happens instead of a body's FETCH answer: raises, or returns whether the answer is sent."""


def given_out(session: ImapSession, message: LabMessage) -> bool:
    """Say whether a message's body is answered at all. Raises No and HungUp as the quirks say."""
    for quirk, trouble in TROUBLES.items():
        if session.premises.troubles(quirk, message.uid) and not trouble(session, message):
            return False
    session.premises.spent["octets"] += len(message.octets)
    return True


def throttled(session: ImapSession) -> None:
    """Ask a client that fetched too often to wait; one that does not, or goes on erring, loses its connection.

    Raises BadCommand and HungUp.
    """
    if not session.has("m365_throttle"):
        return
    now = session.link.reactor.seconds()
    session.fetches += 1
    ignored = session.throttled_until is not None and now < session.throttled_until
    if ignored or session.errors >= ERRORS_BORNE:
        session.link.hang_up()
        raise HungUp
    if session.throttled_until is None and session.fetches > session.premises.patience:
        session.fetches, session.throttled_until = 0, now + BACKOFF_SECONDS
        session.errors += 1
        raise BadCommand("Request is throttled. Suggested Backoff Time: 1500 milliseconds")
    session.throttled_until = None
