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
    NUL = "nul"
    HEADER = "header"
    EMPTY = "empty"
    OTHER = "other"


_CODES = {
    "TOOBIG": RefusedMessage.TOO_BIG,  # RFC 4469, RFC 7889
    "LIMIT": RefusedMessage.TOO_BIG,  # RFC 5530; Dovecot says it of sizes on APPEND
    "OVERQUOTA": RefusedMessage.OVER_QUOTA,  # RFC 9208
}
_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"NUL (character|byte|octet)|contains? NULs?", RefusedMessage.NUL),
        (r"zero.?byte|zero.?length|empty message|message is empty|can't save a zero", RefusedMessage.EMPTY),
        (r"invalid header|bare newline|8-?bit (data|header)|illegal header", RefusedMessage.HEADER),
        (
            r"mail length \d+ exceeded|maximum size of appendable|too (big|large)|size limit|exceeds.{0,40}size",
            RefusedMessage.TOO_BIG,
        ),
        (
            r"quota|mailbox is full|not enough (disk )?space|disk full|no space left",
            RefusedMessage.OVER_QUOTA,
        ),
    )
)


def refused_message(code: str | None, text: str) -> RefusedMessage:
    """Return what the refusal of an APPEND means, by its response code first, then by its words."""
    known = _CODES.get((code or "").upper().partition(" ")[0])
    if known is not None:
        return known
    return next((meaning for pattern, meaning in _TEXTS if pattern.search(text)), RefusedMessage.OTHER)
