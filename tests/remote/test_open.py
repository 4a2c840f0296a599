"""Opening a session: proved, refused or unavailable, and no password where it must not go."""

from __future__ import annotations

import ast
import base64
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock

from mailferry.model.access import Credentials, Protocol, Secret, Server, TlsMode
from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.model.profile import Profile, SendId
from mailferry.net.connect import Connector
from mailferry.remote.open import OpenSession, open_session, random_tags
from mailferry.wire.proxy_header import Endpoint
from tests.kit import evil
from tests.kit.scripted import REC, Script, Talk
from tests.kit.tls_files import TlsFiles, TlsPeer
from tests.remote.sessions import GENERIC, server_at

PASSWORD = b"Zahl-7391-Klee"
ME = Credentials("u@old.test", Secret(PASSWORD))

IMAP = {name: script for name, script in evil.IMAP.items() if not name.startswith("endless")} | {
    "a long line": evil.flood(b"* OK " + b"x" * 4096, repeat=2000),
    "many untagged lines": evil.flood(b"* OK still here\r\n", repeat=200_000),
    "many literals": evil.flood(b"* 1 FETCH (BODY[] {8}\r\n12345678)\r\n", repeat=100_000),
}
POP3 = {name: script for name, script in evil.POP3.items() if not name.startswith("endless")} | {
    "a long line": evil.flood(b"+OK " + b"x" * 4096, repeat=2000),
    "many lines": evil.flood(b"+OK yes\r\n", repeat=200_000),
}


async def opened(
    server: Server,
    *,
    timeout: float = 5.0,
    clock: Clock | None = None,
    profile: Profile = GENERIC,
    **more: object,
) -> OpenSession:
    from twisted.internet import reactor

    return await open_session(
        Connector(reactor), server, ME, profile, reactor=clock or reactor, timeout=timeout, **more
    )


async def exchange_login(talk: Talk) -> None:
    """An Exchange that was given a wrong password; its OK does not say what it can."""
    talk.send(b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n")
    while True:
        tag, _, command = (await talk.line()).partition(b" ")
        if command == b"CAPABILITY" and b"LOGIN" not in talk.received:
            talk.send(b"* CAPABILITY IMAP4 IMAP4rev1 UIDPLUS\r\n%s OK CAPABILITY completed.\r\n" % tag)
        elif command.startswith(b"LOGIN"):
            talk.send(b"%s OK LOGIN completed.\r\n" % tag)
        else:
            talk.send(
                b"%s BAD User is authenticated but not connected.\r\n* BYE Connection is closed.\r\n" % tag
            )
            await talk.gone()
            return


def imap_login(*, login: bytes = b"OK [CAPABILITY IMAP4rev1 IDLE] in", proof: bytes = b"OK done") -> Script:
    async def run(talk: Talk) -> None:
        talk.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR NAMESPACE] ready\r\n")
        while True:
            line = await talk.line()
            if b" " not in line:
                continue
            tag, words = line.split(b" ", 1)
            verb = words.split(b" ")[0].upper()
            answer = {b"AUTHENTICATE": login, b"LOGIN": login}.get(verb, proof)
            if answer is None:
                talk.close()
                return
            talk.send(tag + b" " + answer + b"\r\n")

    return run


def pop3_login(password: bytes = b"+OK in", proof: bytes = b"+OK 3 900") -> Script:
    async def run(talk: Talk) -> None:
        talk.send(b"+OK ready\r\n")
        while True:
            verb = (await talk.line()).split(b" ")[0].upper()
            answers = {b"CAPA": b"+OK\r\nUSER\r\nPIPELINING\r\n.", b"USER": b"+OK", b"PASS": password}
            talk.send(answers.get(verb, proof) + b"\r\n")

    return run


async def test_an_imap_session_is_proved_and_handed_over_with_what_came_behind() -> None:
    rec = await REC(imap_login(proof=b"OK done\r\n* 1 EXISTS")).start()
    session = await opened(server_at(rec.port, Protocol.IMAP))
    assert session.capabilities == (b"IMAP4rev1", b"IDLE")
    assert session.residual == b"* 1 EXISTS\r\n"
    assert session.witness.login == "u@old.test"
    assert session.witness.confidential
    assert session.witness.proved_by == "LIST"
    assert PASSWORD not in repr(session).encode()
    session.carrier.abort()
    await rec.stop()


async def test_a_pop3_session_is_proved_by_stat() -> None:
    rec = await REC(pop3_login()).start()
    session = await opened(server_at(rec.port, Protocol.POP3))
    assert session.witness.proved_by == "STAT"
    session.carrier.abort()
    await rec.stop()


@pytest.mark.parametrize(
    ("script", "kind", "cause"),
    [
        pytest.param(
            imap_login(login=b"NO [AUTHENTICATIONFAILED] Authentication failed."),
            Refused,
            Cause.BAD_CREDENTIALS,
            id="judged",
        ),
        pytest.param(
            imap_login(login=b"NO [UNAVAILABLE] Temporary authentication failure."),
            Unavailable,
            Cause.SERVER_DOWN,
            id="temporary",
        ),
        pytest.param(imap_login(login=b"NO [LIMIT] too many"), Unavailable, Cause.RATE_LIMITED, id="a limit"),
        pytest.param(imap_login(login=b"NO LOGIN failed."), Refused, Cause.AMBIGUOUS_REFUSAL, id="Exchange"),
        pytest.param(imap_login(login=b"NO hm"), Unavailable, Cause.UNKNOWN, id="words that nobody knows"),
        pytest.param(
            imap_login(login=b"NO Please using authorized code to login."),
            Refused,
            Cause.APP_PASSWORD_REQUIRED,
            id="an authorization code",
        ),
        pytest.param(
            imap_login(proof=b"BAD User is authenticated but not connected."),
            Refused,
            Cause.AMBIGUOUS_REFUSAL,
            id="an OK that is none",
        ),
        pytest.param(
            exchange_login,
            Refused,
            Cause.AMBIGUOUS_REFUSAL,
            id="an OK that is none, told to the next command of any kind, with a BYE behind it",
        ),
    ],
)
async def test_refused_and_unavailable_are_never_mixed(script: Script, kind: type, cause: Cause) -> None:
    rec = await REC(script).start()
    with pytest.raises((Refused, Unavailable)) as caught:
        await opened(server_at(rec.port, Protocol.IMAP))
    assert (type(caught.value), caught.value.cause) == (kind, cause)
    await (await rec.talk()).gone()
    await rec.stop()


@pytest.mark.parametrize(
    ("words", "kind", "cause"),
    [
        (b"-ERR [AUTH] Invalid login", Refused, Cause.BAD_CREDENTIALS),
        (b"-ERR [SYS/TEMP] later", Unavailable, Cause.SERVER_DOWN),
        (
            b"-ERR [IN-USE] Mailbox is locked by another POP3 session.",
            Unavailable,
            Cause.TOO_MANY_CONNECTIONS,
        ),
        (b"-ERR \xb5\xc7\xc2\xbc\xcc\xab\xc6\xb5\xb7\xb1", Unavailable, Cause.RATE_LIMITED),
    ],
)
async def test_pop3_refusals_are_sorted_by_the_same_rules(words: bytes, kind: type, cause: Cause) -> None:
    rec = await REC(pop3_login(password=words)).start()
    with pytest.raises((Refused, Unavailable)) as caught:
        await opened(server_at(rec.port, Protocol.POP3))
    assert (type(caught.value), caught.value.cause) == (kind, cause)
    await rec.stop()


@pytest.mark.hazard("T3")
@pytest.mark.hazard("T4")
@pytest.mark.parametrize("name", sorted(IMAP))
async def test_a_hostile_imap_server_gets_no_password_and_judges_nothing(name: str) -> None:
    rec = await REC(IMAP[name]).start()
    with pytest.raises(Unavailable):
        await opened(server_at(rec.port, Protocol.IMAP, TlsMode.STARTTLS), timeout=0.3)
    await _nothing_leaked(rec)


@pytest.mark.hazard("T4")
@pytest.mark.parametrize("name", sorted(POP3))
async def test_a_hostile_pop3_server_gets_no_password_and_judges_nothing(name: str) -> None:
    rec = await REC(POP3[name]).start()
    with pytest.raises(Unavailable):
        await opened(server_at(rec.port, Protocol.POP3, TlsMode.STARTTLS), timeout=0.3)
    await _nothing_leaked(rec)


@pytest.mark.hazard("T2")
@pytest.mark.parametrize(
    "appended", [b"* CAPABILITY IMAP4rev1\r\n", b"m1 OK logged in\r\n", b"x", b"\x16\x03\x01\x00"]
)
async def test_octets_behind_the_starttls_answer_end_the_session(appended: bytes, tmp_path: Path) -> None:
    files = TlsFiles(tmp_path)
    peer = TlsPeer(files.issue("127.0.0.1"))
    rec = await REC(evil.imap_behind_starttls(appended, peer)).start()
    with pytest.raises(Unavailable):
        await opened(_trusting(rec.port, files, TlsMode.STARTTLS))
    await _nothing_leaked(rec)


@pytest.mark.hazard("T2")
async def test_octets_behind_the_stls_answer_end_the_session(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path)
    rec = await REC(evil.pop3_behind_stls(b"+OK logged in\r\n", TlsPeer(files.issue("127.0.0.1")))).start()
    with pytest.raises(Unavailable):
        await opened(_trusting(rec.port, files, TlsMode.STARTTLS, Protocol.POP3))
    await _nothing_leaked(rec)


@pytest.mark.hazard("T5")
@pytest.mark.parametrize("tls", [TlsMode.STARTTLS, TlsMode.IMPLICIT])
@pytest.mark.parametrize("fault", ["another name", "expired", "another authority"])
async def test_a_certificate_that_does_not_verify_is_unavailable(
    tls: TlsMode, fault: str, tmp_path: Path
) -> None:
    files = TlsFiles(tmp_path / "trusted")
    other = TlsFiles(tmp_path / "other")
    issued = {
        "another name": files.issue("mail.elsewhere.test"),
        "expired": files.issue("127.0.0.1", expired=True),
        "another authority": other.issue("127.0.0.1"),
    }[fault]
    peer = TlsPeer(issued)
    if tls is TlsMode.STARTTLS:
        rec = await REC(evil.imap_server_in_tls(peer)).start()
    else:
        rec = await REC(imap_login(), tls=peer).start()
    with pytest.raises(Unavailable) as caught:
        await opened(_trusting(rec.port, files, tls))
    assert caught.value.cause is Cause.TLS_ERROR
    await _nothing_leaked(rec)


async def test_a_verified_certificate_makes_the_witness_confidential(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path)
    rec = await REC(imap_login(), tls=TlsPeer(files.issue("127.0.0.1"))).start()
    session = await opened(_trusting(rec.port, files, TlsMode.IMPLICIT))
    assert session.witness.confidential
    assert session.carrier.secure is not None
    assert session.carrier.secure.verified
    session.carrier.abort()
    await rec.stop()


@pytest.mark.hazard("D20")
@pytest.mark.parametrize("stage", ["greeting", "capability", "login", "proof"])
@pytest.mark.parametrize("bye", [b"* BYE Temporarily unavailable\r\n", b""])
async def test_bye_or_a_close_at_any_point_is_unavailable(stage: str, bye: bytes) -> None:
    answers = {
        "greeting": b"* OK ready\r\n",
        "capability": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n%t OK\r\n",
        "login": b"%t OK in\r\n",
        "proof": b"%t OK\r\n",
    }

    async def leaving(talk: Talk) -> None:
        tag = b""
        for point, answer in answers.items():
            if point != "greeting":
                line = await talk.line()
                tag = line.split(b" ")[0]
            if point == stage:
                talk.send(bye)
                talk.close()
                return
            talk.send(answer.replace(b"%t", tag))

    rec = await REC(leaving).start()
    with pytest.raises(Unavailable):
        await opened(server_at(rec.port, Protocol.IMAP), timeout=2.0)
    await rec.stop()


async def test_a_server_that_is_silent_is_unavailable_after_the_time_limit() -> None:
    clock = Clock()

    async def greets(talk: Talk) -> None:
        talk.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n")

    rec = await REC(greets).start()
    opening = ensureDeferred(opened(server_at(rec.port, Protocol.IMAP), timeout=30.0, clock=clock))
    talk = await rec.talk()
    await talk.expect(b"AUTHENTICATE")
    clock.advance(29)
    assert not opening.called
    clock.advance(2)
    with pytest.raises(Unavailable, match="no login within 30 s"):
        await opening
    await talk.gone()
    await rec.stop()


async def test_nobody_listening_is_unavailable() -> None:
    rec = await REC().start()
    port = rec.port
    await rec.stop()
    with pytest.raises(Unavailable) as caught:
        await opened(server_at(port, Protocol.IMAP))
    assert caught.value.cause is Cause.SERVER_DOWN


async def test_cancelling_leaves_no_connection() -> None:
    rec = await REC().start()
    opening = ensureDeferred(opened(server_at(rec.port, Protocol.IMAP)))
    talk = await rec.talk()
    opening.cancel()
    with pytest.raises(CancelledError):
        await opening
    await talk.gone()
    await rec.stop()


@pytest.mark.hazard("T31")
async def test_a_password_that_a_server_repeats_stands_in_no_failure() -> None:
    sent = base64.b64encode(b"\0" + ME.authcid.encode() + b"\0" + ME.password.reveal())
    rec = await REC(
        imap_login(login=b"NO [AUTHENTICATIONFAILED] Error in AUTHENTICATE PLAIN " + sent)
    ).start()
    with pytest.raises(Refused) as caught:
        await opened(server_at(rec.port, Protocol.IMAP))
    assert sent in rec.received
    assert caught.value.text.endswith("Error in AUTHENTICATE PLAIN ***")
    assert sent.decode() not in str(caught.value)
    await rec.stop()


@pytest.mark.hazard("T34")
async def test_the_client_address_goes_only_where_it_was_given() -> None:
    profile = Profile(profile_id="p", names={}, send_id=SendId.BOTH)
    for address in (Endpoint("203.0.113.9", 4000), None):
        rec = await REC(imap_login()).start()
        session = await opened(server_at(rec.port, Protocol.IMAP), profile=profile, client=address)
        assert (b"x-originating-ip" in rec.received) is (address is not None)
        assert b'"name" "mailferry"' in rec.received
        session.carrier.abort()
        await rec.stop()


@pytest.mark.hazard("T2")
def test_tags_cannot_be_guessed_and_begin_with_a_letter() -> None:
    tags = random_tags()
    seen = {next(tags) for _ in range(1000)}
    assert len(seen) == 1000
    assert all(tag[:1].isalpha() and tag.isalnum() for tag in seen)


def test_only_open_makes_a_witness() -> None:
    package = Path(__file__).parents[2] / "src" / "mailferry"
    makers = set()
    for path in package.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "Witness(" in text else ():
            if isinstance(node, ast.Call) and "Witness" in {
                getattr(node.func, "id", None),
                getattr(node.func, "attr", None),
            }:
                makers.add(str(path.relative_to(package)))
    assert makers == {"remote/open.py"}


def _trusting(port: int, files: TlsFiles, tls: TlsMode, protocol: Protocol = Protocol.IMAP) -> Server:
    return Server(protocol=protocol, host="127.0.0.1", port=port, tls=tls, ca=str(files.ca))


async def _nothing_leaked(rec: REC) -> None:
    for talk in rec.talks:
        await talk.gone()
        everything = bytes(talk.plain + talk.received)
        assert PASSWORD not in everything
        assert b"LOGIN" not in everything.replace(b"LOGIN-", b"")
        assert b"AUTHENTICATE" not in everything
    await rec.stop()
