"""Log text that cannot lie: control characters shown, addresses hidden.

What a client or server sent may hold line ends, terminal escapes and characters that turn the
direction of writing; a log reader must see that they were there and must not obey them.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from functools import lru_cache

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_HEAD, _TAIL = 3000, 3000
SHORT = _HEAD + _TAIL
"""Texts of so many characters are shown whole."""
NUMBERS = frozenset({int, float})
as_it_is = re.compile(rf"[!#-<>?A-~]{{1,{SHORT}}}").fullmatch
"""Matches what most values are: short text of printable ASCII, without blanks, quotes, `=` and `@`. It is never changed."""
_ADDRESS = re.compile(r"[^\s@<>\"'(),;:=\[\]{}]{1,64}@(?:[\w-]{1,63}\.)*[\w-]{1,63}")
_HASH_DIGITS = 10
MOST_KNOWN = 4096
"""Of so many addresses it is remembered how they are shown: who logs in has several lines."""


def one_line(text: str) -> str:
    """Return `text` with control, format and unassigned characters escaped.

    Of more than 6,000 characters the middle is left out: a traceback says most at its end.
    """
    if len(text) > SHORT:
        text = f"{text[:_HEAD]} ... {len(text) - _HEAD - _TAIL} characters ... {text[-_TAIL:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")


class AddressShade:
    """Shows an address as its first two letters and a keyed hash.

    Two lines about one account carry the same text; without the key nobody can test a guess.
    """

    __slots__ = ("_key", "_known")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known = lru_cache(maxsize=MOST_KNOWN)(self._shade)

    def __repr__(self) -> str:
        return "AddressShade(***)"

    def shown(self, address: str) -> str:
        """Return for example `zh~1f0c9ab2d4` for zhang@example.com."""
        return self._known(address)

    def _shade(self, address: str) -> str:
        name = address.strip().casefold()
        octets = name.encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, octets, "sha256").hex()
        local = name.partition("@")[0]
        return f"{one_line(local[:2])}~{digest[:_HASH_DIGITS]}"

    def over(self, text: str) -> str:
        """Return `text` with every mail address in it shaded, such as a server puts into its replies."""
        return _ADDRESS.sub(lambda found: self.shown(found[0]), text) if "@" in text else text
