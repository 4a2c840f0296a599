from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.login.actions import Failed, Proved, Send, Stage, StartTls
from mailferry.login.pop3_backend import Pop3Backend
from mailferry.login.protocols import DIALOGUES
from mailferry.model.access import Credentials, Protocol, Secret, TlsMode
from mailferry.model.profile import Profile
from tests.kit.conversation import Step, conversation, sent

GENERIC = Profile("generic", {"en": "Generic"})
START: Step = (lambda d: d.start(), [])
GREETING = b"+OK hi\r\n"


def backend(
    password: bytes = b"pw",
    name: str = "u@a",
    *,
    authzid: str = "",
    profile: Profile = GENERIC,
    tls: TlsMode = TlsMode.IMPLICIT,
) -> Callable[[], Pop3Backend]:
    return lambda: Pop3Backend(
        Credentials(name, Secret(password), authzid), profile, tls_mode=tls, tag_source=iter(())
    )


def broken(text: bytes, stage: str) -> Failed:
    return Failed(False, "BAD", b"the server broke the protocol: " + text, stage)


def plain(authzid: bytes, name: bytes, password: bytes) -> bytes:
    return base64.b64encode(authzid + b"\0" + name + b"\0" + password)


USER: Step = (GREETING, [Send(b"USER u@a\r\n")])
PASS: Step = (b"+OK core mail\r\n", [Send(b"PASS pw\r\n")])


def test_a_login_is_proved_by_stat() -> None:
    conversation(
        backend(),
        [
            START,
            USER,
            PASS,
            (b"+OK 67 message(s) [3603306 byte(s)]\r\n", [Send(b"STAT\r\n")]),
            (b"+OK 67 3603306\r\n", [Proved((), "STAT")]),
        ],
    )


def test_octets_behind_the_last_answer_are_the_next_users() -> None:
    run = backend()()
    run.start()
    for octets in (GREETING, b"+OK\r\n", b"+OK\r\n"):
        run.feed(octets)
    assert run.feed(b"+OK 1 2\r\n-ERR id") == [Proved((), "STAT", b"-ERR id")]


def test_a_password_with_spaces_and_8_bit_goes_as_it_is() -> None:
    conversation(
        backend(b" p \xff "),
        [
            START,
            (GREETING, [Send(b"CAPA\r\n")]),
            (b"+OK\r\nUIDL\r\nSASL CRAM-MD5\r\n.\r\n", [Send(b"USER u@a\r\n")]),
            (b"+OK\r\n", [Send(b"PASS  p \xff \r\n")]),
        ],
    )


def test_an_8_bit_password_goes_by_plain_where_it_is_offered() -> None:
    conversation(
        backend(b"p\xff"),
        [
            START,
            (GREETING, [Send(b"CAPA\r\n")]),
            (b"+OK\r\nSASL login plain\r\n.\r\n", [Send(b"AUTH PLAIN\r\n")]),
            (b"+ \r\n", [Send(plain(b"", b"u@a", b"p\xff") + b"\r\n")]),
            (b"+OK in\r\n", [Send(b"STAT\r\n")]),
        ],
    )


def test_a_master_acts_as_another_user_by_plain_only() -> None:
    asks: list[Step] = [START, (GREETING, [Send(b"CAPA\r\n")])]
    conversation(
        backend(b"m", "boss", authzid="u@a"),
        [
            *asks,
            (b"+OK\r\nSASL PLAIN\r\n.\r\n", [Send(b"AUTH PLAIN\r\n")]),
            (b"+\r\n", [Send(plain(b"u@a", b"boss", b"m") + b"\r\n")]),
            (b"-ERR [AUTH] no\r\n", [Failed(True, "AUTH", b"[AUTH] no", Stage.LOGIN)]),
        ],
    )
    text = b"acting as another user needs SASL PLAIN, which the server does not offer"
    conversation(
        backend(b"m", "boss", authzid="u@a"),
        [*asks, (b"-ERR what?\r\n", [Failed(False, None, text, Stage.LOGIN)])],
    )


def test_a_profile_without_login_uses_plain() -> None:
    conversation(
        backend(profile=Profile("x", {}, auth_order=("PLAIN",))),
        [START, (GREETING, [Send(b"CAPA\r\n")]), (b"+OK\r\nSASL PLAIN\r\n.\r\n", [Send(b"AUTH PLAIN\r\n")])],
    )


# ---- TLS


def test_stls_comes_before_everything() -> None:
    conversation(
        backend(tls=TlsMode.STARTTLS),
        [
            START,
            (GREETING, [Send(b"STLS\r\n")]),
            (b"+OK go\r\n", [StartTls()]),
            (lambda d: d.secured(), [Send(b"USER u@a\r\n")]),
        ],
    )


@pytest.mark.hazard("T2")
@pytest.mark.parametrize("behind", [b"+OK\r\n", b"+OK\r\n+OK\r\n+OK 0 0\r\n", b"+"])
def test_octets_behind_the_stls_ok_end_everything(behind: bytes) -> None:
    octets = b"+OK go\r\n" + behind
    for place in range(len(octets) + 1):
        run = backend(tls=TlsMode.STARTTLS)()
        run.start()
        run.feed(GREETING)
        actions = run.feed(octets[:place]) + run.feed(octets[place:])
        assert sent(actions) == b""
        assert isinstance(actions[-1], Failed)
        assert not run.secured()


@pytest.mark.hazard("T4")
@pytest.mark.parametrize("answer", [b"-ERR no\r\n", b"+ go\r\n", b"* OK\r\n", b"\r\n"])
def test_without_tls_no_credentials_leave(answer: bytes) -> None:
    run = backend(tls=TlsMode.STARTTLS)()
    assert sent(run.start() + run.feed(GREETING)) == b"STLS\r\n"
    [failure] = run.feed(answer)
    assert isinstance(failure, Failed)
    assert (failure.judged, failure.stage) == (False, Stage.STARTTLS)


# ---- refusals


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([b"-ERR [SYS/TEMP] busy\r\n"], Failed(False, "SYS/TEMP", b"[SYS/TEMP] busy", Stage.GREETING)),
        ([b"* OK imap\r\n"], broken(b"neither +OK nor -ERR", Stage.GREETING)),
        (
            [GREETING, b"-ERR [AUTH] under a layer\r\n"],
            Failed(False, "AUTH", b"[AUTH] under a layer", Stage.LOGIN),
        ),
        (
            [GREETING, b"+OK\r\n", b"-ERR \xb5\xc7\xc2\xbc\r\n"],
            Failed(True, None, b"\xb5\xc7\xc2\xbc", Stage.LOGIN),
        ),
        ([GREETING, b"+OK\r\n", b"-ERR [IN-USE] x\r\n"], Failed(True, "IN-USE", b"[IN-USE] x", Stage.LOGIN)),
        ([GREETING, b"+OK\r\n", b"+ \r\n"], broken(b"neither +OK nor -ERR", Stage.LOGIN)),
        ([GREETING, b"+OK\r\n", b"+OK\r\n", b"-ERR gone\r\n"], Failed(True, None, b"gone", Stage.PROOF)),
        (
            [GREETING, b"+OK\r\n", b"+OK\r\n", b"+OK x\r\n"],
            broken(b"STAT without its two numbers", Stage.PROOF),
        ),
    ],
)
def test_refusals_say_whether_the_password_was_judged(steps: list[bytes], expected: Failed) -> None:
    run = backend()()
    actions = run.start()
    for octets in steps:
        actions = run.feed(octets)
    assert actions == [expected]
    assert run.closed() == []


@pytest.mark.hazard("T2")
def test_answers_that_come_before_their_commands_prove_nothing() -> None:
    run = backend()()
    run.start()
    assert run.feed(GREETING + b"+OK\r\n+OK\r\n+OK 0 0\r\n") == [
        broken(b"an answer came before its command", Stage.LOGIN)
    ]


def test_plain_accepted_before_the_password_was_sent_proves_nothing() -> None:
    run = backend(profile=Profile("x", {}, auth_order=("PLAIN",)))()
    run.start()
    run.feed(GREETING)
    run.feed(b"+OK\r\nSASL PLAIN\r\n.\r\n")
    assert run.feed(b"+OK\r\n") == [broken(b"a login accepted before the password was sent", Stage.LOGIN)]


def test_a_mechanism_refused_before_the_password_was_sent_is_not_judged() -> None:
    run = backend(profile=Profile("x", {}, auth_order=("PLAIN",)))()
    run.start()
    run.feed(GREETING)
    run.feed(b"+OK\r\nSASL PLAIN\r\n.\r\n")
    assert run.feed(b"-ERR not now\r\n") == [Failed(False, None, b"not now", Stage.LOGIN)]


def test_a_server_that_closes_has_judged_nothing() -> None:
    run = backend()()
    run.start()
    run.feed(GREETING)
    run.feed(b"+OK\r\n")
    assert run.closed() == [Failed(False, None, b"the server closed the connection", Stage.LOGIN)]


def test_endless_capabilities_end_the_dialogue() -> None:
    run = backend(b"\xff")()
    run.start()
    run.feed(GREETING)
    assert run.feed(b"+OK\r\n" + b"X\r\n" * 200) == [broken(b"endless capabilities", Stage.CAPABILITY)]


@pytest.mark.hazard("T18")
@pytest.mark.parametrize(
    ("name", "password"),
    [("u\r\nDELE 1", b"p"), ("u", b"p\r\nDELE 1"), ("u", b"p\0"), ("", b"p"), ("u", b"")],
)
def test_what_could_end_a_line_is_never_sent(name: str, password: bytes) -> None:
    [failure] = backend(password, name)().start()
    assert isinstance(failure, Failed)
    assert (failure.judged, failure.stage) == (False, Stage.CREDENTIALS)
    assert b"DELE" not in failure.text


@given(st.binary(max_size=300))
def test_any_octets_of_a_server_are_survived(octets: bytes) -> None:
    run = backend(tls=TlsMode.NONE)()
    run.start()
    run.feed(GREETING)
    run.feed(octets)
    run.closed()


def test_the_table_names_both_sides_of_both_protocols() -> None:
    assert set(DIALOGUES) == set(Protocol)
    for dialogues in DIALOGUES.values():
        frontend = dialogues.frontend("mx.test", tls_available=False, tls_active=True, plaintext_login=False)
        run = dialogues.backend(
            Credentials("u", Secret(b"p")),
            GENERIC,
            tls_mode=TlsMode.IMPLICIT,
            tag_source=iter((b"t1",)),
            client_id=(),
            forwarded=None,
        )
        assert sent(frontend.start())
        assert run.start() == []
