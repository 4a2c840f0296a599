"""Human text of servers as str: decoded by trial, and made safe to show in one line."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories shown escaped: controls, formats (direction overrides), separators of lines."""


def decode_text(octets: bytes) -> str:
    """Decode a server's wording: UTF-8, then GB18030 (Tencent and NetEase send GBK), then Latin-1."""
    for charset in ("utf-8", "gb18030"):
        try:
            return octets.decode(charset)
        except UnicodeDecodeError:
            continue
    return octets.decode("latin-1")


def visible(text: str) -> str:
    """Return `text` in one line, with control, escape and direction characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode("ascii")
