"""Whether pages are dark or light: as the reader's system says, unless the switch at their foot was used.

The choice is kept in a cookie and stands on the page's own element, so that no script is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

COOKIE = "mailferry-look"
QUERY = "look"
AUTO = "auto"
LOOKS = (AUTO, "light", "dark")


def chosen_look(query: Mapping[str, str]) -> str | None:
    """Return what the switch of a page asks for, None when it was not used."""
    word = query.get(QUERY, "")
    return word if word in LOOKS else None


def look_of(query: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
    """Return `light` or `dark` where that was chosen, None where the system decides."""
    word = chosen_look(query) or cookies.get(COOKIE, "")
    return word if word in LOOKS and word != AUTO else None
