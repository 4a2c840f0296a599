"""Each quirk as a client meets it, and its absence where the host has none."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailferry.lab.host import LabHost
from mailferry.lab.quirks import PROVIDERS, QUIRKS, UnknownQuirk, quirks_named, quirks_of_provider
from tests.lab.rehearsal import PASSWORD, USER, blocking, certificates, hosted, imap, pop3

LOGIN = b'a LOGIN wang@example.test "old secret"\r\n'


@contextlib.contextmanager
def raw(port: int) -> Iterator[Any]:
    with socket.create_connection(("127.0.0.1", port), 5) as client, client.makefile("rwb", 0) as stream:
        yield stream


def imap_talk(host: LabHost, *lines: bytes) -> list[bytes]:
    """Send lines one by one; return the greeting and each tagged answer (or b"" for an ended connection)."""
    with raw(host.imap_port) as stream:
        answers = [stream.readline()]
        for line in lines:
            stream.write(line)
            tag = line.split(b" ", 1)[0]
            answer = stream.readline()
            while answer and not answer.startswith(tag + b" "):
                answer = stream.readline()
            answers.append(answer)
        return [answer.rstrip() for answer in answers]


def imap_heard(host: LabHost, *lines: bytes) -> bytes:
    """Send lines, log out, and return all that came."""
    with raw(host.imap_port) as stream:
        stream.write(b"".join(lines) + b"z LOGOUT\r\n")
        return b"".join(stream)


def pop3_talk(host: LabHost, *lines: bytes) -> list[bytes]:
    """Send lines one by one; return the greeting and the first line of each answer."""
    with raw(host.pop3_port) as stream:
        answers = [stream.readline()]
        for line in lines:
            stream.write(line + b"\r\n")
            answers.append(stream.readline())
        return [answer.rstrip() for answer in answers]


def pop3_login(host: LabHost, password: bytes = PASSWORD) -> bytes:
    return pop3_talk(host, b"USER " + USER.encode(), b"PASS " + password)[-1]


def test_an_unknown_quirk_or_provider_is_named_with_the_nearest_one() -> None:
    with pytest.raises(UnknownQuirk, match="did you mean pop3_lock"):
        quirks_named(["pop3_lok"])
    with pytest.raises(UnknownQuirk, match="netease_qiye"):
        quirks_of_provider("aol")


def test_each_provider_is_made_of_known_quirks() -> None:
    assert set().union(*PROVIDERS.values()) <= set(QUIRKS)


@pytest.mark.parametrize(
    ("quirk", "lines", "expected"),
    [
        ("netease_unsafe_login", [LOGIN, b"b SELECT INBOX\r\n"],
         b"b NO SELECT Unsafe Login. Please contact kefu@188.com for help"),
        ("netease_unsafe_login", [LOGIN, b'b ID ("name" "x")\r\n', b"c SELECT INBOX\r\n"], b"c OK [READ-WRITE]"),
        ("netease_unsafe_login", [b'b ID ("name" "x")\r\n', LOGIN, b"c EXAMINE INBOX\r\n"], b"c OK [READ-ONLY]"),
        ("netease_numeric_tag", [b"1 CAPABILITY\r\n"], b"1 BAD"),
        ("netease_numeric_tag", [b"a1 CAPABILITY\r\n"], b"a1 OK"),
        ("netease_refusal", [b"a LOGIN x y\r\n"], b"a NO LOGIN Login error or password error"),
        ("exchange_not_connected", [b"a LOGIN wang@example.test bad\r\n"], b"a OK LOGIN completed."),
        ("exchange_not_connected", [b"a LOGIN wang@example.test bad\r\n", b'b LIST "" ""\r\n'],
         b"b BAD User is authenticated but not connected."),
        ("exchange_not_connected", [LOGIN, b'b LIST "" ""\r\n'], b"b OK"),
        ("m365_logindisabled", [LOGIN], b"a NO Basic authentication is disabled."),
        ("tencent_five_causes", [b"a LOGIN x y\r\n"], b"a NO Login fail. Account is abnormal, service is not open"),
        ("tencent_authcode", [b"a LOGIN x y\r\n"], b"a NO Please using authorized code to login."),
        ("tencent_gbk", [b"a LOGIN x y\r\n"], b"a BAD \xc8\xb1\xc9\xd9login"),
        ("tencent_login_eof", [LOGIN], b""),
        ("tencent_literal_login", [b"a LOGIN {17+}\r\nwang@example.test {10+}\r\nold secret\r\n"], b"a BAD LOGIN"),
        ("tencent_literal_login", [LOGIN], b"a OK"),
        ("tencent_no_caps_on_login", [LOGIN], b"a OK Success login ok"),
        ("gmail_web", [b"a LOGIN x y\r\n"], b"a NO [ALERT] Please log in via your web browser"),
        ("post_cutover_block", [LOGIN], b"a NO LOGIN failed."),
        ("aliyun_no_namespace", [LOGIN, b"b NAMESPACE\r\n"], b"b BAD"),
        ("namespace_lie", [LOGIN, b"b NAMESPACE\r\n"], b"b BAD command syntax error"),
        ("no_id", [b"a ID NIL\r\n"], b"a BAD"),
        ("no_idle", [LOGIN, b"b IDLE\r\n"], b"b BAD"),
        ("no_move", [LOGIN, b"b SELECT INBOX\r\n", b"c MOVE 1 INBOX\r\n"], b"c BAD Unknown command"),
        ("no_uidplus", [LOGIN, b"b APPEND INBOX {1+}\r\nx\r\n"], b"b OK Append completed."),
        ("no_literal_plus", [b"a LOGIN {1+}\r\nx y\r\n"], b"a BAD"),
        ("no_multiappend", [LOGIN, b"b APPEND INBOX {1+}\r\nx {1+}\r\ny\r\n"], b"b BAD"),
        ("append_limit", [LOGIN, b"b APPEND INBOX {1048577+}\r\n" + b"x" * 1048577 + b"\r\n"],
         b"b NO Mail length 1048577 exceeded!"),
        ("append_nul_refused", [LOGIN, b"b APPEND INBOX {1+}\r\n\0\r\n"], b"b NO Message contains NUL"),
        ("qq_desc_range", [LOGIN, b"b SELECT INBOX\r\n", b"c UID FETCH 2:1 UID\r\n"], b"c BAD UID parameters!"),
        ("qq_desc_range", [LOGIN, b"b SELECT INBOX\r\n", b"c UID FETCH 1:2 UID\r\n"], b"c OK"),
        ("qq_search", [LOGIN, b"b SELECT INBOX\r\n", b"c UID SEARCH SUBJECT x\r\n"],
         b"c BAD UID SEARCH invalid argument"),
        ("qq_search", [LOGIN, b"b SELECT INBOX\r\n", b"c UID SEARCH ALL\r\n"], b"c OK"),
    ],
)  # fmt: skip
async def test_imap_answers_as_the_quirk_says(quirk: str, lines: list[bytes], expected: bytes) -> None:
    async with hosted(quirk) as host:
        assert (await blocking(imap_talk, host, *lines))[-1].startswith(expected)


async def test_without_quirks_all_of_it_works() -> None:
    async with hosted() as host:
        answers = await blocking(
            imap_talk, host, LOGIN, b"1 SELECT INBOX\r\n", b"b NAMESPACE\r\n", b"c APPEND INBOX {1+}\r\nx {1+}\r\ny\r\n",
            b"d UID FETCH 2:1 UID\r\n", b"e MOVE 1 INBOX\r\n", b"f UID SEARCH CHARSET UTF-8 SUBJECT x\r\n",
        )  # fmt: skip
        assert [a.split()[1] for a in answers[1:]] == [b"OK"] * 7


@pytest.mark.parametrize(
    ("quirk", "words"),
    [
        ("no_multiappend", b"MULTIAPPEND"),
        ("no_uidplus", b"UIDPLUS"),
        ("no_literal_plus", b"LITERAL+"),
        ("no_special_use", b"SPECIAL-USE"),
        ("no_idle", b"IDLE"),
        ("no_move", b"MOVE"),
        ("aliyun_no_namespace", b"NAMESPACE"),
    ],
)
async def test_what_is_not_taken_is_not_offered(quirk: str, words: bytes) -> None:
    async with hosted() as host:
        assert words in await blocking(imap_heard, host, LOGIN, b"b CAPABILITY\r\n")
    async with hosted(quirk) as host:
        assert words not in await blocking(imap_heard, host, LOGIN, b"b CAPABILITY\r\n")


async def test_capabilities_differ_before_and_after_the_login() -> None:
    async with hosted("tencent_no_caps_on_login") as host:
        assert b"UIDPLUS" not in await blocking(imap_heard, host, b"b CAPABILITY\r\n")
        assert b"UIDPLUS" in await blocking(imap_heard, host, LOGIN, b"b CAPABILITY\r\n")
    async with hosted("nginx_front") as host:
        before = await blocking(imap_heard, host, b"b CAPABILITY\r\n")
        assert before.startswith(b"* OK IMAP4 ready\r\n* CAPABILITY IMAP4rev1 UIDPLUS AUTH=PLAIN\r\n")
    async with hosted("m365_logindisabled") as host:
        assert b"LOGINDISABLED" in await blocking(imap_heard, host, b"b CAPABILITY\r\n")


async def test_the_greeting_may_be_bye_or_preauth() -> None:
    async with hosted("greeting_bye") as host:
        assert await blocking(imap_heard, host) == b"* BYE Temporarily unavailable\r\n"
        assert (await blocking(pop3_talk, host))[0] == b"-ERR [SYS/TEMP] Temporarily unavailable"
    async with hosted("preauth") as host:
        assert (await blocking(imap_heard, host)).startswith(b"* PREAUTH")


async def test_too_many_sessions_of_one_account_are_refused() -> None:
    async with hosted("dovecot_userip") as host:
        host.premises.connection_limit = 2
        clients = [await blocking(imap, host) for _ in range(2)]
        third = (await blocking(imap_talk, host, LOGIN))[-1]
        assert third.startswith(b"a NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded")
        await blocking(clients.pop().logout)
        assert (await blocking(imap_talk, host, LOGIN))[-1].startswith(b"a OK")
        await blocking(clients.pop().logout)


async def test_five_wrong_passwords_lock_the_account() -> None:
    async with hosted("aliyun_lock") as host:
        for _ in range(5):
            assert b" NO " in (await blocking(imap_talk, host, b"a LOGIN wang@example.test bad\r\n"))[-1]
        assert b" NO " in (await blocking(imap_talk, host, LOGIN))[-1]


async def test_only_the_last_thirty_days_are_shown_until_somebody_widens_the_window() -> None:
    async with hosted("window_30d") as host:
        store = host.mailstore(USER)
        store.deliver(b"old\r\n", internal_date=datetime.now(UTC) - timedelta(days=31))
        store.deliver(b"new\r\n", internal_date=datetime.now(UTC) - timedelta(days=29))

        def counts() -> tuple[Any, Any]:
            client, drop = imap(host), pop3(host)
            seen = client.select()[1], drop.stat()[0]
            assert client.uid("SEARCH", "ALL")[1] in ([b"2"], [b"1 2"])
            client.logout()
            drop.quit()
            return seen

        assert await blocking(counts) == ([b"1"], 1)
        host.premises.quirks.discard("window_30d")
        assert await blocking(counts) == ([b"2"], 2)


async def test_netease_tells_no_uidnext_and_uidvalidity_one() -> None:
    async with hosted("netease_status") as host:
        heard = await blocking(
            imap_heard,
            host,
            LOGIN,
            b"b STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY)\r\n",
            b"c SELECT INBOX\r\n",
        )
        assert b'* STATUS "INBOX" (MESSAGES 0 UIDVALIDITY 1)\r\n' in heard
        assert b"[UIDVALIDITY 1]" in heard
        assert b"UIDNEXT" not in heard.partition(b"STATUS")[2].replace(b"b STATUS", b"")


async def test_roles_are_shown_by_xlist_only() -> None:
    async with hosted("no_special_use") as host:
        host.mailstore(USER).create(b"Out", role=b"\\Sent")
        heard = await blocking(imap_heard, host, LOGIN, b'b LIST "" "*"\r\nc XLIST "" "*"\r\n')
        assert b'* LIST (\\HasNoChildren) "/" "Out"' in heard
        assert b'* XLIST (\\HasNoChildren \\Sent) "/" "Out"' in heard
        assert b'* XLIST (\\HasNoChildren \\Inbox) "/" "INBOX"' in heard


async def test_status_behind_list_never_comes() -> None:
    async with hosted("list_status_lie") as host:
        heard = await blocking(imap_heard, host, LOGIN, b'b LIST "" "*" RETURN (STATUS (MESSAGES))\r\n')
        assert b"LIST-STATUS" in heard
        assert b"* STATUS" not in heard


async def test_fetch_items_come_in_another_order_with_others_between() -> None:
    async with hosted("fetch_order") as host:
        host.mailstore(USER).deliver(b"x")
        heard = await blocking(
            imap_heard, host, LOGIN, b"b SELECT INBOX\r\nc UID FETCH 1 (FLAGS RFC822.SIZE)\r\n"
        )
        assert b"* 1 FETCH (FLAGS ())\r\n* 1 FETCH (RFC822.SIZE 1 FLAGS () UID 1)\r\n" in heard


async def test_a_body_is_its_header_only_while_the_size_promises_more() -> None:
    async with hosted("header_only") as host:
        host.mailstore(USER).deliver(b"Subject: s\r\n\r\nbody")
        heard = await blocking(
            imap_heard, host, LOGIN, b"b SELECT INBOX\r\nc FETCH 1 (RFC822.SIZE BODY.PEEK[])\r\n"
        )
        assert b"RFC822.SIZE 18 BODY[] {14}\r\nSubject: s\r\n\r\n)" in heard


async def test_a_long_line_is_swallowed_without_a_word() -> None:
    async with hosted("qq_long_cmd") as host:
        heard = await blocking(imap_heard, host, b"a ID (" + b"x" * 7000 + b")\r\n", b"b NOOP\r\n")
        assert heard.splitlines()[1:2] == [b"b OK NOOP completed."]


async def test_keywords_are_dropped() -> None:
    async with hosted("no_keywords") as host:
        heard = await blocking(
            imap_heard,
            host,
            LOGIN,
            b"b APPEND INBOX (\\Seen Blau) {1+}\r\nx\r\nc SELECT INBOX\r\nd STORE 1 +FLAGS (Rot)\r\n",
        )
        assert b"\\*" not in heard
        assert [m.flags for m in host.mailstore(USER).inbox.messages.values()] == [{b"\\Seen"}]


@pytest.mark.parametrize(
    ("quirk", "expected"),
    [
        ("tencent_five_causes", b"-ERR Login fail. Account is abnormal"),
        ("tencent_authcode", b"-ERR Please using authorized code"),
        ("tencent_gbk", b"-ERR \xb5\xc7\xc2\xbc\xcc\xab"),
        ("netease_refusal", b"-ERR Unable to log on"),
    ],
)
async def test_pop3_refuses_in_the_providers_words(quirk: str, expected: bytes) -> None:
    async with hosted(quirk) as host:
        assert (await blocking(pop3_login, host, b"bad")).startswith(expected)


async def test_a_maildrop_is_locked_for_a_second_session() -> None:
    async with hosted("pop3_lock") as host:
        first = await blocking(pop3, host)
        assert (await blocking(pop3_login, host)).startswith(b"-ERR [IN-USE]")
        await blocking(first.quit)
        assert (await blocking(pop3_login, host)).startswith(b"+OK")


async def test_a_second_login_comes_too_soon() -> None:
    async with hosted("pop3_login_delay") as host:
        assert (await blocking(pop3_login, host)).startswith(b"+OK")
        assert (await blocking(pop3_login, host)).startswith(b"-ERR [LOGIN-DELAY]")


async def test_coremail_greets_and_counts_in_its_own_words() -> None:
    async with hosted("coremail_pop3") as host:
        host.mailstore(USER).deliver(b"four")
        greeting, user, entered = await blocking(
            pop3_talk, host, b"USER " + USER.encode(), b"PASS " + PASSWORD
        )
        assert greeting.startswith(b"+OK Welcome to coremail")
        assert (user, entered) == (b"+OK core mail", b"+OK 1 message(s) [4 byte(s)]")


async def test_uidls_may_be_reversed_missing_or_shared_and_top_refused() -> None:
    def uidls(host: LabHost) -> Any:
        client = pop3(host)
        try:
            return [line.split()[1] for line in client.uidl()[1]]
        except poplib.error_proto:
            return None
        finally:
            client.quit()

    for quirk in ("pop3_reversed", "pop3_uidl_missing", "pop3_uidl_duplicate"):
        async with hosted(quirk) as host:
            inbox = host.mailstore(USER).inbox
            names = [inbox.add(octets).uidl for octets in (b"a", b"a", b"b")]
            found = await blocking(uidls, host)
            if quirk == "pop3_reversed":
                assert found == names[::-1]
            elif quirk == "pop3_uidl_missing":
                assert found is None
            else:
                assert found[0] == found[1] != found[2]
    async with hosted("pop3_no_top") as host:
        host.mailstore(USER).deliver(b"a")
        lines = (b"USER " + USER.encode(), b"PASS " + PASSWORD, b"TOP 1 0")
        assert (await blocking(pop3_talk, host, *lines))[-1].startswith(b"-ERR")


async def test_uidls_may_change_with_each_session_or_follow_from_the_header() -> None:
    def uidls(host: LabHost) -> list[bytes]:
        client = pop3(host)
        try:
            return [line.split()[1] for line in client.uidl()[1]]
        finally:
            client.quit()

    async with hosted("pop3_uidl_changes") as host:
        host.mailstore(USER).deliver(b"a")
        assert await blocking(uidls, host) != await blocking(uidls, host)
    async with hosted("pop3_uidl_of_header") as host:
        for body in (b"one", b"two"):
            host.mailstore(USER).deliver(b"Subject: s\r\n\r\n" + body)
        assert len(set(await blocking(uidls, host))) == 1


@pytest.mark.parametrize(
    ("quirk", "answer"),
    [
        ("pop3_no_stuffing", b"a\r\n.\r\n.b\r\n.\r\n"),
        ("pop3_no_last_line_end", b"a\r\n..\r\n..b.\r\n"),
        ("coremail_pop3", b"a\r\n..\r\n..b\r\n.\r\n"),
    ],
)
async def test_messages_may_go_over_the_wire_wrong(quirk: str, answer: bytes) -> None:
    async with hosted(quirk) as host:
        host.mailstore(USER).deliver(b"a\r\n.\r\n.b\r\n")

        def heard() -> bytes:
            with raw(host.pop3_port) as stream:
                stream.write(b"USER " + USER.encode() + b"\r\nPASS " + PASSWORD + b"\r\nRETR 1\r\nQUIT\r\n")
                return b"".join(stream)

        assert b" octets\r\n" + answer + b"+OK" in await blocking(heard)


async def test_list_may_lie_or_be_refused_and_capa_as_well() -> None:
    for quirk, expected in (
        ("pop3_list_lies", b"+OK 1 5003"),
        ("pop3_no_list", b"-ERR"),
        ("pop3_no_capa", b"-ERR"),
    ):
        async with hosted(quirk) as host:
            host.mailstore(USER).deliver(b"a")
            command = b"CAPA" if quirk == "pop3_no_capa" else b"LIST 1"
            lines = (b"USER " + USER.encode(), b"PASS " + PASSWORD, command)
            assert (await blocking(pop3_talk, host, *lines))[-1].startswith(expected)


async def test_messages_may_be_sent_short_or_hidden_once_they_were_retrieved() -> None:
    async with hosted("pop3_cut_short", "pop3_retr_hides") as host:
        for number in range(3):
            host.mailstore(USER).deliver(b"Subject: %d\r\n\r\nbody\r\n" % number)

        def seen() -> tuple[int, list[int]]:
            client = pop3(host)
            count = client.stat()[0]
            sizes = [len(client.retr(3)[1]) for _ in range(2)] if count == 3 else []
            client.quit()
            return count, sizes

        count, sizes = await blocking(seen)
        assert (count, sizes[0] < sizes[1]) == (3, True)
        assert (await blocking(seen))[0] == 2


async def test_one_protocol_alone_may_hide_what_is_old() -> None:
    for quirk, expected in (("imap_window_30d", ([b"0"], 1)), ("pop3_window_30d", ([b"1"], 0))):
        async with hosted(quirk) as host:
            host.mailstore(USER).deliver(b"old\r\n", internal_date=datetime.now(UTC) - timedelta(days=31))

            def counts(host: LabHost = host) -> tuple[Any, Any]:
                client, drop = imap(host), pop3(host)
                seen = client.select()[1], drop.stat()[0]
                client.logout()
                drop.quit()
                return seen

            assert await blocking(counts) == expected


async def test_pop3_may_show_all_mail() -> None:
    async with hosted("pop3_all_mail") as host:
        host.mailstore(USER).deliver(b"Subject: in\r\n\r\n")
        host.mailstore(USER).create(b"Out")
        host.mailstore(USER).deliver(b"Subject: out\r\n\r\n", mailbox=b"Out")

        def lines() -> list[bytes]:
            client = pop3(host)
            found = [client.retr(number)[1][0] for number in (1, 2)]
            client.quit()
            return found

        first, second = await blocking(lines)
        assert first == b"Subject: in"
        assert second.startswith(b"X-UIDL: ")


def test_every_quirk_is_read_somewhere_in_the_lab_and_shown_by_a_test() -> None:
    import mailferry.lab

    folder = Path(str(mailferry.lab.__file__)).parent
    sources = "".join(p.read_text() for p in folder.glob("*.py") if p.name != "quirks.py")
    here = "".join(
        Path(__file__).with_name(name).read_text() for name in ("test_quirks.py", "test_behaviours.py")
    )
    assert [name for name in QUIRKS if f'"{name}"' not in sources] == []
    assert [name for name in QUIRKS if f'"{name}"' not in here] == []


async def test_imaplib_works_with_every_provider_that_the_lab_plays(tmp_path: Path) -> None:
    files, trust = certificates(tmp_path)
    for provider in PROVIDERS:
        async with hosted(*quirks_of_provider(provider), tls=files) as host:
            host.mailstore(USER).deliver(b"Subject: x\r\n\r\ny")

            def read(host: LabHost = host) -> Any:
                client = imaplib.IMAP4_SSL("127.0.0.1", host.imaps_port, ssl_context=trust, timeout=8)
                client.login(USER, PASSWORD.decode())
                imaplib.Commands["ID"] = ("NONAUTH", "AUTH", "SELECTED")
                client._simple_command("ID", '("name" "lab")')
                client.select()
                answer = client.uid("FETCH", "1", "(BODY.PEEK[])")[1]
                client.logout()
                return answer[0][1]

            assert await blocking(read) == b"Subject: x\r\n\r\ny"
