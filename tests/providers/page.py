"""docs/providers.md, made from the profiles: `python -m tests.providers.page` writes it anew."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mailferry.lab.behaviours import BEHAVIOURS, Behaviour
from mailferry.lab.quirks import PROVIDERS
from mailferry.model.causes import CAUSES
from mailferry.model.profile import FACTS, Profile
from mailferry.plan.refusal_context import AT_ONCE_SECONDS, WHOLE_DOMAIN
from mailferry.providers.detection import Evidence
from mailferry.providers.loader import load_profiles
from mailferry.providers.taxonomy import AFTER_CODES, BEFORE_CODES, CODES
from mailferry.store.domain_refusals import ENOUGH, MIXED_SECONDS
from tests.life.source_flows import FLOWS
from tests.providers.page_words import (
    BEHAVIOURS_INTRO,
    CAUSES_INTRO,
    CONTEXT,
    DETECTION,
    EVIDENCE,
    FACTS_INTRO,
    INTRO,
    MEANINGS,
    OWN,
    SYSTEMS_REMARK,
)

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src/mailferry"
PAGE = ROOT / "docs/providers.md"
FLOW_TEST = "tests/life/test_source_flows.py::test_a_user_of_such_a_host_is_moved"
CLIENT_TEST = "tests/lab/test_behaviours.py::test_a_client_of_another_make_meets_it"
DEMO_TEST = "tests/lab/test_story.py::test_the_story_holds_with_each_provider_that_can_be_moved"


def readers() -> dict[str, list[str]]:
    """Return fact -> the files that act upon it: those where it is an attribute of something called a profile."""
    found: dict[str, set[str]] = {fact: set() for fact in FACTS}
    for path in sorted(SOURCES.rglob("*.py")):
        if path.is_relative_to(SOURCES / "model") or path.name in {"loader.py", "values.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in found and _is_profile(node.value):
                found[node.attr].add(str(path.relative_to(SOURCES)))
    return {fact: sorted(files) for fact, files in found.items()}


def _is_profile(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id.endswith("profile")
    return isinstance(node, ast.Attribute) and node.attr.endswith("profile")


def page() -> str:
    """Return the whole page."""
    profiles = load_profiles()
    parts = [
        INTRO,
        _systems(profiles),
        SYSTEMS_REMARK.format(flow=FLOW_TEST, demo=DEMO_TEST),
        BEHAVIOURS_INTRO.format(client=CLIENT_TEST),
        _behaviours(),
        FACTS_INTRO,
        _facts(),
        OWN,
        DETECTION,
        _table(
            ("order", "evidence", "what it is"),
            ((n, f"`{e}`", EVIDENCE[e]) for n, e in enumerate(Evidence, 1)),
        ),
        CAUSES_INTRO,
        _causes(),
        "### Order of the rules",
        _rules(),
        "### Response codes",
        _table(("code", "cause"), ((f"`{code}`", f"`{cause}`") for code, cause in CODES.items())),
        CONTEXT.format(
            accounts=WHOLE_DOMAIN,
            minutes=int(AT_ONCE_SECONDS // 60),
            enough=ENOUGH,
            mixed=int(MIXED_SECONDS // 60),
        ),
        "## What is known of each system",
        "Facts that are not listed are unknown; the standard's behaviour holds for them.",
        *(_profile(profiles[name]) for name in sorted(profiles)),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    lines += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _systems(profiles: dict[str, Profile]) -> str:
    def row(profile: Profile) -> tuple[str, ...]:
        known = sum(profile.known(fact) for fact in FACTS)
        return (
            f"`{profile.profile_id}`",
            f"{profile.names['en']} / {profile.names['zh']}",
            "yes" if profile.password_login else "**no**",
            f"{known} of {len(FACTS)}",
            ", ".join(f"`{quirk}`" for quirk in sorted(PROVIDERS.get(profile.profile_id, ()))) or "-",
            str(sum(flow.provider == profile.profile_id for flow in FLOWS)),
        )

    columns = ("profile", "system", "moved by password", "facts known", "lab host: its quirks", "flows")
    return _table(columns, (row(profiles[name]) for name in sorted(profiles)))


def _behaviours() -> str:
    def row(behaviour: Behaviour) -> tuple[str, ...]:
        quirks = ", ".join(f"`{quirk}`" for quirk in behaviour.quirks)
        return str(behaviour.number), f"`{behaviour.name}`", behaviour.sentence, quirks

    return _table(("", "behaviour", "what the host does", "quirks"), map(row, BEHAVIOURS))


def _facts() -> str:
    where = readers()
    rows = (
        (f"`{fact}`", MEANINGS[fact], ", ".join(f"`{file}`" for file in where[fact]) or "-") for fact in FACTS
    )
    return _table(("fact", "what it says", "acted upon in"), rows)


def _causes() -> str:
    rows = (
        (f"`{cause.value}`", facts.actor.value, facts.answer.value, "yes" if facts.retries else "no")
        for cause, facts in CAUSES.items()
    )
    return _table(("cause", "who must act", "answered", "retried by itself"), rows)


def _rules() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        yield ("", "the profile's own rules", "")
        for rule in BEFORE_CODES:
            yield (f"`{rule.rule_id}`", f"`{rule.pattern.pattern}`", f"`{rule.cause.value}`")
        yield ("", "the response code, where there is one", "")
        for rule in AFTER_CODES:
            yield (f"`{rule.rule_id}`", f"`{rule.pattern.pattern}`", f"`{rule.cause.value}`")

    return _table(("rule", "what it looks for", "cause"), rows())


def _profile(profile: Profile) -> str:
    rows = (
        (
            f"`{fact}`",
            _shown(getattr(profile, fact)),
            profile.confidence[fact].value,
            profile.notes.get(fact, ""),
        )
        for fact in FACTS
        if profile.known(fact) and fact not in {"checklist", "error_rules"}
    )
    parts = [
        f"### {profile.profile_id}: {profile.names['en']} / {profile.names['zh']}",
        _table(("fact", "value", "confidence", "remark"), rows),
    ]
    if profile.error_rules:
        rules = (
            (
                f"`{r.rule_id}`",
                f"`{r.pattern}`",
                f"`{r.cause}`",
                "yes" if r.ambiguous else "no",
                r.confidence.value,
            )
            for r in profile.error_rules
        )
        parts.append(_table(("refusal", "what it looks for", "cause", "ambiguous", "confidence"), rules))
    steps = (f"- {step.en}\n  {step.zh} ({step.confidence.value})" for step in profile.checklist)
    return "\n\n".join([*parts, "Before the move:", "\n".join(steps)])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(f'`{one}`' for one in many)}" for key, many in value.items())
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value) or "none"
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page())
