"""Times as the faces show them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(seconds: float | None) -> str | None:
    """Return seconds since 1970 as ISO 8601 in UTC to the second, such as 2026-01-31T08:30:00Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
