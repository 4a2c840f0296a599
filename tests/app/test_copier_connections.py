"""How many pairs of connections copy one account side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailferry.app.copier import connections
from mailferry.config.settings import CopySettings
from mailferry.providers.loader import load_profiles

PROFILES = load_profiles()


@pytest.mark.parametrize(
    ("provider", "written", "most"),
    [
        ("dovecot", {}, 5),
        ("gmail", {}, 5),
        ("generic", {}, 2),
        ("tencent_exmail", {}, 2),
        ("exchange_onprem", {}, 2),
        ("dovecot", {"connections_per_account": 2}, 2),
        ("dovecot", {"connections_per_account": 8}, 8),
        ("dovecot", {"connections_per_source": 20}, 2),
        ("dovecot", {"connections_per_source": 1}, 1),
    ],
)
def test_a_copy_takes_more_pairs_where_the_source_is_known_to_bear_them_and_nobody_named_a_number(
    provider: str, written: dict[str, int], most: int
) -> None:
    assert connections(CopySettings(**written), PROFILES[provider]) == most


def test_half_of_what_the_source_bears_is_left_to_the_user() -> None:
    for bears in range(4, 20):
        profile = replace(PROFILES["dovecot"], max_connections=bears)
        assert connections(CopySettings(), profile) <= bears // 2
