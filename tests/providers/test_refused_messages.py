from __future__ import annotations

import pytest

from mailferry.providers.refused_messages import RefusedMessage, refused_message


@pytest.mark.hazard("D10")
@pytest.mark.hazard("D11")
@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (None, "Mail length 52428800 exceeded!", RefusedMessage.TOO_BIG),
        (None, "Maximum size of appendable message has been exceeded", RefusedMessage.TOO_BIG),
        ("TOOBIG", "", RefusedMessage.TOO_BIG),
        ("LIMIT", "x", RefusedMessage.OTHER),
        (
            "LIMIT",
            "Mail size is larger than the maximum size allowed by server configuration",
            RefusedMessage.TOO_BIG,
        ),
        (None, "Message size exceeds fixed maximum message size", RefusedMessage.TOO_BIG),
        (None, "Message too large", RefusedMessage.TOO_BIG),
        (None, "Message size exceeds the size limit of this account", RefusedMessage.TOO_BIG),
        ("CANNOT", "Keyword length too long", RefusedMessage.KEYWORDS),
        ("LIMIT", "Too many user flags in mailbox", RefusedMessage.KEYWORDS),
        ("TRYCREATE", "Mailbox does not exist", RefusedMessage.NO_MAILBOX),
        ("NOPERM", "Permission denied", RefusedMessage.NO_MAILBOX),
        (None, "Mailbox doesn't exist: Work", RefusedMessage.NO_MAILBOX),
        ("OVERQUOTA", "Quota exceeded", RefusedMessage.OVER_QUOTA),
        (None, "Quota exceeded (mailbox for user is full)", RefusedMessage.OVER_QUOTA),
        *(
            (None, text, RefusedMessage.OVER_QUOTA)
            for text in (
                "You exceeded your mail quota.",
                "Not enough disk quota",
                "Disc quota exceeded",
                "Over quota",
                "Mailbox is full",
                "mailbox full",
                "Mailbox size limit exceeded",
                "The mailbox has exceeded its size limit",
                "Storage limit reached",
                "write error: No space left on device",
                "Disk full",
                "The disk is full",
                "file system full",
                "Not enough disk space",
                "Insufficient system storage",
                "Insufficient disk space",
                "Out of disk space",
            )
        ),
        (None, "Message contains NUL characters", RefusedMessage.NUL),
        (None, "Message contains invalid header", RefusedMessage.HEADER),
        (None, "Can't save a zero byte message.", RefusedMessage.EMPTY),
        (None, "Command Argument Error. 11", RefusedMessage.OTHER),
        ("overquota x", "", RefusedMessage.OVER_QUOTA),
    ],
)
def test_a_refused_message_has_a_named_reason(code: str | None, text: str, meaning: RefusedMessage) -> None:
    assert refused_message(code, text) is meaning
