"""docs/providers.md is what the profiles say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailferry.lab.quirks import PROVIDERS
from mailferry.model.profile import FACTS
from mailferry.providers.loader import load_profiles
from tests.life.source_flows import FLOWS
from tests.providers.page import CLIENT_TEST, DEMO_TEST, FLOW_TEST, PAGE, ROOT, SOURCES, page, readers
from tests.providers.page_words import MEANINGS

READ_TWICE = {"auth_order": 2, "exact_sizes": 2}
"""Each login dialogue, of IMAP and of POP3, reads the order for itself; sizes are believed, or not, by the
estimate of `domain test` and by the copy."""

ADVICE = {"checklist", "codes", "imap_hosts", "pop3_hosts", "smtp_hosts", "password_login", "login_forms"} | {
    "after_dns_change",
    "visibility_window_days",
}
"""Told to administrators wherever they look; no behaviour."""


def test_the_page_is_made_from_the_profiles() -> None:
    assert PAGE.read_text() == page(), "stale: run python -m tests.providers.page"


@pytest.mark.parametrize("test", [FLOW_TEST, CLIENT_TEST, DEMO_TEST])
def test_the_tests_that_the_page_names_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


def test_every_profile_has_a_lab_host_where_it_can_be_moved_and_a_flow() -> None:
    profiles = load_profiles()
    assert {name for name, profile in profiles.items() if profile.password_login} == set(PROVIDERS)
    assert {flow.provider for flow in FLOWS} == set(profiles)


def test_every_fact_is_explained() -> None:
    assert set(MEANINGS) == set(FACTS)


def test_each_oddity_is_read_in_at_most_one_place() -> None:
    often = {fact: len(files) for fact, files in readers().items() if len(files) > 1 and fact not in ADVICE}
    assert often == READ_TWICE


def test_what_the_program_acts_upon_is_found() -> None:
    where = readers()
    assert where["send_id"] == ["login/imap_backend.py"]
    assert where["max_connections"] == ["app/copier.py"]
    assert where["mx_patterns"] == ["providers/detection.py"]
    assert "cli/domain_detect.py" in where["password_login"]


def test_nothing_asks_which_provider_it_is() -> None:
    ids = "|".join(set(load_profiles()) - {"generic"})
    asks = re.compile(rf"""(profile_id|provider)\s*(==|!=|in)\s*[({{\["']+({ids})\b""")
    asking = [
        str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.py") if asks.search(path.read_text())
    ]
    assert asking == []
    assert asks.search('if domain.provider == "qq":')


def test_the_example_of_a_sites_profile_is_one(tmp_path: Path) -> None:
    example = ROOT / "conf/providers.d"
    profiles = load_profiles(str(example))
    ours = load_profiles()
    assert {name for name in profiles if profiles[name] != ours.get(name)} == {"tencent_exmail"}
    shown = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert shown is not None
    (tmp_path / "mine.toml").write_text(shown[1])
    assert load_profiles(str(tmp_path))["mine"].max_connections == 6
