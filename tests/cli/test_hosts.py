"""`check`, `domain test` and `account verify` against mail hosts that really answer."""

from __future__ import annotations

import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import Connection

from mailferry.lab.rehearsal_hosts import RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from mailferry.store import accounts, mailboxes, skipped
from mailferry.store.database import Database
from tests.cli.place import Place
from tests.cli.program import Program
from tests.kit.line_host import LineHost

USER = "wang@old.example"
PASSWORD = "canary-71c0 old"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with RunningLab(
        LabPlan(str(tmp_path_factory.mktemp("lab")), [RehearsalUser(USER, PASSWORD, 30)])
    ) as hosts:
        yield hosts


@pytest.fixture
def place(tmp_path: Path, program: Program, lab: RunningLab, stores: Path) -> Place:
    """A configuration whose target is the lab's new host, and a domain on its old one."""
    made = Place(tmp_path, program)
    shutil.copy(stores / "empty.db", made.database)
    (tmp_path / "master").write_text(lab.master[1])
    made.tables["target"] = {
        "imap": f"imap://127.0.0.1:{lab.new.ports['imap']}?tls=none",
        "pop3": f"pop3://127.0.0.1:{lab.new.ports['pop3']}?tls=none",
        "login": "dovecot-master",
        "master_user": lab.master[0],
        "master_password": {"file": str(tmp_path / "master")},
    }
    made.write()
    old = lab.old.ports
    made.well(
        "domain", "add", "old.example",
        "--source", f"imaps://localhost:{old['imaps']}?ca={lab.tls}/authority.pem",
        "--source-pop3", f"pop3s://localhost:{old['pop3s']}?ca={lab.tls}/authority.pem",
    )  # fmt: skip
    return made


def signs(place: Place, *words: str, status: int, **more: str) -> dict[str, list[str]]:
    """Run a command with --json and return its lines: sign -> what was looked at."""
    said = place.run(*words, "--json", **more)
    assert said.status == status, str(said)
    assert PASSWORD not in str(said)
    found: dict[str, list[str]] = {"ok": [], "note": [], "fault": [], "you": []}
    for line in said.json:
        assert set(line) == {"sign", "what", "found", "fix", "fix_zh", "what_zh", "found_zh"}
        told = line["fix"] or "." in line["what"]  # a key of the configuration says it itself
        assert line["sign"] == "ok" or told, "what is not well comes with what to do"
        found[line["sign"]].append(line["what"])
    return found


def test_a_check_of_everything_is_well(place: Place, lab: RunningLab) -> None:
    found = signs(place, "check", "--account", USER, status=0)
    assert found["fault"] == []
    assert {
        "configuration",
        "database",
        "target.imap",
        "target.pop3",
        "target.login",
        "target.octets",
        "target.exactly_once",
        "target.flags",
        "passwords.backend",
    } <= set(found["ok"])
    assert found["note"] == ["certificate"]
    told = place.run("check", "--account", USER)
    assert "works; the target offers" in told.out
    assert lab.master[1] not in told.out


def test_a_check_names_each_fault_with_its_fix(place: Place, lab: RunningLab) -> None:
    (place.folder / "master").write_text("not the master's")
    assert signs(place, "check", "--account", USER, status=1)["fault"] == ["target.login"]
    place.tables["target"] |= {
        "imap": "imap://127.0.0.1:1?tls=none",
        "pop3": f"pop3s://localhost:{lab.new.ports['pop3s']}",
    }
    place.listeners.clear()
    place.users.unlink()
    place.write()
    found = signs(place, "check", status=1)
    assert set(found["fault"]) == {
        "passwords.passwd-file.path",
        "listen",
        "target.imap",
        "target.pop3",
        "passwords.backend",
    }
    shutil.rmtree(place.state)
    found = signs(place, "check", status=1)
    assert "service.state_dir" in found["fault"]
    assert not place.state.exists()


def test_a_check_before_the_first_start_says_what_will_be_made(place: Place) -> None:
    place.database.unlink()
    found = signs(place, "check", status=0)
    assert "database" in found["note"]


def test_a_domain_test_logs_in_looks_around_and_tries_a_made_up_password(
    place: Place, lab: RunningLab
) -> None:
    words = ("domain", "test", "old.example")
    before = lab.old.logins(USER)
    found = signs(place, *words, status=0)
    yours = ["after the DNS change", "checklist imap_on", "checklist dns_waits", "checklist outlook"]
    assert found == {"ok": ["source imap", "source pop3"], "note": ["login"], "fault": [], "you": yours}
    assert lab.old.logins(USER) == before
    found = signs(place, *words, "--account", USER, status=0, stdin=f"{PASSWORD}\n")
    assert found["note"] == found["fault"] == []
    assert {
        "source imap login", "source imap ID", "source imap", "source imap messages", "source pop3 login",
        "source pop3 messages", "source imap password check", "completeness", "estimate", "checklist imap_on",
    } <= set(found["ok"])  # fmt: skip
    assert "checklist dns_waits" in found["you"]
    assert lab.old.logins(USER) == before + 2, "the made-up password must not have been accepted"
    told = place.run(*words, "--account", USER, stdin=f"{PASSWORD}\n")
    assert "30 messages" in told.out
    assert "about 30 messages, " in told.out
    assert "Switch IMAP and POP3 on" in told.out
    assert "在原邮箱后台为全员开启 IMAP 和 POP3 服务" in told.out
    assert "pulling may stop after the DNS change" in told.out
    assert place.well("account", "list", "--json").json == []


@pytest.mark.hazard("T5")
def test_a_domain_test_names_what_is_wrong(place: Place, lab: RunningLab) -> None:
    words = ("domain", "test", "old.example", "--account", USER)
    assert signs(place, *words, status=1, stdin="wrong\n")["fault"] == [
        "source imap login",
        "source pop3 login",
    ]
    place.well("domain", "set", "old.example", "--source", f"imaps://localhost:{lab.old.ports['imaps']}")
    said = place.run(*words, stdin=f"{PASSWORD}\n")
    assert said.status == 1
    assert "fault source imap login: tls_error: " in said.out
    assert said.fault == "the old host cannot be moved from as things stand"
    place.well("domain", "set", "old.example", "--source", "imaps://127.0.0.1:1")
    assert "fault source imap login: server_down: " in place.run(*words, stdin=f"{PASSWORD}\n").out


class AnythingGoes(LineHost):
    """An IMAP server that lets everybody in: a static password, a catch-all, a test account."""

    GREETING = b"come in"
    REPLIES: ClassVar[dict[bytes, bytes]] = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
        b"LIST": b'* LIST () "/" INBOX\r\n',
        b"STATUS": b"* STATUS INBOX (MESSAGES 0)\r\n",
        b"EXAMINE": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 1] .\r\n",
    }


@pytest.mark.hazard("T21")
def test_a_source_that_accepts_any_password_is_a_fault(place: Place) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), AnythingGoes) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            source = f"imap://127.0.0.1:{server.server_address[1]}?tls=none"
            place.well("domain", "add", "open.example", "--source", source)
            words = ("domain", "test", "open.example", "--account", "li@open.example")
            found = signs(place, *words, status=1, stdin=f"{PASSWORD}\n")
            told = place.run(*words, stdin=f"{PASSWORD}\n").out
        finally:
            server.shutdown()
            serving.join()
    assert found["fault"] == ["source imap password check"]
    assert "a made-up password is accepted" in told


@pytest.mark.hazard("D25")
def test_both_sides_of_an_account_are_compared(place: Place, lab: RunningLab) -> None:
    place.well("account", "import", "-", stdin=f"target,password\n{USER},{PASSWORD}\n")
    said = place.run("account", "verify", USER, "--json")
    assert said.status == 1
    assert said.fault == "the two sides differ"
    assert said.json["messages"] == 30
    assert said.json["equal"] is False
    assert len(said.json["differences"]) == 30
    told = place.run("account", "verify", USER, "--sample", "10%")
    assert told.status == 1
    assert "30 messages at the source" in told.out.splitlines()[-1]
    assert PASSWORD not in str(said) + str(told)


def test_skipped_messages_are_fetched_from_the_source_into_files(place: Place) -> None:
    place.well("account", "import", "-", stdin=f"target,password\n{USER},{PASSWORD}\n")
    missing = place.run("account", "verify", USER, "--sample", "1%", "--json").json["differences"]
    uid = next(one["uid"] for one in missing if one["mailbox"] == "INBOX")
    database = Database(f"sqlite:///{place.database}")

    def leave_out(conn: Connection) -> None:
        account = accounts.find(conn, USER)
        assert account is not None
        box = mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
        for number in (uid, 9999):
            skipped.note(conn, box.id, number, reason="refused", detail="NO")

    database.run_now("leave out", leave_out)
    database.close()
    folder = place.folder / "eml"
    said = place.run("account", "skipped", USER, "--eml", folder, "--json")
    assert said.status == 1
    assert said.fault == "messages that could not be had: 1"
    (file,) = folder.iterdir()
    assert [(one["uid"], one["file"]) for one in said.json["messages"]] == [(uid, str(file)), (9999, None)]
    assert said.json["messages"][1]["why"] == "the source does not give it any more"
    assert b"\r\n\r\n" in file.read_bytes()
    assert PASSWORD not in str(said)
    told = place.run("account", "skipped", USER, "--eml", folder).out.splitlines()
    assert told[0] == f"INBOX uid {uid}: {file}; has its file already"
    assert told[-1] == f"{USER}: 1 in {folder}, 1 could not be had"
