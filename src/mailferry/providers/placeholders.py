"""Texts that a source writes itself in place of a message that it cannot give (Exchange)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from mailferry.model.profile import Profile
from mailferry.wire.server_text import decode_text

MOST_OCTETS = 64 * 1024
"""A placeholder is short: what is longer is a message."""
_LOOKED_AT = 8 * 1024
"""Octets in which its words stand."""

PlaceholderTest = Callable[[bytes], bool]


def placeholder_test(profile: Profile) -> PlaceholderTest | None:
    """Return what tells a placeholder by its first octets; None where the profile knows of none."""
    return _test(profile.placeholder_patterns)


@lru_cache(maxsize=64)
def _test(patterns: tuple[str, ...]) -> PlaceholderTest | None:
    if not patterns:
        return None
    found = [re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns]

    def is_placeholder(octets: bytes) -> bool:
        text = decode_text(octets[:_LOOKED_AT])
        return any(pattern.search(text) for pattern in found)

    return is_placeholder
