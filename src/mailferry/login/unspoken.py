"""What servers say of a failed login, without the password that they were sent.

Some repeat the line that they do not like, and their words go to the log, the store and the console.
"""

from __future__ import annotations

import base64

from mailferry.model.access import Credentials
from mailferry.wire.server_text import decode_text, visible

FEWEST_OCTETS = 6
"""A shorter password stands by chance in many sentences; what is blotted out there would tell it."""
BLOT = "***"


def unspoken(text: str, sent: Credentials) -> str:
    """Return `text` with every form blotted out in which the password of `sent` may have been sent."""
    password = sent.password.reveal()
    if len(password) < FEWEST_OCTETS:
        return text
    names = (sent.authzid.encode(), sent.authcid.encode())
    escaped = password.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    forms = {
        *(visible(decode_text(octets)) for octets in (password, escaped)),
        *(base64.b64encode(octets).decode("ascii") for octets in (password, b"\0".join((*names, password)))),
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, BLOT)
    return text
