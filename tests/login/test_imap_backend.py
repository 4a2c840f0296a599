from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.login.actions import Failed, Proved, Send, Stage, StartTls
from mailferry.login.imap_backend import ImapBackend
from mailferry.model.access import Credentials, Secret, TlsMode
from mailferry.model.profile import Profile, SendId
from mailferry.wire.proxy_header import Endpoint
from tests.kit.conversation import Step, conversation, sent

GENERIC = Profile("generic", {"en": "Generic"}, send_id=SendId.NEVER)
ID = (("name", "mailferry"), ("version", "1"))
START: Step = (lambda d: d.start(), [])


def numbered() -> Iterator[bytes]:
    return (b"t%d" % n for n in itertools.count(1))


def backend(
    password: bytes = b"pw",
    name: str = "u@a",
    *,
    authzid: str = "",
    profile: Profile = GENERIC,
    tls: TlsMode = TlsMode.IMPLICIT,
    client_id: tuple[tuple[str, str], ...] = (),
    forwarded: Endpoint | None = None,
    own_word: bool = False,
) -> Callable[[], ImapBackend]:
    return lambda: ImapBackend(
        Credentials(name, Secret(password), authzid),
        profile,
        tls_mode=tls,
        tag_source=numbered(),
        client_id=client_id,
        forwarded=forwarded,
        own_word=own_word,
    )


def failed(judged: bool, code: str | None, text: bytes, stage: str) -> Failed:
    return Failed(judged, code, text, stage)


def broken(text: bytes, stage: str) -> Failed:
    return failed(False, "BAD", b"the server broke the protocol: " + text, stage)


def plain(authzid: bytes, name: bytes, password: bytes) -> bytes:
    return base64.b64encode(authzid + b"\0" + name + b"\0" + password)


GREETS = b"* OK [CAPABILITY IMAP4rev1 %s] hi\r\n"


# ---- the way to a proved session


def test_one_write_after_the_greeting_where_the_greeting_tells_enough() -> None:
    conversation(
        backend(),
        [
            START,
            (GREETS % b"NAMESPACE", [Send(b't1 LOGIN "u@a" "pw"\r\n')]),
            (b"t1 OK [CAPABILITY IMAP4rev1 NAMESPACE] in\r\n", [Send(b"t2 NAMESPACE\r\n")]),
            (
                b'* NAMESPACE (("" "/")) NIL NIL\r\nt2 OK done\r\n',
                [Proved((b"IMAP4rev1", b"NAMESPACE"), "NAMESPACE")],
            ),
        ],
    )


def test_capabilities_are_asked_for_where_nobody_told_them() -> None:
    conversation(
        backend(),
        [
            START,
            (b"* OK QQMail ready\r\n", [Send(b"t1 CAPABILITY\r\n")]),
            (
                b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\nt1 OK x\r\n",
                [Send(b"t2 AUTHENTICATE PLAIN %s\r\n" % plain(b"", b"u@a", b"pw"))],
            ),
            (b"t2 OK Success login ok\r\n", [Send(b"t3 CAPABILITY\r\n")]),
            (b"* CAPABILITY IMAP4rev1 MOVE\r\nt3 OK x\r\n", [Send(b't4 LIST "" ""\r\n')]),
            (b'* LIST (\\Noselect) "/" ""\r\nt4 OK x\r\n', [Proved((b"IMAP4rev1", b"MOVE"), "LIST")]),
        ],
    )


def test_octets_behind_the_last_answer_are_the_next_users() -> None:
    run = backend()()
    run.start()
    run.feed(GREETS % b"")
    run.feed(b"t1 OK [CAPABILITY X] in\r\n")
    assert run.feed(b"t2 OK x\r\n* 3 EXI") == [Proved((b"X",), "LIST", b"* 3 EXI")]
    assert run.feed(b"STS\r\n") == []
    assert run.closed() == []


def test_a_server_whose_word_is_taken_proves_the_session_by_an_ok_with_its_capabilities() -> None:
    conversation(
        backend(own_word=True, client_id=(("name", "mailferry"),)),
        [
            START,
            (GREETS % b"ID", [Send(b't1 LOGIN "u@a" "pw"\r\n')]),
            (b"t1 OK [CAPABILITY X] in\r\n", [Proved((b"X",), "LOGIN")]),
        ],
    )


def test_an_ok_that_shows_nothing_of_the_session_is_proved_even_where_the_servers_word_is_taken() -> None:
    """Exchange says OK to anybody, and what it thinks to whatever comes next."""
    conversation(
        backend(own_word=True),
        [
            START,
            (GREETS % b"", [Send(b't1 LOGIN "u@a" "pw"\r\n')]),
            (b"t1 OK LOGIN completed.\r\n", [Send(b"t2 CAPABILITY\r\n")]),
            (
                b"t2 BAD User is authenticated but not connected.\r\n",
                [Send(b't3 LIST "" ""\r\n')],
            ),
            (
                b"t3 BAD User is authenticated but not connected.\r\n",
                [failed(True, None, b"User is authenticated but not connected.", "proof")],
            ),
        ],
    )


@pytest.mark.parametrize(
    ("send_id", "before", "after"),
    [
        (SendId.NEVER, False, False),
        (SendId.BEFORE, True, False),
        (SendId.AFTER, False, True),
        (SendId.BOTH, True, True),
    ],
)
def test_id_is_sent_when_the_profile_says(send_id: SendId, before: bool, after: bool) -> None:
    profile = Profile("x", {}, send_id=send_id)
    identify = b'ID ("name" "mailferry" "version" "1")\r\n'
    run = backend(profile=profile, client_id=ID)()
    octets = sent(run.start() + run.feed(GREETS % b""))
    if before:
        assert octets == b"t1 " + identify
        octets = sent(run.feed(b"* ID NIL\r\nt1 BAD what?\r\n"))
    assert octets.endswith(b' LOGIN "u@a" "pw"\r\n')
    octets = sent(run.feed(octets[:2] + b" OK [CAPABILITY NAMESPACE] in\r\n"))
    assert (identify in octets) is after
    assert octets.endswith(b"NAMESPACE\r\n")


def test_a_clients_address_goes_before_the_login() -> None:
    conversation(
        backend(client_id=ID, forwarded=Endpoint("192.0.2.1", 4000)),
        [
            START,
            (
                GREETS % b"",
                [
                    Send(
                        b't1 ID ("name" "mailferry" "version" "1" "x-originating-ip" "192.0.2.1" "x-originating-port" "4000")\r\n'
                    )
                ],
            ),
            (b"t1 OK x\r\n", [Send(b't2 LOGIN "u@a" "pw"\r\n')]),
        ],
    )


@pytest.mark.parametrize(
    ("offers", "password", "profile", "expected"),
    [
        (b"AUTH=PLAIN", b"pw", GENERIC, [b"t1 AUTHENTICATE PLAIN\r\n", plain(b"", b"u@a", b"pw") + b"\r\n"]),
        (b"auth=plain sasl-ir", b"pw", GENERIC, [b"t1 AUTHENTICATE PLAIN " + plain(b"", b"u@a", b"pw") + b"\r\n"]),
        (b"AUTH=PLAIN", b"pw", Profile("x", {}, auth_order=("LOGIN", "PLAIN")), [b't1 LOGIN "u@a" "pw"\r\n']),
        (b"AUTH=PLAIN SASL-IR", b"p\xff", Profile("x", {}, auth_order=("LOGIN", "PLAIN")), [b"t1 AUTHENTICATE PLAIN " + plain(b"", b"u@a", b"p\xff") + b"\r\n"]),
        (b"", b"p\xff", GENERIC, [b't1 LOGIN "u@a" {2}\r\n', b"p\xff\r\n"]),
        (b"LITERAL+", b"p\xff", GENERIC, [b't1 LOGIN "u@a" {2+}\r\np\xff\r\n']),
        (b"LITERAL-", b"p\xff", GENERIC, [b't1 LOGIN "u@a" {2+}\r\np\xff\r\n']),
        (b"", b"p\xff", Profile("x", {}, login_literals=False), [b't1 LOGIN "u@a" "p\xff"\r\n']),
        (b"", b'p "\\', GENERIC, [b't1 LOGIN "u@a" "p \\"\\\\"\r\n']),
        (b"LOGINDISABLED AUTH=PLAIN SASL-IR", b"pw", GENERIC, [b"t1 AUTHENTICATE PLAIN " + plain(b"", b"u@a", b"pw") + b"\r\n"]),
    ],
)  # fmt: skip
def test_credentials_go_in_the_form_that_server_and_profile_allow(
    offers: bytes, password: bytes, profile: Profile, expected: list[bytes]
) -> None:
    steps: list[Step] = [START, (GREETS % offers, [Send(expected[0])])]
    steps += [(b"+ \r\n", [Send(segment)]) for segment in expected[1:]]
    conversation(
        backend(password, profile=profile if profile.send_id is SendId.NEVER else _without_id(profile)), steps
    )


def _without_id(profile: Profile) -> Profile:
    return Profile(
        profile.profile_id,
        profile.names,
        send_id=SendId.NEVER,
        login_literals=profile.login_literals,
        auth_order=profile.auth_order,
    )


def test_a_master_acts_as_another_user_by_plain_only() -> None:
    conversation(
        backend(b"m", "boss", authzid="u@a"),
        [
            START,
            (
                GREETS % b"AUTH=PLAIN SASL-IR",
                [Send(b"t1 AUTHENTICATE PLAIN %s\r\n" % plain(b"u@a", b"boss", b"m"))],
            ),
        ],
    )
    run = backend(b"m", "boss", authzid="u@a")()
    run.start()
    [failure] = run.feed(GREETS % b"AUTH=LOGIN")
    assert isinstance(failure, Failed)
    assert (failure.judged, failure.stage) == (False, Stage.CAPABILITY)


def test_a_master_of_dovecot_has_a_separator_in_the_name() -> None:
    conversation(
        backend(b"m", "u@a*boss"),
        [START, (GREETS % b"", [Send(b't1 LOGIN "u@a*boss" "m"\r\n')])],
    )


# ---- TLS


def test_starttls_comes_before_everything_and_what_was_said_before_is_forgotten() -> None:
    conversation(
        backend(tls=TlsMode.STARTTLS),
        [
            START,
            (GREETS % b"STARTTLS LOGINDISABLED", [Send(b"t1 STARTTLS\r\n")]),
            (b"* CAPABILITY AUTH=PLAIN\r\nt1 OK [CAPABILITY SASL-IR] go\r\n", [StartTls()]),
            (lambda d: d.secured(), [Send(b"t2 CAPABILITY\r\n")]),
            (b"* CAPABILITY IMAP4rev1\r\nt2 OK x\r\n", [Send(b't3 LOGIN "u@a" "pw"\r\n')]),
        ],
    )


@pytest.mark.hazard("T2")
@pytest.mark.parametrize(
    "behind",
    [
        b"* CAPABILITY AUTH=PLAIN\r\n",
        b"t2 OK x\r\n",
        b"t2 OK x\r\nt3 OK x\r\nt4 OK x\r\n",
        b" ",
        b"* PREAUTH\r\n",
    ],
)
def test_octets_behind_the_starttls_ok_end_everything(behind: bytes) -> None:
    octets = b"t1 OK go\r\n" + behind
    for place in range(len(octets) + 1):
        run = backend(tls=TlsMode.STARTTLS)()
        run.start()
        run.feed(GREETS % b"STARTTLS")
        actions = run.feed(octets[:place]) + run.feed(octets[place:])
        assert sent(actions) == b""
        assert isinstance(actions[-1], Failed)
        assert not actions[-1].judged
        assert not run.secured()


@pytest.mark.hazard("T4")
@pytest.mark.parametrize(
    "answer",
    [
        b"t1 NO no\r\n",
        b"t1 BAD no\r\n",
        b"* BYE no\r\n",
        b"* PREAUTH hi\r\n",
        b"t9 OK x\r\n",
        b"+ go\r\n",
        b"HTTP/1.1 400\r\n",
        b"OK\r\n",
    ],
)
@pytest.mark.parametrize("offers", [b"STARTTLS", b"", b"STARTTLS LOGINDISABLED", b"AUTH=PLAIN"])
def test_without_tls_no_credentials_leave(offers: bytes, answer: bytes) -> None:
    run = backend(tls=TlsMode.STARTTLS)()
    octets = sent(run.start() + run.feed(GREETS % offers))
    assert octets == b"t1 STARTTLS\r\n"
    [failure] = run.feed(answer)
    assert isinstance(failure, Failed)
    assert (failure.judged, failure.stage) == (False, Stage.STARTTLS)


@pytest.mark.hazard("T3")
@pytest.mark.parametrize("tls", TlsMode)
def test_a_preauth_greeting_breaks_the_protocol(tls: TlsMode) -> None:
    conversation(
        backend(tls=tls),
        [
            START,
            (
                b"* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n",
                [broken(b"PREAUTH proves no password", Stage.GREETING)],
            ),
        ],
    )


@pytest.mark.hazard("T4")
def test_logindisabled_sends_no_credentials() -> None:
    for tls, code in ((TlsMode.NONE, "PRIVACYREQUIRED"), (TlsMode.IMPLICIT, "LOGINDISABLED")):
        run = backend(tls=tls)()
        actions = run.start() + run.feed(GREETS % b"AUTH=XOAUTH2 LOGINDISABLED")
        assert sent(actions) == b""
        [failure] = actions
        assert isinstance(failure, Failed)
        assert (failure.judged, failure.code, failure.stage) == (False, code, Stage.CAPABILITY)
        assert b"AUTH=XOAUTH2 LOGINDISABLED" in failure.text
    run = backend(tls=TlsMode.NONE)()
    assert sent(run.start() + run.feed(GREETS % b"AUTH=PLAIN LOGINDISABLED")) == b""


# ---- refusals


def refusal(*steps: Step, make: Callable[[], ImapBackend] | None = None) -> None:
    conversation(make or backend(), [START, (GREETS % b"", [Send(b't1 LOGIN "u@a" "pw"\r\n')]), *steps])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"t1 NO [AUTHENTICATIONFAILED] no\r\n", failed(True, "AUTHENTICATIONFAILED", b"[AUTHENTICATIONFAILED] no", Stage.LOGIN)),
        (b"t1 NO Login fail. \xc8\xb1\r\n", failed(True, None, b"Login fail. \xc8\xb1", Stage.LOGIN)),
        (b"t1 NO [UNAVAILABLE] later\r\n", failed(True, "UNAVAILABLE", b"[UNAVAILABLE] later", Stage.LOGIN)),
        (b"t1 BAD Request is throttled.\r\n", failed(False, "BAD", b"Request is throttled.", Stage.LOGIN)),
        (b"* BYE [UNAVAILABLE] full\r\n", failed(False, "UNAVAILABLE", b"[UNAVAILABLE] full", Stage.LOGIN)),
        (
            b"* NO [WEBALERT https://x] Web login required.\r\nt1 NO [ALERT] log in via your web browser\r\n",
            failed(True, "ALERT", b"[WEBALERT https://x] Web login required. / [ALERT] log in via your web browser", Stage.LOGIN),
        ),
        (b"t2 OK x\r\n", broken(b"an answer that belongs to no command of ours", Stage.LOGIN)),
        (b"T1 OK x\r\n", broken(b"an answer that belongs to no command of ours", Stage.LOGIN)),
        (b"+ more\r\n", broken(b"an answer that belongs to no command of ours", Stage.LOGIN)),
        (b"* PREAUTH x\r\n", broken(b"an answer that belongs to no command of ours", Stage.LOGIN)),
        (b"what\r\n", broken(b"an answer that is not IMAP", Stage.LOGIN)),
        (b"* X {9000}\r\n", broken(b"a literal of too many octets", Stage.LOGIN)),
        (b"* X {-1}\r\n", broken(b"a literal of negative size", Stage.LOGIN)),
    ],
)  # fmt: skip
def test_refusals_say_whether_the_password_was_judged(answer: bytes, expected: Failed) -> None:
    refusal((answer, [expected]))


def test_a_server_that_closes_has_judged_nothing() -> None:
    refusal((lambda d: d.closed(), [failed(False, None, b"the server closed the connection", Stage.LOGIN)]))


def test_a_form_that_is_not_understood_gives_way_to_the_next() -> None:
    conversation(
        backend(),
        [
            START,
            (
                GREETS % b"AUTH=PLAIN SASL-IR",
                [Send(b"t1 AUTHENTICATE PLAIN %s\r\n" % plain(b"", b"u@a", b"pw"))],
            ),
            (b"t1 BAD what?\r\n", [Send(b't2 LOGIN "u@a" "pw"\r\n')]),
            (b"t2 NO wrong\r\n", [failed(True, None, b"wrong", Stage.LOGIN)]),
        ],
    )


def test_when_no_form_is_understood_the_first_answer_is_told() -> None:
    conversation(
        backend(),
        [
            START,
            (GREETS % b"AUTH=PLAIN", [Send(b"t1 AUTHENTICATE PLAIN\r\n")]),
            (b"t1 NO not this way\r\n", [Send(b't2 LOGIN "u@a" "pw"\r\n')]),
            (b"t2 BAD nor this\r\n", [failed(False, None, b"not this way", Stage.LOGIN)]),
        ],
    )


@pytest.mark.hazard("T2")
def test_an_ok_before_the_password_was_sent_proves_nothing() -> None:
    conversation(
        backend(),
        [
            START,
            (GREETS % b"AUTH=PLAIN", [Send(b"t1 AUTHENTICATE PLAIN\r\n")]),
            (b"t1 OK in\r\n", [broken(b"a login accepted before the password was sent", Stage.LOGIN)]),
        ],
    )


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (
            b"* BYE Temporarily unavailable\r\n",
            failed(False, None, b"Temporarily unavailable", Stage.GREETING),
        ),
        (b"* NO hi\r\n", broken(b"not a greeting", Stage.GREETING)),
        (b"+OK POP3\r\n", broken(b"not a greeting", Stage.GREETING)),
        (b"* FLAGS ()\r\n", broken(b"not a greeting", Stage.GREETING)),
        (b"220 smtp\r\n", broken(b"an answer that is not IMAP", Stage.GREETING)),
        (b"x" * 9000, broken(b"a line of more than 8192 octets", Stage.GREETING)),
    ],
)
def test_greetings_that_lead_nowhere(greeting: bytes, expected: Failed) -> None:
    conversation(backend(), [START, (greeting, [expected])])


def test_a_server_that_says_bye_gets_no_password() -> None:
    conversation(
        backend(),
        [
            START,
            (b"* OK hi\r\n", [Send(b"t1 CAPABILITY\r\n")]),
            (
                b"* BYE [UNAVAILABLE] no\r\n",
                [failed(False, "UNAVAILABLE", b"[UNAVAILABLE] no", Stage.CAPABILITY)],
            ),
        ],
    )


# ---- proof


def proving(*steps: Step) -> None:
    conversation(
        backend(),
        [
            START,
            (GREETS % b"", [Send(b't1 LOGIN "u@a" "pw"\r\n')]),
            (b"t1 OK [CAPABILITY NAMESPACE] in\r\n", [Send(b"t2 NAMESPACE\r\n")]),
            *steps,
        ],
    )


def test_an_offered_namespace_that_is_not_understood_is_no_refusal() -> None:
    proving(
        (b"t2 BAD command syntax error\r\n", [Send(b't3 LIST "" ""\r\n')]),
        (b'* LIST () "/" {3}\r\na\r\n\r\nt3 OK x\r\n', [Proved((b"NAMESPACE",), "LIST")]),
    )


def test_a_login_that_opens_no_mailbox_is_a_refusal() -> None:
    text = b"User is authenticated but not connected."
    proving(
        (b"t2 BAD " + text + b"\r\n", [Send(b't3 LIST "" ""\r\n')]),
        (b"t3 BAD " + text + b"\r\n* BYE Connection closed. 14\r\n", [failed(True, None, text, Stage.PROOF)]),
    )
    proving(
        (b"t2 BAD " + text + b"\r\n", [Send(b't3 LIST "" ""\r\n')]),
        (b"* BYE Connection closed. 14\r\n", [failed(True, None, text, Stage.PROOF)]),
    )
    proving(
        (b"t2 BAD " + text + b"\r\n", [Send(b't3 LIST "" ""\r\n')]),
        (lambda d: d.closed(), [failed(True, None, text, Stage.PROOF)]),
    )


def test_a_server_that_leaves_during_the_proof_has_judged_nothing() -> None:
    proving((b"* BYE gone\r\n", [failed(False, None, b"gone", Stage.PROOF)]))


@pytest.mark.hazard("T16")
def test_endless_answers_end_the_dialogue() -> None:
    run = backend()()
    run.start()
    run.feed(GREETS % b"")
    for _ in range(2000):
        actions = run.feed(b"* 1 EXISTS " + b"x" * 1000 + b"\r\n")
        if actions:
            break
    assert actions == [broken(b"endless answers before the session's begin", Stage.LOGIN)]


def test_an_unreadable_untagged_answer_is_no_obstacle() -> None:
    proving((b'* X "open\r\nt2 OK x\r\n', [Proved((b"NAMESPACE",), "NAMESPACE")]))


# ---- injection


@pytest.mark.hazard("T18")
@pytest.mark.parametrize("name", ["", "u\r\nx LOGOUT", "u\0", "u\n", "u\x7f", "u\u2028"])
def test_names_that_could_end_a_line_are_never_sent(name: str) -> None:
    for make in (backend(name=name), backend(name="boss", authzid=name or "\0")):
        actions = make().start()
        assert [type(action) for action in actions] == [Failed]


@given(st.binary(max_size=300), st.sampled_from([b"", b"AUTH=PLAIN SASL-IR", b"LITERAL+"]))
def test_any_octets_of_a_server_are_survived(octets: bytes, offers: bytes) -> None:
    run = backend()()
    run.start()
    run.feed(GREETS % offers)
    run.feed(octets)
    run.closed()
