"""The benches themselves: they run, they name what is missing, and they notice a copy that is not whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import copy, crash, machine, page, proxy
from bench.completeness import NotComplete, check_counts
from bench.crash_account import TARGETS
from bench.crash_tally import FAULTS, Book, Tally, fault_of, report
from bench.data_sets import SETS, DataSet, Mail, date_of, file_name
from bench.goals import GOALS
from bench.measuring import Cost, Program, RunFailed, measured
from bench.ratios import ratio
from bench.rounds import FIRST, START_UP, Figures, Taken
from bench.servers import FULL
from bench.tables import section
from tests.kit import debian

ROOT = Path(__file__).parents[2]


def run(*words: str, seconds: float = 150) -> subprocess.CompletedProcess[str]:
    """Run a bench as make does."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.mark.peer("dovecot", "mbsync", "getmail6")
@pytest.mark.slow
def test_the_copy_bench_measures_itself_and_its_peers_on_small_sets() -> None:
    ran = run("bench.copy", "--quick", "--rounds", "1", "--set", "A,P", "--targets", "full")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    by_imap, by_pop3 = ran.stdout.split("\nSet A\n")
    for name in ("mailferry", "mbsync", "dsync"):
        for step in ("first copy", "no change", "1 % changed"):
            assert f"full: {name}: {step}: " in by_imap
    for name in ("mailferry", "getmail6", "dsync"):
        assert f"full: {name}: first copy: " in by_pop3
    rows = [line.split("|")[1].split()[0] for line in by_pop3.splitlines() if line.startswith("| ")]
    assert {"mailferry", "mbsync", "dsync", "getmail6"} <= set(rows)
    assert "failed" not in ran.stdout


@pytest.mark.slow
@pytest.mark.hazard("D1")
@pytest.mark.peer("dovecot")
def test_the_crash_bench_kills_and_finds_nothing_wrong() -> None:
    ran = run("bench.crash", "--kills", "3", "--seed", "7", "--lanes", "2", "--targets", FULL)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "seed 7\n" in ran.stdout
    total = next(line for line in ran.stdout.splitlines() if line.startswith("| **all**"))
    cells = [cell.strip() for cell in total.strip("|").split("|")]
    assert int(cells[1]) >= 3
    assert int(cells[4]) > 0
    assert cells[-len(FAULTS) :] == ["0"] * len(FAULTS)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert ratio([4.0, 9.0, 100.0], [1.0, 3.0, 10.0]) == 4.0


def test_a_bench_whose_load_generator_was_at_its_own_limit_gives_no_ratio() -> None:
    assert ratio([4.0], [1.0], generator_busy=0.9) == 4.0
    assert ratio([4.0], [1.0], generator_busy=0.91) is None


def test_figures_are_not_written_down_from_a_part_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--quick"], ["--rounds", "2"], ["--peers", "mailferry"], ["--targets", "full"]):
        with pytest.raises(SystemExit):
            copy.arguments(["--write", *words])
    with pytest.raises(SystemExit):
        crash.arguments(["--write", "--kills", "299"])
    for words in (["--quick"], ["--rounds", "2"], ["--peers", "nginx"], ["--steps", "login"]):
        with pytest.raises(SystemExit):
            proxy.arguments(["--write", *words])
    assert "--write wants" in capsys.readouterr().err
    assert copy.arguments(["--write"]).write
    assert proxy.arguments(["--write"]).write


def test_a_peer_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAPSYNC", raising=False)
    monkeypatch.setattr(debian, "find", _nothing_found)
    versions, missing = copy.present(["mailferry", "mbsync", "imapsync"])
    assert list(versions) == ["mailferry"]
    assert set(missing) == {"mbsync", "imapsync"}


def _nothing_found(name: str) -> debian.Found:
    raise debian.PeerMissing(f"{name} is missing")


def test_the_page_has_a_place_for_every_part() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for part in (*(f"copy {name}" for name in SETS), "crash", proxy.PART):
        assert text.count(f"<!-- {part} -->") == 1
        assert text.count(f"<!-- end of {part} -->") == 1


def test_a_part_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\n<!-- b -->\n<!-- end of b -->\nafter\n")
    page.put("a", r"new \1", file)
    page.put("a", r"newer \1", file)
    assert file.read_text() == (
        "before\n<!-- a -->\n\nnewer \\1\n\n<!-- end of a -->\n<!-- b -->\n<!-- end of b -->\nafter\n"
    )
    with pytest.raises(page.NoSuchPart):
        page.put("c", "text", file)


def test_the_same_message_is_made_again_and_new_mail_is_another() -> None:
    twins = DataSet("T", 8, 2, 1_000, 2_000, twins=2)
    mail = Mail(twins)
    messages = [mail.message(number) for number in range(10)]
    assert messages == [Mail(twins).message(number) for number in range(10)]
    assert messages[:4] == messages[4:8]
    assert len({*messages}) == 6
    assert all(twins.mailbox(number) == twins.mailbox(number + 4) for number in range(4))
    assert all(500 <= len(message) <= 2_000 for message in messages)


def test_a_file_name_tells_both_sizes() -> None:
    name = file_name(3, b"a\nb\n", "S")
    assert name == f"{date_of(3)}.M3P1.bench,S=4,W=6:2,S"


def test_a_copy_with_a_message_too_few_is_not_complete(tmp_path: Path) -> None:
    for side in ("source", "target"):
        for folder in ("cur", "new", ".Work/cur"):
            (tmp_path / side / "Maildir" / folder).mkdir(parents=True)
        (tmp_path / side / "Maildir/cur/1:2,S").touch()
        (tmp_path / side / "Maildir/.Work/cur/2").touch()
    (tmp_path / "target/Maildir/cur/1:2,S").rename(tmp_path / "target/Maildir/new/1")
    check_counts("somebody", tmp_path / "source", tmp_path / "target")
    (tmp_path / "target/Maildir/.Work/cur/2").unlink()
    with pytest.raises(NotComplete, match=r"somebody: .*'Work': \(1, 0\)"):
        check_counts("somebody", tmp_path / "source", tmp_path / "target")


def test_a_program_is_measured_with_its_own_memory_only() -> None:
    ballast = bytearray(60_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    small = measured(Program(("/bin/sh", "-c", "exit 0")))
    assert small.peak < 30_000_000
    large = measured(Program((sys.executable, "-c", "b = bytearray(80_000_000); b[::4096] = b'x' * 19532")))
    assert large.peak > 80_000_000
    assert large.cpu > 0
    with pytest.raises(RunFailed, match=r"ended with 3\nwhy"):
        measured(Program(("/bin/sh", "-c", "echo why; exit 3")))


def test_a_section_shows_medians_ratios_and_goals() -> None:
    figures = Figures(SETS["A"], 60_000_000)
    for took, other in ((1.0, 5.0), (3.0, 6.0), (2.0, 8.0)):
        figures.add(FULL, "mailferry", START_UP, Taken(Cost(0.0, 1.0, 90_000_000), 0.0, 0.0))
        figures.add(FULL, "mailferry", FIRST, Taken(Cost(took, 0.5, 95_000_000), 0.1, 1.0))
        figures.add(FULL, "mbsync", FIRST, Taken(Cost(other, 0.2, 7_000_000), 0.2, 3.0))
    figures.add(FULL, "dsync", FIRST, Taken(Cost(6.0, 0.8, 8_000_000), 0.2, 0.0))
    text = section(figures, {"mailferry": "1", "mbsync": "2", "dsync": "3"}, "make it", "a machine", 3)
    assert "| mailferry 1 | 2.00 (1.00 to 3.00) | 2,500 | 30 | 0.100 |" in text
    assert "| 4.0x |" in text
    assert "| first copy, times mbsync | 3.5 | 5 | 4 | floor |" in text
    assert "| CPU s for 1,000 messages | 0.1 | 0.04 | 0.1 | floor |" in text
    assert "part of dsync's, which saves the mail itself | 0.5 | 0.5 | 0.625 | **missed** |" in text
    assert "| CPU of a first copy, part of mbsync's |  | 1 | 2.5 | not yet |" in text
    assert "Most at work: the target's processes." in text
    figures.leave_out(FULL, "mbsync", "it stumbled")
    figures.leave_out(FULL, "dsync", "so did it")
    text = section(figures, {"mailferry": "1", "mbsync": "2"}, "make it", "a machine", 3)
    assert "x |" not in text
    assert "mbsync failed and is left out (target: full): it stumbled" in text


def test_a_goal_knows_in_which_direction_it_lies() -> None:
    more, less = GOALS[0], next(goal for goal in GOALS if not goal.more_is_better)
    assert [more.met(value) for value in (3.4, 3.5, 5.0)] == ["**missed**", "floor", "ambition"]
    assert less.floor is not None
    assert [less.met(value) for value in (less.floor * 1.01, less.floor, less.ambition)] == [
        "**missed**", "floor", "ambition",
    ]  # fmt: skip


def test_every_fault_of_the_oracle_is_counted() -> None:
    lines = ["lost: a", "twice: b", "foreign or altered: c", "flags: x became y: d"]
    assert [fault_of(line) for line in lines] == list(FAULTS)
    book = Book(5, {kind: Tally() for kind in TARGETS})
    book.tallies[FULL].kills = 5
    book.tallies[TARGETS[1]].faults.update(map(fault_of, lines))
    assert book.enough
    assert book.faults.total() == 4
    last = report(book, 1, 2.0, "a machine").splitlines()[-1]
    assert last == "| **all** | 5 | 0 | 0 | 0 | 1 | 1 | 1 | 1 |"


def test_the_machine_s_line_names_an_ext4_that_has_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shown in ("ext4/vda", "ext4/loop0", "jbd2/loop0-8"):
        (tmp_path / shown).mkdir(parents=True)
    monkeypatch.setattr(machine, "EXT4", tmp_path / "ext4")
    monkeypatch.setattr(machine, "JOURNALS", tmp_path / "jbd2")
    told = {name: machine.has_journal(name) for name in ("vda", "loop0", "not-shown", "")}
    assert told == {"vda": False, "loop0": True, "not-shown": True, "": True}


def test_the_machine_s_line_names_the_file_system() -> None:
    assert machine.file_system(Path("/proc/self")) == "proc"
