"""The demo as a whole, and each sabotage, which must make it fail at the claim that it breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mailferry.lab.quirks import PROVIDERS
from mailferry.lab.sabotage import SABOTAGES
from mailferry.lab.story import Terms, WrongTerms, rehearse
from tests.kit import debian

AT_ONCE = {"wrong-side"}
"""The sabotage that every run tries; the others are slow ones."""

BROKEN_CLAIM = {
    "lose": "wang@example.test: 61 messages with the same bytes",
    "twice": "wang@example.test: 63 messages with the same bytes",
    "flags": "wang@example.test: 62 messages with the same bytes",
    "uidl": "UIDLs are unchanged and in the same order",
    "password": "the old password of wang@example.test opens the new host itself",
    "wrong-side": "wang@example.test (POP3) is served by the new host",
}


def tell(terms: Terms) -> tuple[int, str]:
    lines: list[str] = []
    status = rehearse(terms, lines.append)
    log = terms.folder / "serve.log"
    if log.exists():
        print(log.read_text()[-8000:])
    return status, "\n".join(lines)


def small(folder: Path, **choices: object) -> Terms:
    return Terms(folder, messages=60, **choices)  # type: ignore[arg-type]


def test_the_story_holds(tmp_path: Path) -> None:
    stayed = []
    lines: list[str] = []
    status = rehearse(Terms(tmp_path), lines.append, lambda: stayed.append(True))
    text = "\n".join(lines)
    assert status == 0, text + (tmp_path / "serve.log").read_text()[-8000:]
    assert "claims were checked and hold" in text
    assert "BROKEN" not in text
    assert stayed == [True]


@pytest.mark.parametrize(
    "kind", [kind if kind in AT_ONCE else pytest.param(kind, marks=pytest.mark.slow) for kind in SABOTAGES]
)
def test_each_sabotage_makes_the_story_fail(tmp_path: Path, kind: str) -> None:
    status, text = tell(small(tmp_path, sabotage=kind))
    broken = [line for line in text.splitlines() if "[BROKEN]" in line]
    assert status == 1, text
    assert len(broken) == 1, text
    assert BROKEN_CLAIM[kind] in broken[0]


@pytest.mark.slow
def test_the_story_holds_with_a_providers_quirks(tmp_path: Path) -> None:
    status, text = tell(small(tmp_path, provider="netease_qiye"))
    assert status == 0, text


@pytest.mark.slow
@pytest.mark.parametrize("provider", sorted(set(PROVIDERS) - {"generic"}))
def test_the_story_holds_with_each_provider_that_can_be_moved(tmp_path: Path, provider: str) -> None:
    status, text = tell(small(tmp_path, provider=provider, quirks=("fetch_order", "list_status_lie")))
    assert status == 0, text


@pytest.mark.peer("dovecot")
def test_the_story_holds_with_two_real_dovecots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = debian.find("dovecot")
    if found.relocated:
        monkeypatch.setenv("MAILFERRY_DOVECOT", str(found.program))
    status, text = tell(small(tmp_path, dovecot=True))
    assert status == 0, text


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"sabotage": "lost"}, "write one of lose, twice"),
        ({"provider": "aol"}, "netease_qiye"),
        ({"provider": "m365"}, "no move to rehearse: Microsoft 365 cannot be moved by the users' passwords"),
        ({"quirks": ("pop3_lok",)}, "did you mean pop3_lock"),
        ({"dovecot": True, "quirks": ("pop3_lock",)}, "no quirks"),
    ],
)
def test_what_cannot_be_rehearsed_is_said_before_anything_starts(
    tmp_path: Path, choices: dict[str, object], said: str
) -> None:
    with pytest.raises(WrongTerms, match=said):
        rehearse(small(tmp_path, **choices), print)
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_cannot_start_ends_the_story_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILFERRY_COPY__QUIET_SECONDS", "never")
    status, text = tell(small(tmp_path))
    assert status == 1
    assert "The story cannot go on" in text
    assert "quiet_seconds" in text


def test_a_story_that_is_told_to_end_leaves_no_process_behind(tmp_path: Path) -> None:
    program = f"""
import subprocess
import sys
from pathlib import Path
from mailferry.lab.story import Terms, rehearse
rehearse(Terms(Path({str(tmp_path)!r}), messages=30), lambda line: print(line, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "served by the old host" in line:
                break
        started = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
        process.terminate()
        process.stdout.read()
        assert process.wait(60) == 143
    assert len(started.stdout.split()) >= 2
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert left.stdout.split() == []
