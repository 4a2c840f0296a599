"""How many pairs of connections copy one account side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailferry.app.copier import connections, one_by_one
from mailferry.config.settings import CopySettings
from mailferry.providers.loader import load_profiles

PROFILES = load_profiles()


@pytest.mark.parametrize(
    ("provider", "written", "usual", "single"),
    [
        ("dovecot", {}, 2, 4),
        ("gmail", {}, 2, 4),
        ("generic", {}, 2, 2),
        ("tencent_exmail", {}, 2, 2),
        ("exchange_onprem", {}, 2, 2),
        ("dovecot", {"connections_per_account": 2}, 2, 2),
        ("dovecot", {"connections_per_account": 8}, 8, 8),
        ("dovecot", {"connections_per_source": 20}, 2, 2),
        ("dovecot", {"connections_per_source": 1}, 1, 1),
    ],
)
def test_a_target_that_takes_one_message_at_a_time_gets_more_pairs_where_the_source_is_known_to_bear_them(
    provider: str, written: dict[str, int], usual: int, single: int
) -> None:
    settings, profile = CopySettings(**written), PROFILES[provider]
    assert (connections(settings, profile), one_by_one(settings, profile)) == (usual, single)


def test_half_of_what_the_source_bears_is_left_to_the_user() -> None:
    for most in range(1, 20):
        profile = replace(PROFILES["dovecot"], max_connections=most)
        assert one_by_one(CopySettings(), profile) <= max(2, most // 2)
