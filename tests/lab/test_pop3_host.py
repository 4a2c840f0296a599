from __future__ import annotations

import base64
import poplib
import socket
from pathlib import Path
from typing import Any

import pytest

from mailferry.lab.mail_generator import MailGenerator
from mailferry.lab.premises import LabAccount
from tests.lab.rehearsal import PASSWORD, USER, blocking, certificates, hosted, pop3

DOTS = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend"


async def test_poplib_walks_through_the_maildrop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poplib, "_MAXLINE", 100_000)
    async with hosted() as host:
        store = host.mailstore(USER)
        MailGenerator(2).fill(store, 60)
        inbox = list(store.inbox.messages.values())

        def walk() -> None:
            client = pop3(host)
            assert client.stat() == (len(inbox), sum(len(m.octets) for m in inbox))
            assert client.uidl()[1] == [b"%d %s" % (n, m.uidl) for n, m in enumerate(inbox, 1)]
            assert client.uidl(2) == b"+OK 2 %s" % inbox[1].uidl
            assert client.list()[1] == [b"%d %d" % (n, len(m.octets)) for n, m in enumerate(inbox, 1)]
            for number, message in enumerate(inbox, 1):
                body = b"\r\n".join(client.retr(number)[1])
                assert body == message.octets.removesuffix(b"\r\n")
            head = inbox[0].octets.partition(b"\r\n\r\n")[0]
            assert b"\r\n".join(client.top(1, 0)[1]) == head + b"\r\n"
            client.noop()
            client.quit()

        await blocking(walk)


async def test_lines_that_begin_with_a_dot_and_a_missing_last_line_end_survive() -> None:
    async with hosted() as host:
        host.mailstore(USER).deliver(DOTS)

        def read() -> Any:
            client = pop3(host)
            answer = client.retr(1)[1], client.top(1, 2)[1]
            client.quit()
            return answer

        assert await blocking(read) == (DOTS.split(b"\r\n"), [b"Subject: dots", b"", b".", b".."])


async def test_deletions_count_at_quit_only() -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        for number in range(3):
            inbox.add(b"%d\r\n" % number)

        def delete(*, leave: str) -> Any:
            client = pop3(host)
            client.dele(2)
            with pytest.raises(poplib.error_proto):
                client.retr(2)
            seen = client.stat()[0]
            if leave == "rset":
                client.rset()
            if leave == "cut":
                client.close()
            else:
                client.quit()
            return seen

        for leave, left in (("cut", 3), ("rset", 3), ("quit", 2)):
            assert await blocking(delete, leave=leave) == 2
            assert len(inbox.messages) == left


async def test_auth_plain_and_login_and_a_password_with_blanks(tmp_path: Path) -> None:
    files, context = certificates(tmp_path)
    async with hosted(tls=files, plaintext_login=False) as host:

        def enter(kind: str) -> bytes:
            client = poplib.POP3("localhost", host.pop3_port)
            with pytest.raises(poplib.error_proto, match="Plaintext"):
                client.user(USER)
            client.stls(context)
            if kind == "PASS":
                client.user(USER)
                answer = client.pass_(PASSWORD.decode())
            elif kind == "PLAIN":
                payload = base64.b64encode(b"\0" + USER.encode() + b"\0" + PASSWORD).decode()
                answer = client._shortcmd(f"AUTH PLAIN {payload}")
            else:
                assert client._shortcmd("AUTH LOGIN") == b"+ " + base64.b64encode(b"Username:")
                client._shortcmd(base64.b64encode(USER.encode()).decode())
                answer = client._shortcmd(base64.b64encode(PASSWORD).decode())
            client.quit()
            return answer

        for kind in ("PASS", "PLAIN", "LOGIN"):
            assert (await blocking(enter, kind)).startswith(b"+OK")

        def implicit() -> bytes:
            client = poplib.POP3_SSL("localhost", host.pop3s_port, context=context)
            client.user(USER)
            answer = client.pass_(PASSWORD.decode())
            client.quit()
            return answer

        assert (await blocking(implicit)).startswith(b"+OK")
        assert len(host.premises.logins(USER, "pop3")) == 4


async def test_an_account_without_pop3_and_a_wrong_password_are_refused() -> None:
    accounts = {
        USER: LabAccount(PASSWORD),
        "imap@example.test": LabAccount(PASSWORD, protocols=frozenset({"imap"})),
    }
    async with hosted(accounts=accounts) as host:

        def enter(user: str, password: str) -> str:
            client = poplib.POP3("127.0.0.1", host.pop3_port)
            client.user(user)
            with pytest.raises(poplib.error_proto) as caught:
                client.pass_(password)
            client.close()
            return str(caught.value)

        assert "[AUTH] Authentication failed" in await blocking(enter, USER, "wrong")
        assert "disabled" in await blocking(enter, "imap@example.test", PASSWORD.decode())


async def test_commands_sent_at_once_are_answered_in_order() -> None:
    async with hosted() as host:
        host.mailstore(USER).deliver(b"one\r\n")

        def talk() -> bytes:
            with socket.create_connection(("127.0.0.1", host.pop3_port), 5) as raw:
                raw.sendall(
                    b"USER wang@example.test\r\nPASS old secret\r\nSTAT\r\nNONSENSE\r\nRETR 1\r\nQUIT\r\n"
                )
                heard = b""
                while piece := raw.recv(4096):
                    heard += piece
            return heard

        assert (await blocking(talk)).split(b"\r\n")[3:] == [
            b"+OK 1 5", b"-ERR Unknown command.", b"+OK 5 octets", b"one", b".", b"+OK Logging out.", b"",
        ]  # fmt: skip


async def test_a_service_can_be_switched_off_alone() -> None:
    async with hosted() as host:
        await host.switch_off("pop3")
        with pytest.raises(OSError, match="refused"):
            await blocking(pop3, host)
        host.switch_on("pop3")
        client = await blocking(pop3, host)
        await blocking(client.quit)
