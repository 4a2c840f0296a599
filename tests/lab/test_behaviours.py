"""Each behaviour of the list as Python's own imaplib and poplib meet it, so that the lab does not merely agree with us."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from twisted.internet.task import Clock

from mailferry.lab.behaviours import BEHAVIOURS
from mailferry.lab.host import LabHost
from mailferry.lab.line_quirks import IdleWatch
from mailferry.lab.mailstore import LabMailbox
from mailferry.lab.premises import LabAccount, Premises
from mailferry.lab.quirks import QUIRKS
from tests.lab.rehearsal import PASSWORD, USER, blocking, certificates, hosted

SECRET = PASSWORD.decode()
SOON = 0.3
"""Seconds after which a client has waited long enough for what never comes."""
ONE = b"Subject: one\r\nFrom: a@b.test\r\n\r\nbody\x01 one\r\n..dots\r\n"


@dataclass(frozen=True)
class Desk:
    """A host and the clients that were opened at it."""

    host: LabHost
    trust: ssl.SSLContext
    stack: contextlib.ExitStack

    def imap(self, password: str | None = SECRET, *, tls: bool = False) -> imaplib.IMAP4:
        """A client; without a password it does not log in."""
        client = imaplib.IMAP4("127.0.0.1", self.host.imap_port, timeout=SOON)
        self.stack.callback(hung_up, client)
        if tls:
            client.starttls(self.trust)
        if password is not None:
            client.login(USER, password)
        return client

    def inbox(self) -> imaplib.IMAP4:
        """A client that has its INBOX open for reading."""
        client = self.imap()
        client.select(readonly=True)
        return client

    def pop3(self, password: str | None = SECRET) -> poplib.POP3:
        client = poplib.POP3("127.0.0.1", self.host.pop3_port, timeout=SOON)
        self.stack.callback(client.close)
        if password is not None:
            client.user(USER)
            client.pass_(password)
        return client

    def fetch(self, item: str = "BODY.PEEK[]", uids: str = "1") -> Any:
        return self.inbox().uid("FETCH", uids, f"({item})")

    def append(self, octets: bytes = ONE) -> Any:
        return self.imap().append("INBOX", "", "", octets)

    def search(self, *keys: str) -> Any:
        return self.inbox().uid("SEARCH", *keys)

    def drop(self, work: Callable[[poplib.POP3], Any]) -> list[Any]:
        """Do the same in two sessions, one behind the other."""
        results = []
        for _ in range(2):
            client = self.pop3()
            results.append(work(client))
            client.quit()
        return results


def hung_up(client: imaplib.IMAP4) -> None:
    with contextlib.suppress(OSError):  # a failed handshake has closed it
        client.shutdown()


Work: TypeAlias = Callable[[Desk], Any]


def bad(desk: Desk) -> Any:
    return desk.imap("bad")


def good(desk: Desk) -> Any:
    return desk.imap().state


def bad_pop3(desk: Desk) -> Any:
    return desk.pop3("bad")


def stranger(desk: Desk) -> Any:
    return desk.imap(None).login("nobody@example.test", SECRET)


def stranger_pop3(desk: Desk) -> Any:
    client = desk.pop3(None)
    client.user("nobody@example.test")
    return client.pass_(SECRET)


def good_pop3(desk: Desk) -> Any:
    return desk.pop3().welcome


def id_first(desk: Desk) -> Any:
    client = desk.imap()
    first = client.select()[0]
    imaplib.Commands["ID"] = ("NONAUTH", "AUTH", "SELECTED")
    client._simple_command("ID", '("name" "lab")')
    return first, client.select()[0]


def numeric_tag(desk: Desk) -> Any:
    client = desk.imap(None)
    client.tagpre = b""
    return client.noop()


def literal_login(desk: Desk) -> Any:
    client = desk.imap(None)
    client.literal = PASSWORD  # type: ignore[attr-defined] - imaplib sends it behind the command
    return client._simple_command("LOGIN", USER)


def told(desk: Desk, *lines: bytes) -> bytes:
    """Everything that comes back to a few lines."""
    with socket.create_connection(("127.0.0.1", desk.host.imap_port), 5) as client:
        client.sendall(b'l LOGIN %s "%s"\r\n' % (USER.encode(), PASSWORD) + b"".join(lines) + b"z LOGOUT\r\n")
        return b"".join(client.makefile("rb"))


def first_piece(desk: Desk) -> str:
    """How the greeting begins; now and then a loaded machine hands two pieces on as one."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", desk.host.imap_port), 5) as client:
            if client.recv(1000) == b"*":
                return "in pieces"
    return "as one"


def locked(desk: Desk) -> Any:
    for _ in range(5):
        with contextlib.suppress(imaplib.IMAP4.error):
            desk.imap("bad")
    return desk.imap()


def slow(desk: Desk) -> Any:
    client = imaplib.IMAP4("127.0.0.1", desk.host.imap_port, timeout=0.1)
    client.shutdown()
    return "greeted"


def selected(desk: Desk, name: str = "INBOX") -> Any:
    client = desk.imap()
    return [client.select(name, readonly=True), client.response("UIDVALIDITY"), client.response("UIDNEXT")]


def validities(desk: Desk) -> Any:
    return [selected(desk)[1] for _ in range(2)]


def widened(desk: Desk) -> Any:
    seen = [selected(desk)[0][1]]
    desk.host.premises.quirks.discard("window_30d")
    return seen + [selected(desk)[0][1] for _ in range(3)]


def listed(desk: Desk) -> Any:
    return desk.imap().list()


def listed_return(desk: Desk) -> Any:
    return desk.imap().list('""', '"*" RETURN (CHILDREN)')


def idle(desk: Desk) -> Any:
    imaplib.Commands["IDLE"] = ("AUTH", "SELECTED")
    return desk.imap()._simple_command("IDLE")


def cut_short(desk: Desk) -> Any:
    client = desk.pop3()
    return len({len(client.retr(3)[1]) for _ in range(2)})


def both_views(desk: Desk) -> Any:
    client = desk.inbox()
    return [client.uid("FETCH", "1", f"(BODY.PEEK[{part}])")[1][0][1] for part in ("", "TEXT")]


def throttled(desk: Desk) -> Any:
    client = desk.inbox()
    with contextlib.suppress(imaplib.IMAP4.error):
        for _ in range(5):
            client.uid("FETCH", "1", "(FLAGS)")
    return client.uid("FETCH", "1", "(FLAGS)"), "was borne"


def died(desk: Desk) -> Any:
    reached = []
    for _ in range(4):
        steps: list[Callable[[imaplib.IMAP4], Any]] = [
            lambda client: client.login(USER, SECRET),
            lambda client: client.select(),
            lambda client: client.noop(),
        ]
        done = 0
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            client = desk.imap(None)
            done = 1
            for step in steps:
                step(client)
                done += 1
        reached.append(done)
    return reached


def letters(desk: Desk) -> Any:
    client = desk.pop3()
    for number in (1, 2, 3):
        client.retr(number)
    return "all"


def dropped_dele(desk: Desk) -> Any:
    client = desk.pop3()
    client.dele(1)
    client.close()
    counts = [desk.pop3().stat()[0]]
    while counts[-1] == 3 and len(counts) < 50:
        counts.append(desk.pop3().stat()[0])
    return counts[-1]


CASES: list[tuple[str, str, Work, dict[str, Any]]] = [
    # quirk, what the client then sees, what it does, what the host is told beside
    ("netease_unsafe_login", "('NO', 'OK')", id_first, {}),
    ("netease_unsafe_login", "Unsafe Login", lambda d: d.imap().select(), {}),
    ("netease_numeric_tag", "BAD", numeric_tag, {}),
    ("exchange_not_connected", "not connected", lambda d: d.imap("bad").list(), {}),
    ("exchange_same_text", "error: b'LOGIN failed.'", bad, {}),
    ("exchange_same_text", "Logon failure: unknown user name", bad_pop3, {}),
    ("m365_logindisabled", "Basic authentication is disabled", good, {}),
    ("tencent_five_causes", "Account is abnormal, service is not open", bad, {}),
    ("tencent_authcode", "authorized code", bad, {}),
    ("tencent_weixin", "weixin token", bad_pop3, {}),
    ("tencent_gbk", r"\xc8\xb1\xc9\xd9login", bad, {}),
    ("tencent_login_eof", "abort", good, {}),
    ("tencent_literal_login", "BAD", literal_login, {}),
    ("tencent_no_caps_on_login", "Success login ok", lambda d: d.imap(None).login(USER, SECRET), {}),
    ("gmail_connections", "Too many simultaneous connections", good, {"connection_limit": 0}),
    ("gmail_web", "log in via your web browser", bad, {}),
    ("gmail_apppw", "Application-specific password required", bad, {}),
    ("gmail_imap_off", "not enabled for IMAP use", good, {}),
    ("gmail_domain_off", "disabled for your domain", good, {}),
    ("dovecot_userip", "[UNAVAILABLE] Maximum number", good, {"connection_limit": 0}),
    ("dovecot_limit", "[LIMIT] Maximum number", good, {"connection_limit": 0}),
    ("cyrus_layer", "under a layer", good, {}),
    ("cyrus_slow_refusal", "timed out", bad, {}),
    ("zimbra_maintenance", "undergoing maintenance", good, {}),
    ("zimbra_must_change", "must be changed", good, {}),
    ("zimbra_no_imap", "does not have IMAP access", good, {}),
    ("zimbra_referral", "REFERRAL imap://", good, {}),
    ("netease_ipdeny", "ERR.LOGIN.IPDENY", good_pop3, {}),
    ("netease_expired", "ERR.LOGIN.USRSTATUS2", good_pop3, {}),
    ("netease_domain_expired", "ERR.LOGIN.DOMAINEXPED", good_pop3, {}),
    ("netease_unknown_user", "ERR.LOGIN.USERNOTEXIST", stranger, {}),
    ("netease_unknown_user", "ERR.LOGIN.USERNOTEXIST", stranger_pop3, {}),
    ("unknown_user", "[AUTHENTICATIONFAILED] No such user", stranger, {}),
    ("unknown_user_gbk", r"\xd3\xc3\xbb\xa7\xb2\xbb\xb4\xe6\xd4\xda", stranger_pop3, {}),
    ("aliyun_lock", "Authentication failed", locked, {}),
    ("post_cutover_block", "LOGIN failed.", good, {}),
    ("greeting_bye", "BYE Temporarily unavailable", good, {}),
    ("greeting_slow", "timed out", slow, {}),
    ("tls_cert_other_name", "certificate is not valid for", lambda d: d.imap(tls=True), {}),
    ("nginx_front", "UIDPLUS AUTH=PLAIN", lambda d: d.imap(None).capability(), {}),
    ("split_answers", "in pieces", first_piece, {}),
    ("window_30d", "[b'2']", lambda d: d.imap().select(), {}),
    ("imap_window_30d", "([b'2'], 3)", lambda d: (d.imap().select()[1], d.pop3().stat()[0]), {}),
    ("window_stale", "[b'2'], [b'3']]", widened, {"quirks": {"window_stale", "window_30d"}}),
    ("no_special_use", r'(\\HasNoChildren) "/" "Out"', listed, {}),
    ("no_list_return", "Command Argument Error. 12", listed_return, {}),
    ("netease_ghost", "not exist", lambda d: (listed(d), d.imap().select("&dcVr0mWHTvZZOQ-")), {}),
    ("netease_status", "('UIDNEXT', [None])", selected, {}),
    ("netease_status", "(MESSAGES 3 UIDVALIDITY 1)", lambda d: d.imap().status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY)"), {}),
    ("aliyun_no_namespace", "BAD", lambda d: d.imap().namespace(), {}),
    ("aliyun_uidvalidity", "[b'2']), ", lambda d: selected(d, "Out"), {}),
    ("sina_list_root", "Out", lambda d: d.imap().list('""', '""'), {}),
    ("namespace_lie", "command syntax error", lambda d: d.imap().namespace(), {}),
    ("gmail_labels", "Unknown Mailbox: Top (now in", lambda d: d.imap().select("Top"), {}),
    ("gmail_folder_cap", "[b'1']", lambda d: d.imap().select(), {"folder_cap": 1}),
    ("list_bare_tab", r'"/" a\tb', listed, {}),
    ("uidvalidity_changes", "True", lambda d: len({str(v) for v in validities(d)}) == 2, {}),
    ("uidvalidity_zero", "('UIDVALIDITY', [b'0'])", selected, {}),
    ("uidnext_zero", "('UIDNEXT', [b'0'])", selected, {}),
    ("list_inbox_twice", "Inbox", listed, {}),
    ("list_doubled", "2", lambda d: str(listed(d)).count("Out"), {}),
    ("courier_examine", "True", lambda d: len({str(v) for v in validities(d)}) == 2, {}),
    ("list_literal", "{3}', b'Out'", listed, {}),
    ("list_8bit_quoted", r'"\xce\xc4\xbc\xfe"', listed, {}),
    ("list_no_separator", 'NIL "Out"', listed, {}),
    ("qq_desc_range", "BAD [b'UID parameters!']", lambda d: d.fetch("UID", "2:1"), {}),
    ("qq_long_cmd", "timed out", lambda d: d.fetch("UID", ",".join(["1"] * 4000)), {}),
    ("qq_search", "UID SEARCH invalid argument", lambda d: d.search("SUBJECT", "one"), {}),
    ("search_wrong_set", "[b'1 2 3']", lambda d: d.search("SUBJECT", "nothing"), {}),
    ("search_empty_blank", r"* SEARCH \r\n", lambda d: told(d, b"a SELECT INBOX\r\nb SEARCH FLAGGED\r\n"), {}),
    ("search_empty_silent", "('OK', [None])", lambda d: d.search("FLAGGED"), {}),
    ("header_only", "b'Subject: one\\r\\nFrom: a@b.test\\r\\n\\r\\n')", lambda d: d.fetch(), {}),
    ("exchange_peek_nothing", "('OK', [None])", lambda d: d.fetch(), {}),
    ("exchange_peek_nothing", "couldn't retrieve", lambda d: d.fetch("BODY[]"), {}),
    ("exchange_placeholder", "couldn't retrieve", lambda d: d.fetch(), {}),
    ("exchange_size_thrice", f"RFC822.SIZE {3 * len(ONE)}", lambda d: d.fetch("RFC822.SIZE"), {}),
    ("exchange_size_less", f"RFC822.SIZE {len(ONE) * 9 // 10}", lambda d: d.fetch("RFC822.SIZE"), {}),
    ("fetch_order", "FLAGS () UID 1)", lambda d: d.fetch("UID FLAGS"), {}),
    ("fetch_number_zero", "b'0 (UID 1", lambda d: d.fetch("UID"), {}),
    ("fetch_number_wrong", "b'8 (UID 1", lambda d: d.fetch("UID"), {}),
    ("literal_short", "abort", lambda d: d.fetch(), {}),
    ("literal_long", "timed out", lambda d: d.fetch(), {}),
    ("literal_cut", "abort", lambda d: d.fetch(), {}),
    ("body_nil", "BODY[] NIL", lambda d: d.fetch(), {}),
    ("body_empty", "{0}', b'')", lambda d: d.fetch(), {}),
    ("body_is_header", "b'Subject: one\\r\\nFrom: a@b.test\\r\\n')", lambda d: d.fetch(), {}),
    ("body_truncated", "20480", lambda d: len(d.fetch(uids="3")[1][0][1]), {}),
    ("fetch_refused", "('NO', [b'FETCH failed'])", lambda d: d.fetch(), {}),
    ("fetch_serverbug", "[SERVERBUG]", lambda d: d.fetch(), {}),
    ("fetch_limit", "abort: command: UID => +", lambda d: d.fetch(), {}),
    ("fetch_partly", "Some messages could not be FETCHed", lambda d: d.fetch(uids="1:3"), {}),
    ("m365_throttle", "abort", throttled, {"patience": 4}),
    ("m365_throttle", "Suggested Backoff Time: 1500", lambda d: d.fetch("FLAGS"), {"patience": 0}),
    ("gmail_overquota", "[OVERQUOTA]", lambda d: d.fetch(), {"octet_limit": 10}),
    ("gmail_session_expired", "Session expired, please login again", lambda d: d.fetch(), {"octet_limit": 10}),
    ("gmail_throttled", "[THROTTLED]", lambda d: d.inbox()._simple_command("UID", "FETCH", "1", "(UID)"), {}),
    ("no_idle", "command not support", idle, {}),
    ("zimbra_two_views", "[True, False]", lambda d: [b"\x01" in octets for octets in both_views(d)], {}),
    ("coremail_pop3", "core mail", lambda d: d.pop3(None).user(USER), {}),
    ("coremail_exceed", "Download exceed. msg=2", letters, {"patience": 1}),
    ("coremail_letter", "Can't get the letter", letters, {"troubled": frozenset({2})}),
    ("pop3_no_top", "Message can not load", lambda d: d.pop3().top(1, 0), {}),
    ("pop3_uidl_missing", "-ERR", lambda d: d.pop3().uidl(), {}),
    ("pop3_uidl_duplicate", "True", lambda d: len({r.split()[1] for r in d.pop3().uidl()[1]}) == 2, {"twice": True}),
    ("pop3_uidl_of_header", "True", lambda d: len({r.split()[1] for r in d.pop3().uidl()[1]}) == 2, {"twice": True}),
    ("pop3_uidl_changes", "True", lambda d: len({str(one) for one in d.drop(lambda c: c.uidl()[1])}) == 2, {}),
    ("pop3_reversed", "True", lambda d: d.pop3().list()[1][0].endswith(b"1 28816"), {}),
    ("pop3_list_lies", f"1 {3 * len(ONE) + 5000}", lambda d: d.pop3().list(1), {}),
    ("pop3_no_list", "-ERR", lambda d: d.pop3().list(), {}),
    ("pop3_no_capa", "-ERR", lambda d: d.pop3().capa(), {}),
    ("pop3_no_last_line_end", "timed out", lambda d: d.pop3().retr(1), {}),
    ("pop3_no_stuffing", "b'.dots'", lambda d: d.pop3().retr(1), {}),
    ("pop3_cut_short", "2", cut_short, {}),
    ("pop3_header_only", "[b'Subject: one', b'From: a@b.test', b'']", lambda d: d.pop3().retr(1)[1], {}),
    ("pop3_retr_hides", "[1, 0]", lambda d: [n - 2 for n in d.drop(lambda c: (c.stat()[0], c.retr(1))[0])], {}),
    ("pop3_lock", "[IN-USE]", lambda d: (d.pop3(), d.pop3()), {}),
    ("pop3_login_delay", "[LOGIN-DELAY]", lambda d: (d.pop3(), d.pop3()), {}),
    ("pop3_dele_on_drop", "2", dropped_dele, {}),
    ("pop3_all_mail", "4", lambda d: d.pop3().stat()[0], {}),
    ("pop3_window_30d", "(2, [b'3'])", lambda d: (d.pop3().stat()[0], d.imap().select()[1]), {}),
    ("append_limit", f"Mail length {len(ONE)} exceeded!", lambda d: d.append(), {"append_limit": 10}),
    ("append_max_size", "Maximum size of appendable", lambda d: d.append(), {"append_limit": 10}),
    ("append_overquota", "[OVERQUOTA]", lambda d: d.append(), {}),
    ("append_invalid_header", "invalid header", lambda d: d.append(b"Subject: x\r\nno field\r\n\r\n"), {}),
    ("append_nul_refused", "contains NUL", lambda d: d.append(b"\0"), {}),
    ("append_argument_11", "BAD [b'Command Argument Error. 11']", lambda d: d.append(), {"append_limit": 10}),
    ("append_drop", "abort", lambda d: d.append(), {}),
    ("restart_points", "[1, 2, 3, 4]", died, {}),
]  # fmt: skip
"""Idle limits are on a clock of their own: `test_silent_sessions_are_dropped`."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    return certificates(tmp_path_factory.mktemp("tls"))


def mail(host: LabHost, *, twice: bool) -> LabMailbox:
    """One message, an old one, a big one; a mailbox below another one, one whose name has a TAB, one in GBK."""
    store = host.mailstore(USER)
    store.deliver(ONE)
    if twice:
        store.deliver(ONE)
    else:
        store.deliver(b"Subject: old\r\n\r\nx\r\n", internal_date=datetime.now(UTC) - timedelta(days=40))
    store.deliver(b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 400)
    store.create(b"Out", role=b"\\Sent")
    store.deliver(b"Subject: out\r\n\r\n", mailbox=b"Out")
    for name in (b"a\tb", "文件".encode("gb18030"), b"Top/below"):
        store.create(name)
    store.mailbox(b"Top").selectable = False
    return store.inbox


def attempt(host: LabHost, trust: ssl.SSLContext, work: Work) -> str:
    """Return what the client got, or how it failed."""
    with contextlib.ExitStack() as stack:
        try:
            return repr(work(Desk(host, trust, stack)))
        except (imaplib.IMAP4.error, poplib.error_proto, OSError) as error:
            return f"{type(error).__name__}: {error}"


def named(case: tuple[str, str, Work, dict[str, Any]], number: int) -> Any:
    return pytest.param(*case, id=f"{number}-{case[0]}")


@pytest.mark.parametrize(
    ("quirk", "expected", "work", "told"), [named(case, number) for number, case in enumerate(CASES)]
)
async def test_a_client_of_another_make_meets_it(
    quirk: str, expected: str, work: Work, told: dict[str, Any], made: Any
) -> None:
    files, trust = made
    told = dict(told)
    twice = told.pop("twice", False)
    quirks = told.pop("quirks", {quirk})
    async with hosted(*quirks, tls=files, accounts={USER: LabAccount(PASSWORD)}) as host:
        mail(host, twice=twice)
        for name, value in told.items():
            setattr(host.premises, name, value)
        with_it = await blocking(attempt, host, trust, work)
    async with hosted(tls=files, accounts={USER: LabAccount(PASSWORD)}) as host:
        mail(host, twice=twice)
        without = await blocking(attempt, host, trust, work)
    assert expected in with_it
    assert with_it != without, "and would not without the quirk"


@pytest.mark.parametrize("quirk", ["netease_unknown_user", "unknown_user", "unknown_user_gbk"])
async def test_a_wrong_password_does_not_read_like_an_address_that_the_host_does_not_have(
    quirk: str, made: Any
) -> None:
    _files, trust = made
    async with hosted(quirk) as host:
        told = [await blocking(attempt, host, trust, work) for work in (bad, bad_pop3)]
    async with hosted() as host:
        usual = [await blocking(attempt, host, trust, work) for work in (bad, bad_pop3)]
    assert told == usual


def test_the_list_has_forty_nine_rows_of_known_quirks() -> None:
    assert [row.number for row in BEHAVIOURS] == list(range(1, 50))
    assert {quirk for row in BEHAVIOURS for quirk in row.quirks} <= set(QUIRKS)
    assert len({row.name for row in BEHAVIOURS}) == 49


def test_every_quirk_of_the_list_is_met_by_a_client_of_another_make() -> None:
    met = {quirk for quirk, *_ in CASES} | {"netease_idle_drop", "pop3_idle_drop"}
    assert [quirk for row in BEHAVIOURS for quirk in row.quirks if quirk not in met] == []


@pytest.mark.parametrize(
    ("quirk", "protocol", "seconds", "kept_up"),
    [
        ("netease_idle_drop", "imap", 60.0, "STATUS"),
        ("pop3_idle_drop", "pop3", 30.0, "NOOP"),
    ],
)
def test_silent_sessions_are_dropped(quirk: str, protocol: str, seconds: float, kept_up: str) -> None:
    clock, dropped = Clock(), []
    premises = Premises("lab", {}, {quirk})
    watch = IdleWatch(premises, protocol, clock, lambda: dropped.append(clock.seconds()))
    for _ in range(3):
        clock.advance(seconds - 1)
        watch.heard(kept_up)
    clock.advance(seconds - 1)
    watch.heard("NOOP" if protocol == "imap" else "")
    clock.advance(seconds - 1)
    assert len(dropped) == (protocol == "imap"), "NOOP keeps no session at NetEase open"
    clock.advance(2)
    assert len(dropped) == 1
    IdleWatch(Premises("lab", {}, set()), protocol, clock, dropped.clear)
    assert clock.getDelayedCalls() == []
