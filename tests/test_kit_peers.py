"""Each real peer starts, serves, and goes; the wrappers of mail clients do what they say."""

from __future__ import annotations

import contextlib
import imaplib
import json
import os
import poplib
import re
import select
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.kit import daemon, debian, peers
from tests.kit.peer_curl import curl
from tests.kit.peer_fetchmail import Fetchmail
from tests.kit.peer_mbsync import Mbsync

USER, PASSWORD = "u1@old.test", 'pw:1 "quoted\\"'
START = Callable[..., Any]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[trustme.CA, dict[str, Path]]:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    files = {"certificate": tmp_path / "certificate.pem", "key": tmp_path / "key.pem"}
    files["certificate"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(files["key"])
    return authority, files


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.peer("dovecot")
@pytest.mark.parametrize("location", ["maildir", "sdbox", "mdbox"])
def test_dovecot_takes_mail_and_serves_it_over_both_protocols(start_peer: START, location: str) -> None:
    dovecot = start_peer("dovecot", users={USER: PASSWORD}, location=location)
    with imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"]) as imap:
        imap.login(USER, PASSWORD)
        assert imap.append("INBOX", r"(\Seen)", "", b"Subject: one\r\n\r\none\r\n")[0] == "OK"
    with smtplib.LMTP("127.0.0.1", dovecot.ports["lmtp"]) as lmtp:
        lmtp.sendmail("x@example.test", [USER], b"Subject: two\r\n\r\ntwo\r\n")
    dovecot.save(USER, b"Subject: three\n\n\xff\n")
    pop3 = poplib.POP3("127.0.0.1", dovecot.ports["pop3"])
    pop3.user(USER)
    pop3.pass_(PASSWORD)
    assert pop3.stat()[0] == 3
    assert b"\xff" in pop3.retr(3)[1]
    pop3.quit()


@pytest.mark.peer("dovecot")
def test_a_changed_password_is_seen_at_the_next_login(start_peer: START) -> None:
    dovecot = start_peer("dovecot", users={USER: "old", "u2@old.test": "stays"})
    dovecot.set_password(USER, b"\xc4\xe3\xba\xc3:new")
    with imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"]) as imap:
        with pytest.raises(imaplib.IMAP4.error):
            imap.login(USER, "old")
        imap.authenticate("PLAIN", lambda _: f"\0{USER}\0".encode() + b"\xc4\xe3\xba\xc3:new")
    dovecot.remove_user(USER)
    assert [line.split(b":")[0] for line in dovecot.users_path.read_bytes().splitlines()] == [b"u2@old.test"]


@pytest.mark.peer("dovecot")
def test_a_master_user_acts_for_others_by_name_and_by_authzid(start_peer: START) -> None:
    dovecot = start_peer("dovecot", users={USER: PASSWORD}, master=("boss", "m"))
    dovecot.save(USER, b"Subject: x\n\nx\n")
    by_name = imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"])
    by_name.login(f"{USER}*boss", "m")
    assert by_name.select()[1] == [b"1"]
    by_name.logout()
    by_authzid = imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"])
    by_authzid.authenticate("PLAIN", lambda _: f"{USER}\0boss\0m".encode())
    assert by_authzid.select()[1] == [b"1"]
    by_authzid.logout()
    with (
        imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"]) as own,
        pytest.raises(imaplib.IMAP4.error),
    ):
        own.login("boss", "m")


@pytest.mark.peer("dovecot")
def test_dovecot_speaks_tls_on_all_its_ports(
    start_peer: START, certificate: tuple[trustme.CA, dict[str, Path]]
) -> None:
    authority, files = certificate
    dovecot = start_peer("dovecot", users={USER: PASSWORD}, plaintext_login=False, **files)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    stranger = socket.create_connection(("127.0.0.1", dovecot.ports["imap"]), source_address=("127.0.0.2", 0))
    with stranger:
        assert b"LOGINDISABLED" in stranger.recv(1000)
    with imaplib.IMAP4("localhost", dovecot.ports["imap"]) as imap:
        imap.starttls(context)
        imap.login(USER, PASSWORD)
    with imaplib.IMAP4_SSL("localhost", dovecot.ports["imaps"], ssl_context=context) as imaps:
        imaps.login(USER, PASSWORD)
    pop3 = poplib.POP3("localhost", dovecot.ports["pop3"])
    pop3.stls(context)
    pop3.user(USER)
    pop3.pass_(PASSWORD)
    pop3.quit()
    poplib.POP3_SSL("localhost", dovecot.ports["pop3s"], context=context).quit()


@pytest.mark.peer("dovecot")
def test_uidl_format_and_a_restart_keep_what_pop3_clients_know(start_peer: START) -> None:
    dovecot = start_peer("dovecot", users={USER: PASSWORD}, uidl_format="old-%u-%v")
    dovecot.save(USER, b"Subject: x\n\nx\n")

    def listed() -> list[bytes]:
        pop3 = poplib.POP3("127.0.0.1", dovecot.ports["pop3"])
        pop3.user(USER)
        pop3.pass_(PASSWORD)
        lines: list[bytes] = pop3.uidl()[1]
        pop3.quit()
        return lines

    before = listed()
    assert before[0].startswith(b"1 old-1-")
    ports, pid = dict(dovecot.ports), dovecot.pid
    dovecot.kill()
    assert gone(pid)
    dovecot.start()
    assert dovecot.ports == ports
    assert listed() == before
    dovecot.stop(keep=True)
    dovecot.start()
    assert listed() == before


@pytest.mark.peer("dovecot")
def test_stopping_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    dovecot = peers.start("dovecot", tmp_path, users={USER: PASSWORD})
    with socket.create_connection(("127.0.0.1", dovecot.ports["imap"])) as session:
        session.sendall(f"a LOGIN {USER} {json.dumps(PASSWORD)}\r\nb SELECT INBOX\r\n".encode())
        seen = b""
        while b"b OK" not in seen:
            seen += session.recv(4096)
        pids = [dovecot.pid, *daemon.descendants(dovecot.pid)]
        assert len(pids) > 3
        dovecot.stop()
        assert all(gone(pid) for pid in pids)
        assert not dovecot.directory.exists()
        with contextlib.suppress(ConnectionResetError):
            while session.recv(4096):
                pass


@pytest.mark.peer("dovecot")
def test_a_killed_test_run_takes_its_peers_along(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\nfrom tests.kit import peers\n"
        f"peer = peers.start('dovecot', pathlib.Path({str(tmp_path)!r}))\n"
        "print(peer.pid, peer.directory, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=debian.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as runner:
        assert runner.stdout is not None
        pid, directory = runner.stdout.readline().decode().split()
        assert not gone(int(pid))
        runner.kill()
    if not gone(int(pid)):
        watch = os.pidfd_open(int(pid))
        assert select.select([watch], [], [], 8)[0]
        os.close(watch)
    shutil.rmtree(directory)


def test_a_daemon_that_dies_shows_its_log(tmp_path: Path) -> None:
    failing = daemon.Daemon(["/bin/sh", "-c", "echo the reason; exit 3"], log=tmp_path / "log")
    with pytest.raises(daemon.DaemonDied, match="the reason"):
        failing.wait_ready(lambda: False)


def test_a_daemon_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    deaf = daemon.Daemon(
        ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do read x; done"], log=tmp_path / "log"
    )
    deaf.wait_ready(lambda: "up" in deaf.log_text())
    deaf.stop()
    assert gone(deaf.pid)
    deaf.stop()


@pytest.mark.peer("postgresql")
def test_postgresql_gives_fresh_databases_and_survives_a_kill(start_peer: START) -> None:
    psycopg = pytest.importorskip("psycopg")
    server = start_peer("postgresql", durable=True)
    url = server.fresh_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (x int)")
        connection.execute("INSERT INTO t VALUES (1)")
    server.kill()
    server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert server.fresh_database() != url


@pytest.mark.peer("dovecot", "fetchmail")
def test_fetchmail_with_keep_fetches_each_message_once(start_peer: START, tmp_path: Path) -> None:
    dovecot = start_peer("dovecot", users={USER: "pw1"})
    for number in range(3):
        dovecot.save(USER, b"Subject: %d\n\n\xffbody\n" % number)
    fetchmail = Fetchmail(tmp_path / "fetchmail", port=dovecot.ports["pop3"], user=USER, password="pw1")
    assert fetchmail.fetched_by(fetchmail.command().run_now())
    assert fetchmail.fetched == [b"Subject: %d\n\n\xffbody\n" % number for number in range(3)]
    assert not fetchmail.fetched_by(fetchmail.command().run_now())
    dovecot.save(USER, b"Subject: late\n\nx\n")
    assert fetchmail.fetched_by(fetchmail.command().run_now())
    assert len(fetchmail.fetched) == 4


@pytest.mark.peer("dovecot", "mbsync")
def test_mbsync_pulls_every_mailbox(
    start_peer: START, tmp_path: Path, certificate: tuple[trustme.CA, dict[str, Path]]
) -> None:
    authority, files = certificate
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    dovecot = start_peer("dovecot", users={USER: "pw1"}, **files)
    dovecot.create_mailbox(USER, "收件箱", "Sent")
    dovecot.save(USER, b"Subject: a\n\n\xffa\n")
    dovecot.save(USER, b"Subject: b\n\nb\n", "收件箱")
    mbsync = Mbsync(
        tmp_path / "mbsync",
        host="localhost", port=dovecot.ports["imap"], user=USER, password="pw1", ca=tmp_path / "ca.pem",
    )  # fmt: skip
    for _ in range(2):
        ran = mbsync.command().run_now()
        assert ran.code == 0, ran.text
        assert mbsync.messages() == {
            "INBOX": [b"Subject: a\n\n\xffa\n"],
            "&ZTZO9nux-": [b"Subject: b\n\nb\n"],
        }


@pytest.mark.peer("dovecot", "curl")
async def test_curl_logs_in_without_stopping_the_reactor(start_peer: START) -> None:
    dovecot = start_peer("dovecot", users={USER: PASSWORD})
    dovecot.save(USER, b"Subject: a\n\na\n")
    listed = await curl(f"pop3://127.0.0.1:{dovecot.ports['pop3']}/", USER, PASSWORD).run()
    assert (listed.code, listed.out) == (0, b"1 17\r\n")
    searched = await curl(
        f"imap://127.0.0.1:{dovecot.ports['imap']}/INBOX", USER, PASSWORD, request="UID SEARCH ALL"
    ).run()
    assert (searched.code, searched.out) == (0, b"* SEARCH 1\r\n")
    refused = await curl(f"pop3://127.0.0.1:{dovecot.ports['pop3']}/", USER, "wrong").run()
    assert refused.code == 67


def test_a_command_that_hangs_is_killed() -> None:
    from tests.kit.run_process import Command

    ran = Command(("/bin/sh", "-c", "echo started; sleep 100")).run_now(seconds=0.2)
    assert ran.code == -signal.SIGKILL
    assert ran.out == b"started\n"


def test_a_missing_peer_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = debian.Recipe("usr/bin/no-such", ("no-such-package",), ("/usr/bin/no-such",), ())
    monkeypatch.setattr(debian, "RECIPES", {"ghost": absent})
    monkeypatch.setattr(debian, "CACHE", tmp_path)
    assert debian.missing(["ghost"]) == ["ghost"]
    with pytest.raises(debian.PeerMissing, match="apt-get install no-such-package"):
        debian.find("ghost")


def test_each_peer_tells_the_version_of_its_own_package() -> None:
    present = [debian.find(name) for name in debian.RECIPES if name not in debian.missing()]
    versions = {found.name: found.version for found in present}
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in versions.values()), versions
    assert "roundcube" not in versions or not versions["roundcube"].startswith("8.")  # PHP's
