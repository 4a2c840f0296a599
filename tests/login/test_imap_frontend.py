from __future__ import annotations

import base64

import pytest

from mailferry.login.actions import Action, Attempt, Close, Denied, Granted, Send, StartTls
from mailferry.login.imap_frontend import ImapFrontend
from mailferry.model.access import Credentials, Secret
from mailferry.model.causes import Answer
from tests.kit.conversation import Step, attempts, conversation, sent

BASE = b"IMAP4rev1 LITERAL+ SASL-IR ID"
GREETING = Send(b"* OK [CAPABILITY " + BASE + b" AUTH=PLAIN AUTH=LOGIN] mx.test ready.\r\n")
CLEAR_GREETING = Send(b"* OK [CAPABILITY " + BASE + b" STARTTLS LOGINDISABLED] mx.test ready.\r\n")
REFUSED = Denied(Answer.REFUSED, "Authentication failed.")


def inside_tls() -> ImapFrontend:
    return ImapFrontend("mx.test", tls_available=True, tls_active=True, plaintext_login=False)


def in_clear() -> ImapFrontend:
    return ImapFrontend("mx.test", tls_available=True, tls_active=False, plaintext_login=False)


def attempt(name: str, password: bytes, mechanism: str = "LOGIN") -> Attempt:
    return Attempt(Credentials(name, Secret(password)), mechanism)


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def start(greeting: Send) -> Step:
    return (lambda d: d.start(), [greeting])


PLAIN = b64(b"\0u@a\0p w")

LOGINS: dict[str, tuple[bytes, list[Action]]] = {
    "atoms": (b"a LOGIN u@a pw\r\n", [attempt("u@a", b"pw")]),
    "quoted": (b'a login "u@a" "p \\"w\\\\"\r\n', [attempt("u@a", b'p "w\\')]),
    "quoted 8-bit": (b'a LOGIN u "\xd0\xc5\xcf\xa2"\r\n', [attempt("u", b"\xd0\xc5\xcf\xa2")]),
    "literals": (
        b"a LOGIN {3}\r\nu@a {4}\r\np\xff\tw\r\n",
        [Send(b"+ OK\r\n+ OK\r\n"), attempt("u@a", b"p\xff\tw")],
    ),
    "literals of LITERAL+": (b"a LOGIN {3+}\r\nu@a {3+}\r\np w\r\n", [attempt("u@a", b"p w")]),
    "one literal": (b'a LOGIN "u@a" {2+}\r\npw\r\n', [attempt("u@a", b"pw")]),
    "bare LF": (b"a LOGIN u@a pw\n", [attempt("u@a", b"pw")]),
    "PLAIN": (
        b"a AUTHENTICATE PLAIN\r\n" + PLAIN + b"\r\n",
        [Send(b"+ \r\n"), attempt("u@a", b"p w", "PLAIN")],
    ),
    "PLAIN, initial": (b"a authenticate plain " + PLAIN + b"\r\n", [attempt("u@a", b"p w", "PLAIN")]),
    "PLAIN, same authzid": (
        b"a AUTHENTICATE PLAIN " + b64(b"u\0u\0pw") + b"\r\n",
        [attempt("u", b"pw", "PLAIN")],
    ),
    "LOGIN mechanism": (
        b"a AUTHENTICATE LOGIN\r\n" + b64(b"u@a") + b"\r\n" + b64(b"p\xffw") + b"\r\n",
        [Send(b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n"), attempt("u@a", b"p\xffw", "LOGIN")],
    ),
    "LOGIN mechanism, initial": (
        b"a AUTHENTICATE LOGIN " + b64(b"u@a") + b"\r\n" + b64(b"pw") + b"\r\n",
        [Send(b"+ UGFzc3dvcmQ6\r\n"), attempt("u@a", b"pw", "LOGIN")],
    ),
}


@pytest.mark.parametrize("form", LOGINS)
def test_each_login_form_gives_the_octets_that_were_typed(form: str) -> None:
    octets, expected = LOGINS[form]
    granted: Step = (lambda d: d.answer(Granted()), [Send(b"a OK Logged in\r\n")])
    conversation(inside_tls, [start(GREETING), (octets, expected), granted])


def test_before_login_a_client_may_look_around_and_leave() -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (
                b"1 CAPABILITY\r\n2 noop\r\n3 ID NIL\r\n",
                [
                    Send(
                        b"* CAPABILITY " + BASE + b" AUTH=PLAIN AUTH=LOGIN\r\n1 OK Capabilities listed.\r\n"
                    ),
                    Send(b"2 OK Nothing done.\r\n"),
                    Send(b'* ID ("name" "mailferry")\r\n3 OK Noted.\r\n'),
                ],
            ),
            (
                b'4 ID ("name" "x" "x-originating-ip" {7+}\r\n1.2.3.4)\r\n5 LOGOUT\r\n6 NOOP\r\n',
                [
                    Send(b'* ID ("name" "mailferry")\r\n4 OK Noted.\r\n'),
                    Send(b"* BYE Logging out.\r\n5 OK Logged out.\r\n"),
                    Close("logged out before login"),
                ],
            ),
        ],
    )


@pytest.mark.hazard("T14")
@pytest.mark.parametrize(
    "command", [b"COMPRESS DEFLATE", b"SELECT INBOX", b"APPEND x {3+}\r\nabc", b"XCLIENT ADDR=1", b"IDLE"]
)
def test_other_commands_are_not_known_before_login(command: bytes) -> None:
    conversation(
        inside_tls,
        [start(GREETING), (b"a " + command + b"\r\n", [Send(b"a BAD Not known before login.\r\n")])],
    )


# ---- TLS


@pytest.mark.hazard("T4")
def test_in_clear_no_credentials_are_asked_for_or_taken() -> None:
    no = b" NO [PRIVACYREQUIRED] Use TLS before logging in.\r\n"
    conversation(
        in_clear,
        [
            start(CLEAR_GREETING),
            (b"a LOGIN u p\r\n", [Send(b"a" + no)]),
            (b"b AUTHENTICATE PLAIN\r\n", [Send(b"b" + no)]),
            (b"c AUTHENTICATE LOGIN\r\n", [Send(b"c" + no)]),
            (b"d LOGIN {3}\r\n", [Send(b"d BAD Use TLS before logging in.\r\n")]),
        ],
    )


def test_where_the_configuration_says_so_credentials_are_taken_in_clear() -> None:
    def permissive() -> ImapFrontend:
        return ImapFrontend("mx.test", tls_available=False, tls_active=False, plaintext_login=True)

    conversation(permissive, [start(GREETING), (b"a LOGIN u p\r\n", [attempt("u", b"p")])])


def test_starttls_is_followed_by_a_fresh_session_inside_tls() -> None:
    conversation(
        in_clear,
        [
            start(CLEAR_GREETING),
            (b"a STARTTLS\r\n", [Send(b"a OK Begin TLS.\r\n"), StartTls()]),
            (lambda d: d.secured(), []),
            (
                b"b CAPABILITY\r\n",
                [Send(b"* CAPABILITY " + BASE + b" AUTH=PLAIN AUTH=LOGIN\r\nb OK Capabilities listed.\r\n")],
            ),
            (b"c STARTTLS\r\n", [Send(b"c BAD TLS is not offered here.\r\n")]),
            (b"d LOGIN u {1}\r\np\r\n", [Send(b"+ OK\r\n"), attempt("u", b"p")]),
        ],
    )


@pytest.mark.hazard("T1")
@pytest.mark.parametrize("behind", [b"b NOOP\r\n", b"b LOGIN u p\r\n", b"b", b"\r\n", b"\x16\x03\x01"])
def test_nothing_behind_starttls_in_plaintext_is_ever_answered(behind: bytes) -> None:
    octets = b"a STARTTLS\r\n" + behind
    for place in range(len(octets) + 1):
        frontend = in_clear()
        frontend.start()
        actions = frontend.feed(octets[:place]) + frontend.feed(octets[place:])
        if StartTls() in actions:
            assert frontend.held <= 1
            actions += frontend.secured()
        assert sent(actions) in {b"", b"a OK Begin TLS.\r\n"}
        assert actions[-1] == Close("plaintext behind STARTTLS")
        assert not frontend.feed(b"c NOOP\r\n")


@pytest.mark.hazard("T1")
def test_a_failed_starttls_leaves_a_plaintext_session_that_still_takes_no_login() -> None:
    conversation(
        in_clear,
        [
            start(CLEAR_GREETING),
            (b"a STARTTLS x\r\n", [Send(b"a BAD No arguments expected.\r\n")]),
            (b"b NOOP\r\n", [Send(b"b OK Nothing done.\r\n")]),
            (b"c LOGIN u p\r\n", [Send(b"c NO [PRIVACYREQUIRED] Use TLS before logging in.\r\n")]),
        ],
    )


# ---- answers and what is pipelined


def test_the_backends_capabilities_follow_the_login_without_what_a_relay_cannot_keep() -> None:
    offered = (
        b"IMAP4rev1",
        b"IDLE",
        b"COMPRESS=DEFLATE",
        b"compress=x",
        b"STARTTLS",
        b"LOGINDISABLED",
        b"X]Y",
        b"a b",
        b"\xff",
    )
    conversation(
        inside_tls,
        [
            start(GREETING),
            (b"A7 LOGIN u p\r\n", [attempt("u", b"p")]),
            (
                lambda d: d.answer(Granted(offered)),
                [Send(b"A7 OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n")],
            ),
        ],
    )


@pytest.mark.parametrize(
    ("denied", "octets"),
    [
        (REFUSED, b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"),
        (Denied(Answer.TEMPORARY, "Try later."), b"a NO [UNAVAILABLE] Try later.\r\n"),
        (Denied(Answer.REFUSED, "密码\r\n* OK"), "a NO [AUTHENTICATIONFAILED] 密码\\r\\n* OK\r\n".encode()),
    ],
)
def test_denials_say_whether_somebody_judged(denied: Denied, octets: bytes) -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (b"a LOGIN u p\r\n", [attempt("u", b"p")]),
            (lambda d: d.answer(denied), [Send(octets)]),
            (b"b LOGIN u q\r\n", [attempt("u", b"q")]),
        ],
    )


@pytest.mark.hazard("T15")
@pytest.mark.parametrize(
    "behind", [b"", b"b SELECT INBOX\r\nc APPEND x {9+}\r\nd LOGOUT\r\n", b"b SELECT INB"]
)
def test_what_is_pipelined_behind_a_granted_login_is_handed_on_once(behind: bytes) -> None:
    octets = b"a LOGIN u {1+}\r\np\r\n" + behind
    for place in range(len(octets) + 1):
        frontend = inside_tls()
        frontend.start()
        assert attempts(frontend.feed(octets[:place]) + frontend.feed(octets[place:])) == [
            ("u", b"p", "LOGIN")
        ]
        assert frontend.residual() == b""
        assert frontend.held == len(behind)
        frontend.answer(Granted())
        assert frontend.feed(b"!") == []
        assert frontend.residual() == behind + b"!"
        assert frontend.residual() == b""


@pytest.mark.hazard("T15")
def test_after_a_refusal_a_literals_body_is_never_run() -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (
                b"a LOGIN u p\r\nb APPEND x {14+}\r\nz LOGIN v w\r\n \r\nc LOGIN v w\r\n",
                [attempt("u", b"p")],
            ),
            (
                lambda d: d.answer(REFUSED),
                [
                    Send(
                        b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\nb BAD Not known before login.\r\n"
                    ),
                    attempt("v", b"w"),
                ],
            ),
        ],
    )


@pytest.mark.hazard("T15")
def test_after_a_refusal_a_big_literal_on_its_way_ends_the_session() -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (b"a LOGIN u p\r\nb APPEND x {900000+}\r\nz LOGIN v w\r\n", [attempt("u", b"p")]),
            (
                lambda d: d.answer(REFUSED),
                [
                    Send(
                        b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n* BYE Input that cannot be read.\r\n"
                    ),
                    Close("a literal of too many octets"),
                ],
            ),
        ],
    )


@pytest.mark.hazard("T15")
@pytest.mark.parametrize(
    "octets", [b"a LOGIN {3+}\r\nuser {2+}\r\npw\r\n", b"a APPEND x {2+}\r\nabcd\r\nb LOGIN u p\r\n"]
)
def test_a_literal_of_another_size_than_announced_ends_the_session(octets: bytes) -> None:
    said = [
        Send(b"* BYE Input that cannot be read.\r\n"),
        Close("a literal of another size than announced"),
    ]
    conversation(inside_tls, [start(GREETING), (octets, said)])


def test_a_client_that_sends_far_ahead_is_not_read_meanwhile() -> None:
    frontend = inside_tls()
    frontend.feed(b"a LOGIN u p\r\n")
    assert not frontend.full
    frontend.feed(b"x" * 8193)
    assert (frontend.full, frontend.held) == (True, 8193)
    frontend.answer(Granted())
    frontend.residual()
    assert not frontend.full


def test_answers_that_nobody_waits_for_are_dropped() -> None:
    frontend = inside_tls()
    assert frontend.answer(Granted()) == []
    assert frontend.secured() == []
    assert frontend.residual() == b""


# ---- bad input


@pytest.mark.hazard("T20")
@pytest.mark.parametrize(
    "command",
    [
        b'LOGIN "victim*admin" pw',
        b'LOGIN "victim%admin" pw',
        b"AUTHENTICATE PLAIN " + b64(b"victim\0admin\0pw"),
        b"AUTHENTICATE PLAIN " + b64(b"\0victim*admin\0pw"),
        b"LOGIN {3+}\r\na\0b pw",
        b'LOGIN "\xff\xfe" pw',
        b'LOGIN "" pw',
        b'LOGIN u ""',
        b"LOGIN u " + b"p" * 256,
        b"LOGIN u {5+}\r\np\r\nxy",
        b"LOGIN {4+}\r\nu\r\nx pw",
    ],
)
def test_credentials_refused_at_the_door_get_the_answer_of_a_wrong_password(command: bytes) -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (b"a " + command + b"\r\n", [Send(b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n")]),
        ],
    )


BAD_COMMANDS = [
    b"a LOGIN u",
    b"a LOGIN u p q",
    b"a LOGIN",
    b"a LOGIN u p*",
    b"a LOGIN u p%",
    b"a LOGIN u \xff",
    b"a LOGIN u  p",
    b'a LOGIN u "p',
    b'a LOGIN u "p\\',
    b'a LOGIN u "p\\x"',
    b'a LOGIN u "p"q',
    b"a LOGIN u(p) x",
    b"a LOGIN u x{1+}\r\np",
    b"a LOGIN u ~{1+}\r\np",
    b'a LOGIN u "a\rb"',
    b"a AUTHENTICATE",
    b"a AUTHENTICATE PLAIN x y",
    b"a AUTHENTICATE PLAIN =",
    b"a AUTHENTICATE PLAIN !!!",
    b"a AUTHENTICATE PLAIN {3+}\r\nabc",
    b"a AUTHENTICATE PLAIN\r\n*",
    b"a AUTHENTICATE PLAIN\r\n",
    b"a ID",
    b"a ID x",
    b"a ID (",
    b'a ID (("a" "b"))',
    b"a CAPABILITY x",
    b"a NOOP \0",
    b"a",
    b"",
    b"(a NOOP",
    b"a+ NOOP",
    b"* NOOP",
    b"\xff NOOP",
    b"a \xff",
    b"a NOOP{5+}\r\nabcde",
]


@pytest.mark.parametrize("line", BAD_COMMANDS)
def test_bad_commands_are_answered_bad_and_tried_nowhere(line: bytes) -> None:
    frontend = inside_tls()
    actions = frontend.feed(line + b"\r\n")
    assert not attempts(actions)
    last = sent(actions).split(b"\r\n")[-2]
    assert last.startswith((b"a BAD ", b"* BAD ", b"a+ BAD "))
    assert sent(frontend.feed(b"z NOOP\r\n")) == b"z OK Nothing done.\r\n"


def test_mechanisms_that_are_not_offered_are_answered_no() -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (b"a AUTHENTICATE XOAUTH2 abc\r\n", [Send(b"a NO [CANNOT] Mechanism not offered.\r\n")]),
        ],
    )


def test_after_a_few_bad_commands_the_session_ends() -> None:
    conversation(
        inside_tls,
        [
            start(GREETING),
            (
                b"a X\r\n" * 200,
                [
                    Send(b"a BAD Not known before login.\r\n" * 5 + b"* BYE Too many invalid commands.\r\n"),
                    Close("too many invalid commands"),
                ],
            ),
        ],
    )


def test_after_a_few_failed_logins_the_session_ends() -> None:
    frontend = inside_tls()
    actions: list[Action] = []
    for _ in range(5):
        frontend.feed(b"a LOGIN u p\r\n")
        actions = frontend.answer(REFUSED)
    assert actions[-1] == Close("too many failed logins")
    assert sent(actions).endswith(b"* BYE Too many failed logins.\r\n")


@pytest.mark.hazard("T9")
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"a LOGIN {2000000000}", b"a BAD Literal too long.\r\n"),
        (b"a LOGIN {8193}", b"a BAD Literal too long.\r\n"),
        (b"a LOGIN {2000000000+}", None),
        (b"a LOGIN {-1}", None),
        (b"a LOGIN {12345678901234567890}", None),
        (b"a LOGIN" + b" {0+}\r\n" * 1000, None),
    ],
)
def test_literals_are_few_and_small_before_login(line: bytes, answer: bytes | None) -> None:
    frontend = inside_tls()
    actions = frontend.feed(line + b"\r\n")
    assert b"+" not in sent(actions)
    if answer:
        assert sent(actions) == answer
    else:
        assert isinstance(actions[-1], Close)
