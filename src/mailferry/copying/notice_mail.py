"""A notice as a message: headers, plain text and the same as HTML, the same octets at each try (RFC 5322, RFC 3834)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from mailferry.plan.addresses import domain_of
from mailferry.plan.notice_words import Letter
from mailferry.plan.notices import UserNotice
from mailferry.store.accounts import Account

SENDER = "postmaster"
_ID_OCTETS = 12


def message_id(account: Account, kind: UserNotice, subject: str) -> str:
    """Return the lasting Message-ID of one notice, by which it is found again at the target."""
    made_of = f"{account.id}\0{account.added_at:.3f}\0{account.address}\0{kind.value}\0{subject}"
    digest = hashlib.blake2b(made_of.encode(), digest_size=_ID_OCTETS).hexdigest()
    return f"<mailferry-{kind.value}-{digest}@{domain_of(account.address)}>"


def notice_octets(
    account: Account, words: Letter, *, identity: str, sender: str | None, made_at: float
) -> bytes:
    """Return the message with CRLF line ends, in 7 bits. `sender` None is the postmaster of the account's domain."""
    message = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    message["From"] = sender or f"{SENDER}@{domain_of(account.address)}"
    # a local part beyond ASCII has no form that every reader understands
    message["To"] = account.address if account.address.isascii() else "undisclosed-recipients:;"
    message["Subject"] = words.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(int(made_at), tz=UTC))
    message["Message-ID"] = identity
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange's and Outlook's word for it
    message.set_content(words.text, cte="base64")
    message.add_alternative(words.html, subtype="html", cte="base64")
    # a boundary of chance would make other octets at each try
    message.set_boundary(f"mailferry-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}")
    return message.as_bytes()


def day(seconds: float) -> str:
    """Return the day (UTC) of a moment, such as 2026-12-01."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%d")


def moment(seconds: float) -> str:
    """Return a moment as ISO 8601 in UTC to the second."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
