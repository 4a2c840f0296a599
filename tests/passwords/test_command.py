"""The site's own program: what it is told, what it may answer, and how long it may take."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest
from twisted.internet.defer import DeferredList, ensureDeferred

import mailferry
from mailferry.model.access import Secret
from mailferry.model.causes import Unavailable
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.command import Command
from mailferry.passwords.schemes import UnfitPassword
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.canary import canary, search
from tests.passwords.beds import PROGRAM, new

USER = "u@a.test"
TELLS = """
import json, os, sys
from pathlib import Path
place = Path(sys.argv[1])
place.joinpath("told").write_bytes(sys.stdin.buffer.read())
place.joinpath("around").write_text(json.dumps([sys.argv, dict(os.environ), os.getcwd()]))
place.joinpath("descriptors").write_text(" ".join(sorted(os.listdir("/proc/self/fd"))))
"""


def command(tmp_path: Path, threads: WorkThreads, how: str = "", **options: object) -> Command:
    users = tmp_path / "users"
    if not users.exists():
        users.write_text(f"{USER}\t{{PLAIN}}old\n")
    argv = [sys.executable, "-I", "-S", str(PROGRAM), str(users), how]
    return Command(argv, threads=threads, **{"seconds": 10.0, **options})


@pytest.mark.hazard("T25")
@pytest.mark.hazard("T31")
@pytest.mark.parametrize("hashed", [False, True])
async def test_nothing_secret_stands_anywhere_but_on_standard_input(
    tmp_path: Path, threads: WorkThreads, monkeypatch: pytest.MonkeyPatch, hashed: bool
) -> None:
    monkeypatch.setenv("MAILFERRY_PASSWORDS__SQL__URL", "postgresql://u:a secret of the service@h/d")
    word = canary()
    argv = [sys.executable, "-I", "-S", "-c", TELLS, str(tmp_path)]
    backend = Command(argv, seconds=10.0, threads=threads, hashed=hashed, create=True)
    told = NewPassword("{X}hash", Secret(word.encode()))
    assert await backend.push("-u; $(id)@a.test", told, expected=None) is PushResult.DONE
    wanted = {"hash": "{X}hash"} if hashed else {"password": word}
    said = json.loads((tmp_path / "told").read_bytes())
    assert said == {"address": "-u; $(id)@a.test", "create": True, **wanted}
    arguments, environment, folder = json.loads((tmp_path / "around").read_text())
    assert (arguments, folder) == (["-c", str(tmp_path)], "/")
    assert set(environment) <= {"PATH", "LC_ALL", "LC_CTYPE"}
    assert (tmp_path / "descriptors").read_text() == "0 1 2 3"  # 3 is the folder that it lists
    assert not list(search((tmp_path / "around").read_bytes(), [word, word.split()[1]]))


@pytest.mark.hazard("T31")
def test_no_other_part_of_the_service_starts_programs() -> None:
    """What the test above sees of a program is all that there is to see; the lab is no part of the service."""
    starts = re.compile(
        r"\b(subprocess\.|os\.(?:exec|spawn|posix_spawn|system|popen)|spawnProcess|create_subprocess)"
    )
    source = Path(mailferry.__file__).parent
    files = [file for file in source.rglob("*.py") if file.relative_to(source).parts[0] != "lab"]
    found = {str(file.relative_to(source)) for file in files if starts.search(file.read_text())}
    assert found == {"passwords/command.py", "cli/serve.py"}  # the latter starts itself again


async def test_octets_that_json_cannot_carry_need_a_program_that_takes_hashes(
    tmp_path: Path, threads: WorkThreads
) -> None:
    octets = "密码".encode("gb18030")
    with pytest.raises(UnfitPassword, match="let it take hashes"):
        await command(tmp_path, threads).push(USER, new("{X}h", octets), expected=None)
    assert await command(tmp_path, threads, hashed=True).push(USER, new("{X}h", octets), expected=None)
    assert (tmp_path / "users").read_text() == f"{USER}\t{{X}}h\n"


async def test_a_password_against_the_rules_of_the_new_host_is_refused_by_policy(
    tmp_path: Path, threads: WorkThreads
) -> None:
    with pytest.raises(UnfitPassword, match="does not take"):
        await command(tmp_path, threads).push(USER, new("{X}h", b"against the rules"), expected=None)


@pytest.mark.hazard("T31")
@pytest.mark.parametrize(("how", "said"), [("fails", "exit status 75"), ("deaf", "exit status 69")])
async def test_a_failure_is_told_by_its_number_and_nothing_that_was_printed_is_shown(
    tmp_path: Path, threads: WorkThreads, capfd: pytest.CaptureFixture[str], how: str, said: str
) -> None:
    word = canary()
    with pytest.raises(Unavailable, match=said) as caught:
        await command(tmp_path, threads, how).push(USER, new("{X}h", word.encode()), expected=None)
    shown = capfd.readouterr()
    seen = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r} {shown.out} {shown.err}"
    assert not list(search(seen.encode(), [word, word.split()[1]]))


async def test_a_program_that_is_not_there_is_a_target_that_cannot_be_asked(threads: WorkThreads) -> None:
    backend = Command(["/nowhere/set-password"], seconds=1.0, threads=threads)
    with pytest.raises(Unavailable, match="No such file"):
        await backend.push(USER, new("{X}h"), expected=None)


def running_with(word: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if word.encode() in words and state != "Z":
                found.append(int(folder.name))
    return found


@pytest.mark.hazard("D23")
@pytest.mark.parametrize("how", ["slow", "spawns"])
async def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(
    tmp_path: Path, threads: WorkThreads, how: str
) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"not done within 0\.7 s"):
        await command(tmp_path, threads, how, seconds=0.7).push(USER, new("{X}h"), expected=None)
    assert time.monotonic() - began < 5
    assert not running_with(str(tmp_path / "users"))


async def test_a_slow_place_does_not_hold_up_what_else_runs_in_threads(
    tmp_path: Path, threads: WorkThreads
) -> None:
    apart = threads.apart()
    slow = command(tmp_path, apart, "slow", seconds=1.5)
    running = [slow.push(USER, new("{X}h"), expected=None) for _ in range(4)]
    pushes = [ensureDeferred(one) for one in running]
    began = time.monotonic()
    assert await threads.run(lambda: "soon") == "soon"
    assert time.monotonic() - began < 1
    assert [ok for ok, _ in await DeferredList(pushes, consumeErrors=True)] == [False] * 4


async def test_nobody_waits_for_ever_for_a_place_that_does_not_answer(threads: WorkThreads) -> None:
    from twisted.internet import reactor

    impatient = WorkThreads(reactor, 1, patience=0.2)
    with pytest.raises(Unavailable, match=r"within 0\.2 s"):
        await impatient.run(lambda: time.sleep(0.6))
    impatient.stop()
