from __future__ import annotations

import base64
import imaplib
import socket
from pathlib import Path
from typing import Any

import pytest

from mailferry.lab.host import LabHost
from mailferry.lab.mail_generator import MailGenerator
from tests.lab.rehearsal import PASSWORD, USER, blocking, certificates, hosted, imap

DATE = '"17-Jul-1996 02:44:25 -0700"'
MIME = (
    b"From: a@x\r\nTo: b@x\r\nSubject: two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>second\r\n--b--\r\n"
)


def talk(port: int, *lines: bytes, until: bytes) -> bytes:
    """Send raw lines one after the other's answer and return all that came up to the last one's tag."""
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        read = client.makefile("rb")
        heard = read.readline()
        client.sendall(b"".join(lines))
        while not heard.splitlines()[-1].startswith(until):
            line = read.readline()
            if not line:
                break
            heard += line
    return heard


async def test_imaplib_walks_through_mailboxes_and_messages() -> None:
    async with hosted() as host:

        def walk() -> None:
            client = imap(host)
            assert client.create('"a/b"')[0] == "OK"
            assert client.subscribe('"a/b"')[0] == "OK"
            assert client.lsub()[1] == [b'() "/" "a/b"']
            assert client.append("a/b", "(\\Seen $Forwarded)", DATE, MIME)[0] == "OK"
            assert client.append("nowhere", "", DATE, MIME)[1][0].startswith(b"[TRYCREATE]")
            assert client.select('"a/b"') == ("OK", [b"1"])
            answer = client.uid("FETCH", "1", "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")[1]
            assert answer[0][1] == MIME
            assert DATE.encode() in answer[0][0]
            assert b"(\\Seen $Forwarded)" in answer[0][0]
            assert client.copy("1", "INBOX")[0] == "OK"
            assert client.rename('"a/b"', "c")[0] == "OK"
            assert client.unselect()[0] == "OK"
            assert client.delete("c")[0] == "OK"
            assert client.status("INBOX", "(MESSAGES UNSEEN)")[1] == [b'"INBOX" (MESSAGES 1 UNSEEN 0)']
            client.logout()

        await blocking(walk)
        kept = next(iter(host.mailstore(USER).inbox.messages.values()))
        assert (kept.octets, kept.flags) == (MIME, frozenset({b"\\Seen", b"$Forwarded"}))
        assert kept.internal_date.isoformat() == "1996-07-17T02:44:25-07:00"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("BODY.PEEK[HEADER]", MIME[: MIME.index(b"--b\r\n")]),
        ("BODY.PEEK[HEADER.FIELDS (Subject To)]", b"To: b@x\r\nSubject: two\r\n\r\n"),
        ("BODY.PEEK[HEADER.FIELDS.NOT (Content-Type From To)]", b"Subject: two\r\n\r\n"),
        ("BODY.PEEK[TEXT]", MIME[MIME.index(b"--b\r\n") :]),
        ("BODY.PEEK[1]", b"first"),
        ("BODY.PEEK[2]", b"<p>second"),
        ("BODY.PEEK[2.MIME]", b"Content-Type: text/html\r\n\r\n"),
        ("BODY.PEEK[]<6.3>", b"a@x"),
        ("RFC822", MIME),
        ("RFC822.HEADER", MIME[: MIME.index(b"--b\r\n")]),
    ],
)
async def test_each_kind_of_body_is_fetched(item: str, expected: bytes) -> None:
    async with hosted() as host:
        host.mailstore(USER).deliver(MIME)

        def fetch() -> Any:
            client = imap(host)
            client.select()
            answer = client.fetch("1", f"({item})")[1]
            client.logout()
            return answer

        assert (await blocking(fetch))[0][1] == expected


async def test_reading_a_body_sets_seen_but_peeking_and_examining_do_not() -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        message = inbox.add(MIME)

        def read(read_only: bool, item: str) -> Any:
            client = imap(host)
            client.select(readonly=read_only)
            answer = client.fetch("1", item)
            client.logout()
            return answer

        for read_only, item in ((False, "BODY.PEEK[]"), (True, "BODY[]"), (False, "RFC822.HEADER")):
            await blocking(read, read_only, item)
            assert message.flags == frozenset()
        await blocking(read, False, "BODY[]")
        assert message.flags == {b"\\Seen"}


async def test_flags_are_stored_and_messages_expunged_by_uid() -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        for number in range(4):
            inbox.add(b"Subject: %d\r\n\r\n" % number)

        def work() -> Any:
            client = imap(host)
            client.select()
            client.uid("STORE", "2:3", "+FLAGS.SILENT", "(\\Deleted Blau)")
            client.uid("EXPUNGE", "3")
            client.store("1", "FLAGS", "(\\Flagged)")
            client.store("1", "-FLAGS", "(\\Flagged)")
            answer = client.uid("MOVE", "4", "INBOX")
            client.logout()
            return answer

        await blocking(work)
        assert {uid: set(m.flags) for uid, m in inbox.messages.items()} == {
            1: set(),
            2: {b"\\Deleted", b"Blau"},
            5: set(),
        }


async def test_close_expunges_and_examine_refuses_changes() -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        inbox.add(b"x", flags=[b"\\Deleted"])

        def close(read_only: bool) -> Any:
            client = imap(host)
            client.select(readonly=read_only)
            answer = client._simple_command("STORE", "1", "+FLAGS", "(\\Seen)")
            client.close()
            client.logout()
            return answer

        assert (await blocking(close, True))[0] == "NO"
        assert len(inbox.messages) == 1
        await blocking(close, False)
        assert len(inbox.messages) == 0


async def test_a_session_hears_of_new_changed_and_removed_messages() -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        for _ in range(3):
            inbox.add(b"x\r\n")

        def look(client: imaplib.IMAP4) -> Any:
            client.untagged_responses.clear()
            client.noop()
            return dict(client.untagged_responses)

        client = await blocking(imap, host)
        await blocking(client.select)
        inbox.add(b"new\r\n")
        inbox.reflag(1, [b"\\Seen"])
        inbox.remove([2])
        heard = await blocking(look, client)
        await blocking(client.logout)
        assert heard["EXPUNGE"] == [b"2"]
        assert heard["FETCH"] == [b"1 (UID 1 FLAGS (\\Seen))"]
        assert heard["EXISTS"] == [b"3"]


async def test_idle_tells_of_mail_at_once() -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        client = await blocking(imap, host)
        await blocking(client.select)

        def idle() -> bytes:
            client.send(b"i1 IDLE\r\n")
            return client.readline()

        assert (await blocking(idle)).startswith(b"+ ")
        inbox.add(b"news\r\n")
        assert await blocking(client.readline) == b"* 1 EXISTS\r\n"
        await blocking(client.readline)

        def done() -> bytes:
            client.send(b"DONE\r\n")
            answer = client.readline()
            client.logout()
            return answer

        assert await blocking(done) == b"i1 OK Idle completed.\r\n"
        assert inbox.watchers == []


@pytest.mark.parametrize(
    ("keys", "hits"),
    [
        ("ALL", b"1 2 3"),
        ("SEEN", b"2"),
        ("UNSEEN", b"1 3"),
        ("NOT SEEN", b"1 3"),
        ("OR SEEN 3", b"2 3"),
        ("(FLAGGED UNSEEN)", b"3"),
        ("UID 2:*", b"2 3"),
        ("KEYWORD blau", b"3"),
        ("SUBJECT two", b"2"),
        ("HEADER Subject thr", b"3"),
        ("LARGER 20", b"3"),
        ("TEXT xyz", b"1"),
        ("SINCE 1-Feb-2020", b"1 2 3"),
        ("BEFORE 1-Feb-2020", b""),
    ],
)
async def test_search_knows_the_keys_that_clients_use(keys: str, hits: bytes) -> None:
    async with hosted() as host:
        inbox = host.mailstore(USER).inbox
        inbox.add(b"Subject: one\r\n\r\nXyZ")
        inbox.add(b"Subject: two\r\n\r\n", flags=[b"\\Seen"])
        inbox.add(b"Subject: three\r\n\r\nlonger", flags=[b"\\Flagged", b"Blau"])

        def search() -> Any:
            client = imap(host)
            client.select()
            answer = client.search(None, keys)
            client.logout()
            return answer

        assert await blocking(search) == ("OK", [hits])


async def test_several_messages_go_in_one_append_with_literals_that_do_not_wait() -> None:
    async with hosted() as host:
        heard = await blocking(
            talk,
            host.imap_port,
            b'a LOGIN {17+}\r\nwang@example.test "old secret"\r\n',
            b'b APPEND INBOX (\\Seen) " 1-Jan-2020 00:00:00 +0800" {5+}\r\nfirst {6+}\r\nsecond\r\n',
            until=b"b ",
        )
        assert b"b OK [APPENDUID 1000 1:2]" in heard
        messages = list(host.mailstore(USER).inbox.messages.values())
        assert [m.octets for m in messages] == [b"first", b"second"]
        assert [m.flags for m in messages] == [{b"\\Seen"}, frozenset()]


async def test_list_gives_roles_status_and_children_as_asked() -> None:
    async with hosted() as host:
        store = host.mailstore(USER)
        store.create(b"Sent", role=b"\\Sent", subscribed=True)
        store.create(b"a/b")
        heard = await blocking(
            talk,
            host.imap_port,
            b'a LOGIN wang@example.test "old secret"\r\n',
            b'b LIST (SPECIAL-USE) "" "*"\r\n',
            b'c LIST "" ("%" "a/%") RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT))\r\n',
            b'd CREATE Junk (USE (\\Junk))\r\ne LIST "" Junk\r\nf LIST "" ""\r\n',
            until=b"f ",
        )
        lines = heard.split(b"\r\n")
        start = lines.index(b"b OK List completed.")
        assert lines[start - 1] == b'* LIST (\\HasNoChildren \\Sent) "/" "Sent"'
        assert b'* STATUS "INBOX" (MESSAGES 0 UIDNEXT 1)' in lines
        assert b'* LIST (\\HasNoChildren \\Sent \\Subscribed) "/" "Sent"' in lines
        assert b'* LIST (\\HasNoChildren) "/" "a/b"' in lines
        assert b'* LIST (\\HasNoChildren \\Junk) "/" "Junk"' in lines
        assert b'* LIST (\\Noselect) "/" ""' in lines


@pytest.mark.parametrize(
    "line",
    [
        b"\r\n",
        b"x\r\n",
        b"x NONSENSE\r\n",
        b"x LOGIN onlyname\r\n",
        b"x SELECT INBOX\r\n",
        b"x LOGIN (a) b\r\n",
        b'x LOGIN "open\r\n',
        b"x FETCH 1 FLAGS\r\n",
        b"x AUTHENTICATE PLAIN !!!\r\n",
    ],
)
async def test_nonsense_before_the_login_is_answered_bad_and_the_session_lives(line: bytes) -> None:
    async with hosted() as host:
        heard = await blocking(talk, host.imap_port, line, b"y NOOP\r\n", until=b"y ")
        assert heard.splitlines()[1].split()[1] == b"BAD"
        assert heard.endswith(b"y OK NOOP completed.\r\n")


async def test_tls_is_served_on_both_ports_and_nothing_in_clear_crosses_the_upgrade(tmp_path: Path) -> None:
    files, context = certificates(tmp_path)
    async with hosted(tls=files, plaintext_login=False) as host:

        def implicit() -> str:
            with imaplib.IMAP4_SSL("localhost", host.imaps_port, ssl_context=context) as client:
                return client.login(USER, PASSWORD.decode())[0]

        def upgraded() -> str:
            with imaplib.IMAP4("localhost", host.imap_port) as client:
                assert "LOGINDISABLED" in client.capabilities
                client.starttls(context)
                assert "LOGINDISABLED" not in client.capabilities
                return client.login(USER, PASSWORD.decode())[0]

        assert await blocking(implicit) == "OK"
        assert await blocking(upgraded) == "OK"
        assert [r.secure for r in host.premises.logins(USER, "imap")] == [True, True]
        client = await blocking(lambda: imap(host, login=False))
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            await blocking(client.login, USER, PASSWORD.decode())
        await blocking(client.logout)
        before = len(host.premises.records)

        def pipelined() -> None:
            with socket.create_connection(("127.0.0.1", host.imap_port), 5) as raw:
                raw.recv(1000)
                raw.sendall(b"a STARTTLS\r\nb CAPABILITY\r\n")
                assert raw.recv(1000) == b"a OK Begin TLS negotiation now.\r\n"

        await blocking(pipelined)
        assert host.premises.records[before].commands == ["STARTTLS"]


@pytest.mark.parametrize("form", ["separator", "authzid", "initial"])
async def test_the_master_logs_in_as_a_user(form: str) -> None:
    async with hosted(master=("boss", b"key")) as host:

        def enter() -> Any:
            with imap(host, login=False) as client:
                if form == "separator":
                    return client.login(f"{USER}*boss", "key")[0]
                payload = USER.encode() + b"\0boss\0key"
                if form == "authzid":
                    return client.authenticate("PLAIN", lambda _: payload)[0]
                encoded = base64.b64encode(payload).decode()
                return client._simple_command("AUTHENTICATE", "PLAIN", encoded)[0]

        assert await blocking(enter) == "OK"
        assert host.premises.logins()[0].address == USER


async def test_a_wrong_password_is_refused_and_no_password_stands_in_the_record() -> None:
    async with hosted() as host:
        client = await blocking(lambda: imap(host, login=False))
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            await blocking(client.login, USER, "wrong")
        await blocking(client.logout)
        assert host.premises.logins() == []
        assert "wrong" not in str(host.premises.records)


async def test_a_slow_reader_does_not_make_the_host_hold_its_mailbox_twice() -> None:
    async with hosted() as host:
        big = b"Subject: big\r\n\r\n" + b"x" * 1_000_000
        for _ in range(40):
            host.mailstore(USER).deliver(big)
        with socket.create_connection(("127.0.0.1", host.imap_port), 5) as raw:
            commands = (
                b'a LOGIN wang@example.test "old secret"\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n'
            )
            raw.sendall(commands)
            await blocking(_until_select, raw)
            waiting = len(_connection(host).transport.dataBuffer) + sum(
                map(len, _connection(host).transport._tempDataBuffer)
            )
            assert waiting < 3_000_000
            total = await blocking(_drain, raw)
            assert total > 40 * 1_000_000


def _connection(host: LabHost) -> Any:
    return next(iter(host._listening["imap"][1].connections))


def _until_select(raw: socket.socket) -> None:
    heard = b""
    while b"c FETCH" not in heard and b"FETCH (" not in heard:
        heard += raw.recv(4096)


def _drain(raw: socket.socket) -> int:
    total, tail = 4096, b""
    raw.settimeout(5)
    while b"c OK" not in tail:
        piece = raw.recv(1 << 20)
        assert piece
        total, tail = total + len(piece), (tail + piece)[-100:]
    return total


async def test_a_host_keeps_its_ports_and_mail_over_a_stop() -> None:
    async with hosted() as host:
        host.mailstore(USER).deliver(b"x")
        ports = (host.imap_port, host.pop3_port)
        client = await blocking(imap, host)
        await host.stop()
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            await blocking(client.noop)
        await blocking(client.shutdown)
        with pytest.raises(OSError, match="refused"):
            await blocking(imap, host)
        await host.start()
        assert (host.imap_port, host.pop3_port) == ports
        client = await blocking(imap, host)
        assert await blocking(client.select) == ("OK", [b"1"])
        await blocking(client.logout)


async def test_a_generated_account_is_read_back_octet_by_octet() -> None:
    async with hosted() as host:
        store = host.mailstore(USER)
        MailGenerator(5).fill(store, 400)

        def read() -> dict[bytes, list[bytes]]:
            client = imap(host)
            found = {}
            for box in store:
                name = '"' + box.name.decode().replace("\\", "\\\\").replace('"', '\\"') + '"'
                client.select(name, readonly=True)
                answer = client.uid("FETCH", "1:*", "(BODY.PEEK[])")[1]
                found[box.name] = [row[1] for row in answer if isinstance(row, tuple)]
            client.logout()
            return found

        found = await blocking(read)
        assert found == {box.name: [m.octets for m in box.messages.values()] for box in store}
