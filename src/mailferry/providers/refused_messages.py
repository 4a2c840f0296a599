"""What a target means that does not keep one message: the reason by name, from its response code or words.

Texts as seen at Dovecot, Cyrus, Courier, Exchange, Tencent and Gmail (docs/providers.md, append limits).
"""

from __future__ import annotations

import re
from enum import StrEnum


class RefusedMessage(StrEnum):
    """Why a message was not kept."""

    TOO_BIG = "too_big"
    OVER_QUOTA = "over_quota"
    """Not about this message: the mailbox is full."""
    NO_MAILBOX = "no_mailbox"
    """Not about this message: the mailbox is not there, or not open to us."""
    NUL = "nul"
    HEADER = "header"
    EMPTY = "empty"
    KEYWORDS = "keywords"
    OTHER = "other"

    @property
    def of_this_message(self) -> bool:
        """Whether the words name something of this message, so that another one may be taken right now."""
        return self in {
            RefusedMessage.TOO_BIG,
            RefusedMessage.NUL,
            RefusedMessage.HEADER,
            RefusedMessage.EMPTY,
            RefusedMessage.KEYWORDS,
        }

    @property
    def of_the_mailbox(self) -> bool:
        """Whether every other message would be refused as well."""
        return self in {RefusedMessage.OVER_QUOTA, RefusedMessage.NO_MAILBOX}


# LIMIT (RFC 5530) says nothing by itself: of sizes at Dovecot, of keywords at others, of rates as well.
_CODES = {
    "TOOBIG": RefusedMessage.TOO_BIG,  # RFC 4469, RFC 7889
    "OVERQUOTA": RefusedMessage.OVER_QUOTA,  # RFC 9208
    "TRYCREATE": RefusedMessage.NO_MAILBOX,  # RFC 3501; the user deleted it while it was copied
    "NONEXISTENT": RefusedMessage.NO_MAILBOX,  # RFC 5530
    "NOPERM": RefusedMessage.NO_MAILBOX,  # RFC 5530
}
_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"NUL (character|byte|octet)|contains? NULs?", RefusedMessage.NUL),
        (r"zero.?byte|zero.?length|empty message|message is empty|can't save a zero", RefusedMessage.EMPTY),
        (r"invalid header|bare newline|8-?bit (data|header)|illegal header", RefusedMessage.HEADER),
        (r"too many (user )?(flags|keywords)|keyword length", RefusedMessage.KEYWORDS),
        (
            r"^(?!.*\b(message|mail)\b.{0,20}(size|length|big|large)).*\b(mailbox|account|storage)\b.{0,30}\blimit",
            RefusedMessage.OVER_QUOTA,
        ),
        (
            r"mail length \d+ exceeded|maximum size of appendable|too (big|large)|size limit|exceeds.{0,40}size",
            RefusedMessage.TOO_BIG,
        ),
        (r"(mail|message) size is larger", RefusedMessage.TOO_BIG),  # Dovecot's quota_max_mail_size
        (
            r"quota|(mailbox|disk|file ?system)( is)? full|no space left",
            RefusedMessage.OVER_QUOTA,
        ),
        (
            r"(not enough|insufficient|out of) (disk |system |storage )*(space|storage)",
            RefusedMessage.OVER_QUOTA,
        ),
        (r"(mailbox|folder) (does ?n[o']t exist|does not exist)|no such mailbox", RefusedMessage.NO_MAILBOX),
    )
)


def refused_message(code: str | None, text: str) -> RefusedMessage:
    """Return what the refusal of an APPEND means, by its response code first, then by its words."""
    known = _CODES.get((code or "").upper().partition(" ")[0])
    if known is not None:
        return known
    return next((meaning for pattern, meaning in _TEXTS if pattern.search(text)), RefusedMessage.OTHER)
