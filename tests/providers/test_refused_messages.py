from __future__ import annotations

import pytest

from mailferry.providers.refused_messages import RefusedMessage, refused_message


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (None, "Mail length 52428800 exceeded!", RefusedMessage.TOO_BIG),
        (None, "Maximum size of appendable message has been exceeded", RefusedMessage.TOO_BIG),
        ("TOOBIG", "", RefusedMessage.TOO_BIG),
        ("LIMIT", "x", RefusedMessage.TOO_BIG),
        ("OVERQUOTA", "Quota exceeded", RefusedMessage.OVER_QUOTA),
        (None, "Quota exceeded (mailbox for user is full)", RefusedMessage.OVER_QUOTA),
        (None, "Message contains NUL characters", RefusedMessage.NUL),
        (None, "Message contains invalid header", RefusedMessage.HEADER),
        (None, "Can't save a zero byte message.", RefusedMessage.EMPTY),
        (None, "Command Argument Error. 11", RefusedMessage.OTHER),
        ("overquota x", "", RefusedMessage.OVER_QUOTA),
    ],
)
def test_a_refused_message_has_a_named_reason(code: str | None, text: str, meaning: RefusedMessage) -> None:
    assert refused_message(code, text) is meaning
