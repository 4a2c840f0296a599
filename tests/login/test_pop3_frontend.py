from __future__ import annotations

import base64

import pytest

from mailferry.login.actions import Action, Attempt, Close, Denied, Granted, Send, StartTls
from mailferry.login.pop3_frontend import Pop3Frontend
from mailferry.model.access import Credentials, Secret
from mailferry.model.causes import Answer
from tests.kit.conversation import Step, attempts, conversation, sent

REFUSED = Denied(Answer.REFUSED, "Authentication failed.")


def inside_tls() -> Pop3Frontend:
    return Pop3Frontend("mx.test", tls_available=True, tls_active=True, plaintext_login=False)


def in_clear() -> Pop3Frontend:
    return Pop3Frontend("mx.test", tls_available=True, tls_active=False, plaintext_login=False)


def attempt(name: str, password: bytes, mechanism: str = "USER") -> Attempt:
    return Attempt(Credentials(name, Secret(password)), mechanism)


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


START: Step = (lambda d: d.start(), [Send(b"+OK mx.test ready.\r\n")])
OK = Send(b"+OK\r\n")
CAPA = b"+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"

LOGINS: dict[str, tuple[bytes, list[Action]]] = {
    "USER and PASS": (b"USER u@a\r\nPASS pw\r\n", [OK, attempt("u@a", b"pw")]),
    "lower case": (b"user u@a\r\npass pw\r\n", [OK, attempt("u@a", b"pw")]),
    "spaces in the password": (b"USER u\r\nPASS  p w \r\n", [OK, attempt("u", b" p w ")]),
    "spaces in the name": (b"USER  a b \r\nPASS x\r\n", [OK, attempt(" a b ", b"x")]),
    "8-bit": (b"USER u\r\nPASS \xd0\xc5\x7f\t\r\n", [OK, attempt("u", b"\xd0\xc5\x7f\t")]),
    "bare LF": (b"USER u\nPASS x\n", [OK, attempt("u", b"x")]),
    "the last USER counts": (b"USER u\r\nUSER v\r\nPASS x\r\n", [OK, OK, attempt("v", b"x")]),
    "PLAIN": (
        b"AUTH PLAIN\r\n" + b64(b"\0u\0p w") + b"\r\n",
        [Send(b"+ \r\n"), attempt("u", b"p w", "PLAIN")],
    ),
    "PLAIN, initial": (b"auth plain " + b64(b"u\0u\0p") + b"\r\n", [attempt("u", b"p", "PLAIN")]),
    "LOGIN": (
        b"AUTH LOGIN\r\n" + b64(b"u") + b"\r\n" + b64(b"\xff") + b"\r\n",
        [Send(b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n"), attempt("u", b"\xff", "LOGIN")],
    ),
    "LOGIN, initial": (
        b"AUTH LOGIN " + b64(b"u") + b"\r\n" + b64(b"p") + b"\r\n",
        [Send(b"+ UGFzc3dvcmQ6\r\n"), attempt("u", b"p", "LOGIN")],
    ),
}


@pytest.mark.parametrize("form", LOGINS)
def test_each_login_form_gives_the_octets_that_were_typed(form: str) -> None:
    octets, expected = LOGINS[form]
    granted: Step = (lambda d: d.answer(Granted((b"X",))), [Send(b"+OK Logged in.\r\n")])
    conversation(inside_tls, [START, (octets, expected), granted])


def test_before_login_a_client_may_look_around_and_leave() -> None:
    conversation(
        inside_tls,
        [
            START,
            (
                b"CAPA\r\nAUTH\r\nNOOP\r\nQUIT\r\nNOOP\r\n",
                [
                    Send(CAPA + b"USER\r\nSASL PLAIN LOGIN\r\n.\r\n+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
                    Send(b"+OK Nothing done.\r\n+OK Logging out.\r\n"),
                    Close("logged out before login"),
                ],
            ),
        ],
    )


@pytest.mark.hazard("T4")
def test_in_clear_no_credentials_are_asked_for_or_taken() -> None:
    no = b"-ERR Use TLS before logging in.\r\n"
    conversation(
        in_clear,
        [
            START,
            (b"CAPA\r\nAUTH\r\n", [Send(CAPA + b"STLS\r\n.\r\n+OK\r\n.\r\n")]),
            (b"USER u\r\nPASS p\r\nAUTH PLAIN\r\nAUTH LOGIN\r\n", [Send(no * 4)]),
        ],
    )


def test_stls_is_followed_by_a_fresh_session_inside_tls() -> None:
    conversation(
        in_clear,
        [
            START,
            (b"STLS\r\n", [Send(b"+OK Begin TLS.\r\n"), StartTls()]),
            (lambda d: d.secured(), []),
            (
                b"CAPA\r\nSTLS\r\n",
                [Send(CAPA + b"USER\r\nSASL PLAIN LOGIN\r\n.\r\n-ERR TLS is not offered here.\r\n")],
            ),
            (b"USER u\r\nPASS p\r\n", [OK, attempt("u", b"p")]),
        ],
    )


def test_a_name_given_in_plaintext_does_not_count_inside_tls() -> None:
    def permissive() -> Pop3Frontend:
        return Pop3Frontend("mx.test", tls_available=True, tls_active=False, plaintext_login=True)

    conversation(
        permissive,
        [
            START,
            (b"USER injected\r\nSTLS\r\n", [OK, Send(b"+OK Begin TLS.\r\n"), StartTls()]),
            (lambda d: d.secured(), []),
            (b"PASS p\r\n", [Send(b"-ERR USER comes first.\r\n")]),
        ],
    )


@pytest.mark.hazard("T1")
@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"USER u\r\nPASS p\r\n", b"C", b"\x16\x03\x01"])
def test_nothing_behind_stls_in_plaintext_is_ever_answered(behind: bytes) -> None:
    octets = b"STLS\r\n" + behind
    for place in range(len(octets) + 1):
        frontend = in_clear()
        frontend.start()
        actions = frontend.feed(octets[:place]) + frontend.feed(octets[place:])
        if StartTls() in actions:
            assert frontend.held <= 1
            actions += frontend.secured()
        assert sent(actions) in {b"", b"+OK Begin TLS.\r\n"}
        assert actions[-1] == Close("plaintext behind STLS")
        assert not frontend.feed(b"CAPA\r\n")


@pytest.mark.parametrize(
    ("denied", "octets"),
    [
        (REFUSED, b"-ERR [AUTH] Authentication failed.\r\n"),
        (Denied(Answer.TEMPORARY, "Try later."), b"-ERR [SYS/TEMP] Try later.\r\n"),
        (Denied(Answer.REFUSED, "密码\r\n+OK"), "-ERR [AUTH] 密码\\r\\n+OK\r\n".encode()),
    ],
)
def test_denials_say_whether_somebody_judged(denied: Denied, octets: bytes) -> None:
    conversation(
        inside_tls,
        [
            START,
            (b"USER u\r\nPASS p\r\n", [OK, attempt("u", b"p")]),
            (lambda d: d.answer(denied), [Send(octets)]),
            (
                b"PASS q\r\nUSER u\r\nPASS q\r\n",
                [Send(b"-ERR USER comes first.\r\n"), OK, attempt("u", b"q")],
            ),
        ],
    )


@pytest.mark.hazard("T15")
@pytest.mark.parametrize("behind", [b"", b"STAT\r\nRETR 1\r\nQUIT\r\n", b"STA"])
def test_what_is_pipelined_behind_a_granted_login_is_handed_on_once(behind: bytes) -> None:
    octets = b"USER u\r\nPASS p\r\n" + behind
    for place in range(len(octets) + 1):
        frontend = inside_tls()
        frontend.start()
        assert attempts(frontend.feed(octets[:place]) + frontend.feed(octets[place:])) == [
            ("u", b"p", "USER")
        ]
        assert frontend.held == len(behind)
        frontend.answer(Granted())
        assert frontend.residual() == behind
        assert frontend.residual() == b""


def test_after_a_refusal_pipelined_commands_are_commands_before_login() -> None:
    conversation(
        inside_tls,
        [
            START,
            (b"USER u\r\nPASS p\r\nDELE 1\r\nQUIT\r\n", [OK, attempt("u", b"p")]),
            (
                lambda d: d.answer(REFUSED),
                [
                    Send(
                        b"-ERR [AUTH] Authentication failed.\r\n-ERR Not known before login.\r\n+OK Logging out.\r\n"
                    ),
                    Close("logged out before login"),
                ],
            ),
        ],
    )


def test_a_client_that_sends_far_ahead_is_not_read_meanwhile() -> None:
    frontend = inside_tls()
    frontend.feed(b"USER u\r\nPASS p\r\n" + b"x" * 8193)
    assert (frontend.full, frontend.held) == (True, 8193)


@pytest.mark.hazard("T20")
@pytest.mark.parametrize(
    "octets",
    [
        b"USER victim*admin\r\nPASS p\r\n",
        b"USER victim%admin\r\nPASS p\r\n",
        b"USER a\0b\r\nPASS p\r\n",
        b"USER a\rb\r\nPASS p\r\n",
        b"USER \xff\xfe\r\nPASS p\r\n",
        b"USER u\r\nPASS p\rQUIT\r\n",
        b"USER u\r\nPASS p\0\r\n",
        b"USER u\r\nPASS " + b"p" * 256 + b"\r\n",
        b"AUTH PLAIN " + b64(b"victim\0admin\0pw") + b"\r\n",
        b"AUTH LOGIN " + b64(b"v*m") + b"\r\n" + b64(b"pw") + b"\r\n",
    ],
)
def test_credentials_refused_at_the_door_get_the_answer_of_a_wrong_password(octets: bytes) -> None:
    frontend = inside_tls()
    actions = frontend.feed(octets)
    assert not attempts(actions)
    assert sent(actions).endswith(b"-ERR [AUTH] Authentication failed.\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"X", b"USER", b"USER ", b"PASS x", b"PASS", b"CAPA x", b"APOP u 0123", b"STAT", b"AUTH XOAUTH2",
        b"AUTH PLAIN x y", b"AUTH PLAIN =", b"AUTH PLAIN !!", b"AUTH PLAIN\r\n*", b"AUTH PLAIN\r\nxx", b"AUTH LOGIN =\r\n=",
        b"\xff\xfe", b"XCLIENT ADDR=1.2.3.4", b"QUIT now", b"STLS now",
    ],
)  # fmt: skip
def test_bad_commands_are_answered_err_and_tried_nowhere(line: bytes) -> None:
    frontend = inside_tls()
    actions = frontend.feed(line + b"\r\n")
    assert not attempts(actions)
    assert sent(actions).split(b"\r\n")[-2].startswith(b"-ERR ")
    assert sent(frontend.feed(b"NOOP\r\n")) == b"+OK Nothing done.\r\n"


def test_pass_without_a_password_is_no_attempt() -> None:
    frontend = inside_tls()
    assert sent(frontend.feed(b"USER u\r\nPASS \r\n")) == b"+OK\r\n-ERR PASS takes a password.\r\n"


def test_after_a_few_bad_commands_the_session_ends() -> None:
    conversation(
        inside_tls,
        [
            START,
            (
                b"X\r\n" * 200,
                [Send(b"-ERR Not known before login.\r\n" * 5), Close("too many invalid commands")],
            ),
        ],
    )


def test_after_a_few_failed_logins_the_session_ends() -> None:
    frontend = inside_tls()
    actions: list[Action] = []
    for _ in range(5):
        frontend.feed(b"USER u\r\nPASS p\r\n")
        actions = frontend.answer(REFUSED)
    assert actions[-1] == Close("too many failed logins")


def test_answers_that_nobody_waits_for_are_dropped() -> None:
    frontend = inside_tls()
    assert frontend.answer(Granted()) == []
    assert frontend.secured() == []
    assert frontend.residual() == b""
