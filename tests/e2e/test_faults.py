"""What cannot be asked is never a wrong password: sources, targets and disks that fail under a real service."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.lab_service import DOMAIN, USER, LabService
from tests.kit import canary
from tests.kit.service import until

pytestmark = pytest.mark.timeout(300)

AWAY = "li@away.test"
CLOSED = "imap://127.0.0.1:1?tls=none"
CODES = {"imap": "[UNAVAILABLE] ", "pop3": "-ERR [SYS/TEMP] "}
WRONG = {"imap": "[AUTHENTICATIONFAILED] ", "pop3": "-ERR [AUTH] "}
PATIENCE_SECONDS = 90.0


def refusal(house: LabService, protocol: str, user: str, password: str) -> str:
    """Log in, expect to be turned away, and return the server's words."""
    try:
        if protocol == "imap":
            client = house.imap(password, user)
            client.logout()
        else:
            maildrop = house.pop3(password, user)
            maildrop.quit()
    except (imaplib.IMAP4.error, poplib.error_proto) as error:
        words: bytes = error.args[0]
        return words.decode()
    raise AssertionError(f"{user} was let in")


@dataclass
class Faults:
    """A service with sources that fail in different ways, and what was typed into it."""

    house: LabService
    typed: list[str]
    silent: dict[str, Future[str]]

    def turned_away(self, protocol: str, user: str, password: str | None = None) -> str:
        """Return how somebody is turned away; without a password of his own he types a canary."""
        word = password or self.canary()
        return refusal(self.house, protocol, user, word)

    def canary(self) -> str:
        """Return a password that nobody has, and remember it."""
        self.typed.append(canary.canary(f"c{len(self.typed)}").replace('"', "").replace("é", ""))
        return self.typed[-1]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    password = canary.canary("old").replace('"', "").replace("é", "")
    house = LabService(tmp_path_factory.mktemp("faults"), password=password, users=(USER, AWAY))
    with socket.socket() as silent, ThreadPoolExecutor(2) as waiting:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)  # it is connected to, and never says a word
        port = silent.getsockname()[1]
        old = house.lab.old.ports
        try:
            house.apply_domains(
                {"name": DOMAIN, "source": house.source("imap"), "source_pop3": house.source("pop3")},
                {"name": "closed.test", "source": CLOSED, "source_pop3": "pop3://127.0.0.1:1?tls=none"},
                {
                    "name": "silent.test",
                    "source": f"imap://127.0.0.1:{port}?tls=none",
                    "source_pop3": f"pop3://127.0.0.1:{port}?tls=none",
                },
                {
                    "name": "stranger.test",
                    "source": f"imaps://localhost:{old['imaps']}",
                    "source_pop3": f"pop3s://localhost:{old['pop3s']}",
                },
                {"name": "away.test", "source": house.source("imap"), "target": CLOSED},
            )
            house.service.start()
            made = Faults(house, [password], {})
            for protocol in ("imap", "pop3"):  # these wait for half a minute, and need not be waited for yet
                made.silent[protocol] = waiting.submit(
                    made.turned_away, protocol, "li@silent.test", made.canary()
                )
            yield made
        finally:
            house.close()


@pytest.mark.hazard("T5")
@pytest.mark.hazard("D20")
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.parametrize("domain", ["closed.test", "stranger.test"])
def test_a_source_that_cannot_be_asked_is_answered_as_temporary(
    faults: Faults, domain: str, protocol: str
) -> None:
    words = faults.turned_away(protocol, f"li@{domain}")
    assert words.startswith(CODES[protocol])
    assert "AUTH" not in words
    shown = faults.house.service.run("account", "show", f"li@{domain}", check=False)
    assert shown.returncode == 1, "somebody who was never let in has no account"


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_an_unknown_domain_is_refused_as_a_wrong_password_is(faults: Faults, protocol: str) -> None:
    unknown = faults.turned_away(protocol, "li@nowhere.test")
    assert unknown.startswith(WRONG[protocol])
    wrong = faults.turned_away(protocol, "li@old.test")
    assert wrong.startswith(unknown), "the same words, and Chinese ones behind them where the domain says so"


@pytest.mark.hazard("D19")
def test_a_login_while_somebody_keeps_the_database_locked_is_temporary(faults: Faults) -> None:
    house = faults.house
    with contextlib.closing(
        sqlite3.connect(house.service.state_dir / "mailferry.db", isolation_level=None)
    ) as db:
        db.execute("BEGIN IMMEDIATE")
        words = faults.turned_away("imap", USER, house.password)
        assert words.startswith(CODES["imap"])
        db.execute("ROLLBACK")
    house.imap().logout()


@pytest.mark.hazard("D20")
def test_who_has_moved_needs_no_source_any_more(faults: Faults) -> None:
    house = faults.house
    house.imap().logout()
    until(lambda: house.service.show(USER)["phase"] == "SWITCHED", PATIENCE_SECONDS, "the move")
    gone = ("--source", CLOSED, "--source-pop3", "pop3://127.0.0.1:1?tls=none")
    house.service.run("domain", "set", DOMAIN, *gone)
    client = house.imap()
    assert client.select("INBOX")[0] == "OK"
    client.logout()
    maildrop = house.pop3()
    assert maildrop.stat()[0] > 0
    maildrop.quit()
    # a password that the target does not know might be one that was changed at the source meanwhile
    assert faults.turned_away("imap", USER).startswith(CODES["imap"])


@pytest.mark.hazard("D21")
def test_a_target_that_is_down_keeps_nobody_from_his_mail_and_the_copy_waits(faults: Faults) -> None:
    house = faults.house

    def waits() -> bool:
        shown = house.service.show(AWAY)
        return shown["last_run"]["cause"] == "target_down"

    house.imap(user=AWAY).logout()
    until(waits, PATIENCE_SECONDS, "the copy waits for the target")
    client = house.imap(user=AWAY)
    assert client.select("INBOX")[0] == "OK"
    client.logout()
    shown = house.service.show(AWAY)
    assert (shown["phase"], shown["state"]) == ("PRECOPY", "in_progress")
    assert shown["last_run"]["next_retry_at"] is not None
    assert shown["last_run"]["advice"]["en"]
    back = f"imap://127.0.0.1:{house.lab.new.ports['imap']}?tls=none"
    house.service.run("domain", "set", "away.test", "--target", back)
    house.service.run("account", "retry", AWAY)
    until(lambda: house.service.show(AWAY)["phase"] == "SWITCHED", PATIENCE_SECONDS, "the copy goes on")
    assert house.lab.old.fingerprint(AWAY) == house.lab.new.fingerprint(AWAY)


@pytest.mark.hazard("D20")
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_a_source_that_says_nothing_is_answered_as_temporary_in_the_end(
    faults: Faults, protocol: str
) -> None:
    assert faults.silent[protocol].result(PATIENCE_SECONDS).startswith(CODES[protocol])


@pytest.mark.hazard("T31")
def test_each_login_is_one_line_of_the_log_and_no_password_is_anywhere(faults: Faults) -> None:
    for future in faults.silent.values():
        future.exception(PATIENCE_SECONDS)
    house = faults.house
    lines = house.service.log.read_text().splitlines()
    assert not [line for line in lines if not line.startswith("20")], "each line begins with its time"
    for cause in ("server_down", "tls_error", "unknown_user"):
        assert any(" login " in line and f"cause={cause}" in line for line in lines), cause
    locked = "another process has been writing"  # what a copier meets while a test here keeps the database
    assert not [line for line in lines if " error " in line and locked not in line]
    pids = [pid for role in ("proxy", "copier", "web") for pid in house.service.workers(role)]
    assert len(pids) == 3
    assert canary.search_processes(pids, faults.typed) == []
    assert canary.search_files(house.service.directory, faults.typed) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[LabService]:
    """A service whose state directory is a disk of its own with a few megabytes."""
    house = LabService(tmp_path)
    state = house.service.state_dir
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(state)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        house.close()
        pytest.skip(f"only root can mount a small disk here: {mounted.stderr.decode().strip()}")
    try:
        yield house
    finally:
        house.close()
        subprocess.run(["umount", str(state)], check=True)


@pytest.mark.hazard("D19")
def test_a_disk_that_fills_up_loses_no_session_and_nothing_that_was_known(small_disk: LabService) -> None:
    house, service = small_disk, small_disk.service
    house.apply_domains()
    service.start()
    before = {role: service.workers(role) for role in ("proxy", "copier", "web")}
    house.imap().logout()
    until(lambda: service.show(USER)["phase"] == "SWITCHED", PATIENCE_SECONDS, "the move")
    reading = house.imap()
    reading.select("INBOX")
    filler = service.state_dir / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    for _ in range(3):  # who has moved is served; who would have to be written down is told to come again
        house.imap().logout()
        assert refusal(house, "imap", "new@old.test", "x").startswith(CODES["imap"])
    assert reading.fetch("1", "(UID)")[0] == "OK"
    reading.logout()
    told = service.run("domain", "pause", DOMAIN, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert "the disk is full; free space on its file system" in told.stderr
    assert {role: service.workers(role) for role in before} == before
    filler.unlink()
    service.run("domain", "pause", DOMAIN)
    assert service.show(USER)["phase"] == "SWITCHED"
    assert refusal(house, "imap", "new@old.test", "x").startswith(WRONG["imap"])
    assert "Traceback" not in service.log.read_text()


@pytest.mark.hazard("D19")
def test_a_service_that_starts_on_a_full_disk_says_so_and_leaves(small_disk: LabService) -> None:
    service = small_disk.service
    with (service.state_dir / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    done = service.run("serve", check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr
    assert str(service.state_dir) in done.stderr
