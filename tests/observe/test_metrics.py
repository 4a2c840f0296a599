"""Each metric once, labels bounded, and one page for all processes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mailferry.observe import metrics
from mailferry.observe.metrics_dir import RESERVED_OCTETS, VARIABLE, share_metrics_in

ROOT = Path(__file__).parents[2]

PROMISED = {
    "mailferry_accounts": {"state"},
    "mailferry_logins_total": {"protocol", "side", "verdict"},
    "mailferry_login_seconds": set(),
    "mailferry_sessions": {"protocol", "side"},
    "mailferry_relayed_bytes_total": {"direction"},
    "mailferry_source_checks_total": {"provider", "verdict"},
    "mailferry_guesses_held_total": set(),
    "mailferry_password_pushes_total": {"backend", "result"},
    "mailferry_copied_messages_total": set(),
    "mailferry_copied_bytes_total": set(),
    "mailferry_skipped_messages_total": {"reason"},
    "mailferry_copy_pass_seconds": set(),
    "mailferry_copy_queue": set(),
    "mailferry_cutovers_total": {"result"},
    "mailferry_freeze_seconds": set(),
    "mailferry_late_messages_total": set(),
    "mailferry_backend_up": {"side"},
    "mailferry_windows_ending": {"days"},
    "mailferry_domains_in_clear": set(),
    "mailferry_notices_total": {"audience", "result"},
}
"""The product's interface: names and labels that dashboards rely on."""


def test_every_promised_metric_is_declared_once_under_its_name_and_labels() -> None:
    declared = {metric.name: set(metric.labels) for metric in metrics.ALL}
    assert len(declared) == len(metrics.ALL)
    assert {**PROMISED, "mailferry_build_info": {"version", "python"}} == declared


def test_the_page_of_metrics_explains_each_with_its_labels() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    explained = {}
    for line in text.splitlines():
        found = re.match(r"\| `(mailferry_\w+)(?:\{([\w,]+)\})?` \|", line)
        if found:
            explained[found[1]] = set(found[2].split(",")) if found[2] else set()
    assert explained == {metric.name: set(metric.labels) for metric in metrics.ALL}


@pytest.mark.hazard("T36")
@given(st.text(max_size=50))
def test_a_closed_label_never_takes_what_a_stranger_typed(typed: str) -> None:
    assert metrics.Closed("a", "b").admit(typed) in {"a", "b", metrics.OTHER}


@pytest.mark.hazard("T36")
def test_an_open_label_takes_short_names_and_not_too_many() -> None:
    label = metrics.Open()
    assert label.admit("netease_qiye") == "netease_qiye"
    assert label.admit("zhang@example.com") == metrics.OTHER
    assert label.admit("a" * 41) == metrics.OTHER
    values = {label.admit(f"name{number}") for number in range(10_000)}
    assert len(values) == metrics.MOST_NAMES
    assert label.admit("netease_qiye") == "netease_qiye"


def test_labels_are_given_all_or_it_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="labels are"):
        metrics.LOGINS.add(protocol="imap")


@pytest.mark.hazard("T36")
def test_ten_thousand_users_leave_no_trace_in_the_page() -> None:
    for number in range(10_000):
        metrics.LOGINS.add(protocol=f"u{number}@a.test", side="source", verdict="accepted")
    page = metrics.render().decode()
    assert "@" not in page.replace("# HELP", "")
    lines = [line for line in page.splitlines() if line.startswith("mailferry_logins_total")]
    assert len(lines) <= 5 * 3 * 3 + 1


def test_the_page_can_be_parsed_and_takes_further_collectors() -> None:
    class Further:
        def collect(self):
            from prometheus_client.core import GaugeMetricFamily

            yield GaugeMetricFamily("mailferry_further", "More.", value=3)

    metrics.tell_build("0.1.0")
    families = {f.name: f for f in text_string_to_metric_families(metrics.render([Further()]).decode())}
    assert families["mailferry_further"].samples[0].value == 3
    assert families["mailferry_build_info"].samples[0].labels["version"] == "0.1.0"


CHILD = """
import os, sys
from pathlib import Path
from mailferry.observe.metrics_dir import share_metrics_in
if sys.argv[2] == "first":
    share_metrics_in(Path(sys.argv[1]))
from mailferry.observe import metrics
def child(number):
    pid = os.fork()
    if pid == 0:
        metrics.COPIED_MESSAGES.add(number)
        metrics.SESSIONS.move(number, protocol="imap", side="source")
        metrics.COPY_QUEUE.put(number)
        metrics.FREEZE_SECONDS.took(number)
        metrics.LOGINS.add(protocol="imap", side="source", verdict="accepted")
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
dead = [child(2), child(3)]
print(metrics.render().decode())
print("=====")
for pid in dead:
    metrics.forget_process(pid)
print(metrics.render().decode())
"""


def sample(page: str, name: str) -> float | None:
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else None


def test_all_processes_are_one_page_and_the_dead_leave_their_counts_only(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": ""}
    environ.pop("PROMETHEUS_MULTIPROC_DIR")
    ran = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", CHILD, str(tmp_path / "metrics"), "first"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    alive, later = ran.stdout.split("=====")
    session = 'mailferry_sessions{protocol="imap",side="source"}'
    assert sample(alive, "mailferry_copied_messages_total") == 5
    assert sample(alive, session) == 5
    assert sample(alive, "mailferry_copy_queue") == 3
    assert sample(alive, "mailferry_freeze_seconds_count") == 2
    login = 'mailferry_logins_total{protocol="imap",side="source",verdict="accepted"}'
    assert sample(alive, login) == 2
    assert sample(later, "mailferry_copied_messages_total") == 5
    assert sample(later, "mailferry_freeze_seconds_count") == 2
    assert sample(later, login) == 2
    assert sample(later, session) is None
    assert not sample(later, "mailferry_copy_queue")
    for page in (alive, later):  # a name without a series is there with its kind
        heads = re.findall(r"^# TYPE (\S+) (\w+)$", page, re.MULTILINE)
        assert sorted(heads) == sorted((metric.name, metric.kind) for metric in metrics.ALL)
        assert len(list(text_string_to_metric_families(page.strip() + "\n"))) == len(metrics.ALL)


def test_naming_the_shared_folder_too_late_tells_the_caller_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert not share_metrics_in(tmp_path / "metrics")
    assert share_metrics_in(tmp_path / "metrics")


ROOMY = """
import os, sys
from pathlib import Path
from mailferry.observe.metrics_dir import reserve_for_this_process, share_metrics_in
assert share_metrics_in(Path(sys.argv[1]))
from mailferry.observe import metrics
pid = os.fork()
if pid == 0:
    reserve_for_this_process(os.getppid())
    metrics.COPIED_MESSAGES.add(5)
    os._exit(0)
os.waitpid(pid, 0)
held = {p.name: (p.stat().st_size, p.stat().st_blocks * 512) for p in Path(sys.argv[1]).glob(f"*_{pid}.db")}
metrics.forget_process(pid)
left = {p.name: p.stat().st_size for p in Path(sys.argv[1]).glob(f"*_{pid}.db")}
print(repr((pid, held, left, "mailferry_copied_messages_total 5.0" in metrics.render().decode())))
"""


@pytest.mark.hazard("D19")
def test_a_process_writes_its_numbers_only_where_the_disk_has_room_for_them(tmp_path: Path) -> None:
    """A hole in a mapped file on a full disk would end the process by SIGBUS, with all its sessions."""
    done = subprocess.run(
        [sys.executable, "-c", ROOMY, str(tmp_path / "metrics")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pid, held, left, counted = ast.literal_eval(done.stdout)
    assert {name.removesuffix(f"_{pid}.db") for name in held} == {
        "counter",
        "histogram",
        "gauge_livemostrecent",
    }
    for size, allocated in held.values():
        assert size == RESERVED_OCTETS
        assert allocated >= RESERVED_OCTETS
    assert sum(left.values()) < 32 * 1024, "a dead process gives the room back"
    assert counted
