"""The door and its visits over real TCP: dialogue, gate and relay, and every way to leave."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from mailferry.frontends.driver import DRAIN_SECONDS, Door, DoorTerms
from mailferry.frontends.visit import LOGIN_SECONDS
from mailferry.gate.admission import Admission, Admitted, LoginAttempt, Rejected, Relayed
from mailferry.model.access import Protocol, Server, Side, TlsMode
from mailferry.model.causes import Answer
from mailferry.model.tap import Deletions, Flow, SeesAll
from mailferry.net.connect import Connector
from mailferry.net.listen import bind, listen
from mailferry.net.sockets import Listening
from mailferry.net.tls_server import ServerContexts
from mailferry.observe.log import get_log
from tests.kit.scripted import REC, Gone, Talk, dial, hang_up
from tests.kit.tls_files import TlsClient, TlsFiles

IMAP, POP3 = Protocol.IMAP, Protocol.POP3
pytestmark = pytest.mark.deadline(30)
NO = Rejected(Answer.REFUSED, "Authentication failed.")
LATER = Rejected(Answer.TEMPORARY, "Try later.")
LOGIN = {IMAP: b"a LOGIN u@old.test secret\r\n", POP3: b"USER u@old.test\r\nPASS secret\r\n"}


class Row:
    """A live session as the gate's book would keep it."""

    def __init__(self) -> None:
        self.relayed: Relayed | None = None
        self.ends = 0
        self.waiting: list[Deferred[None]] = []

    def attach(self, relayed: Relayed) -> None:
        self.relayed = relayed

    def ended(self) -> None:
        self.ends += 1
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.callback(None)

    async def end(self) -> None:
        if not self.ends:
            waiter: Deferred[None] = Deferred()
            self.waiting.append(waiter)
            await waiter


class Desk:
    """A gate that answers when the test says."""

    def __init__(self) -> None:
        self.attempts: list[LoginAttempt] = []
        self.pending: list[Deferred[Admission]] = []
        self.cancelled = 0
        self.ready: list[Admission] = []
        self.late: Deferred[Admission] | None = None
        """What comes all the same after a cancellation."""
        self.waiting: list[Deferred[None]] = []

    def admit(self, attempt: LoginAttempt) -> Deferred[Admission]:
        self.attempts.append(attempt)
        if self.ready:
            return succeed(self.ready.pop(0))
        answer: Deferred[Admission] = Deferred()
        self.pending.append(answer)
        self._wake()
        return Deferred.fromCoroutine(self._judge(answer))

    async def _judge(self, answer: Deferred[Admission]) -> Admission:
        try:
            return await answer
        except CancelledError:
            self.cancelled += 1
            self._wake()
            if self.late is None:
                raise
        return await self.late

    def _wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.callback(None)

    async def asked(self, number: int = 0) -> LoginAttempt:
        while len(self.attempts) <= number:
            waiter: Deferred[None] = Deferred()
            self.waiting.append(waiter)
            await waiter
        return self.attempts[number]

    async def dropped(self) -> None:
        while not self.cancelled:
            waiter: Deferred[None] = Deferred()
            self.waiting.append(waiter)
            await waiter


class House:
    """A door with a desk behind it, and a backend that records."""

    def __init__(self, terms: DoorTerms, clock: Any = reactor, **behind: Any) -> None:
        self.desk = Desk()
        self.door = Door(terms, self.desk, reactor=clock, log=get_log("test"))
        sock = bind("127.0.0.1", 0)
        self.listening: Listening = listen(reactor, sock, self.door.accept, contexts=terms.contexts, **behind)
        sock.close()
        self.port = self.listening.address.port
        self.clients: list[Talk] = []
        self.row = Row()
        self.rec: REC | None = None

    async def client(self, tls: TlsClient | None = None) -> Talk:
        talk = await dial(self.port, tls=tls)
        self.clients.append(talk)
        return talk

    async def greeted(self) -> Talk:
        talk = await self.client()
        await talk.expect(b"ready.\r\n")
        return talk

    async def admitted(self, script: Any = (), **terms: Any) -> Admitted:
        self.rec = await REC(script).start()
        backend = Server(IMAP, "127.0.0.1", self.rec.port, TlsMode.NONE)
        carrier = await Connector(reactor).connect(backend)
        return Admitted(carrier=carrier, side=Side.SOURCE, session=self.row, **terms)

    async def close(self) -> None:
        await self.listening.stop()
        await hang_up(*self.clients)
        await self.door.drain(0)
        assert len(self.door) == 0
        if self.rec is not None:
            await self.rec.stop()
            assert self.row.ends >= 1


def house(protocol: Protocol = IMAP, clock: Any = reactor, **terms: Any) -> House:
    filled = {"tls": TlsMode.NONE, "plaintext_login": True, "hostname": "mail.firm.test", **terms}
    return House(DoorTerms(protocol, **filled), clock)


@pytest.fixture
def contexts(tmp_path: Path) -> ServerContexts:
    issued = TlsFiles(tmp_path / "ca").issue("localhost")
    return ServerContexts(issued.certificate, issued.key, IMAP, reactor=reactor)


@pytest.mark.hazard("T15")
@pytest.mark.parametrize("protocol", [IMAP, POP3])
async def test_a_granted_login_is_relayed_with_everything_that_was_pipelined_once_and_in_order(
    protocol: Protocol,
) -> None:
    here = house(protocol)
    client = await here.greeted()
    behind = b"b SELECT INBOX\r\nc APPEND x {3+}\r\nabc\r\n"
    client.send(LOGIN[protocol] + behind)
    attempt = await here.desk.asked()
    assert attempt.credentials.authcid == "u@old.test"
    assert attempt.credentials.password.reveal() == b"secret"
    assert attempt.protocol is protocol
    assert (attempt.client.host, attempt.client.port) == (
        "127.0.0.1",
        client.transport.getHost().port,
    )
    assert attempt.session_id
    admitted = await here.admitted(capabilities=(b"IMAP4rev1", b"IDLE"), residual=b"* greetings\r\n")
    here.desk.pending[0].callback(admitted)
    server = await here.rec.talk()
    await server.expect(b"abc\r\n")
    client.send(b"d NOOP\r\n")
    await server.expect(b"d NOOP\r\n")
    assert server.received == behind + b"d NOOP\r\n"
    server.send(b"b OK done\r\n")
    told = await client.expect(b"b OK done\r\n")
    assert told.index(b"Logged in" if protocol is IMAP else b"+OK") < told.index(b"* greetings")
    assert not here.row.ends
    client.close()
    await here.row.end()
    await here.close()


HERE, ELSEWHERE = ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24")


@pytest.mark.hazard("T34")
@pytest.mark.parametrize(
    ("webmails", "balanced", "seen"),
    [
        ((HERE,), False, "203.0.113.9"),
        ((ELSEWHERE,), False, "127.0.0.1"),
        ((), False, "127.0.0.1"),
        ((HERE,), True, "198.51.100.7"),
    ],
    ids=["a webmail", "no webmail", "no webmails at all", "behind a balancer where the webmail is"],
)
async def test_who_says_for_whom_he_logs_in_is_believed_from_webmails_networks_alone(
    webmails: tuple[Any, ...], balanced: bool, seen: str
) -> None:
    terms = DoorTerms(IMAP, tls=TlsMode.NONE, plaintext_login=True, webmails=webmails)
    here = House(terms, proxies=(HERE,) if balanced else ())
    client = await here.client()
    if balanced:
        client.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 143\r\n")
    await client.expect(b"ready.\r\n")
    client.send(b'i ID ("x-originating-ip" "203.0.113.9")\r\n' + LOGIN[IMAP])
    attempt = await here.desk.asked()
    client.abort()
    await here.desk.dropped()
    await here.close()
    assert attempt.client.host == seen


@pytest.mark.hazard("T15")
async def test_after_a_denied_login_pipelined_literals_are_read_as_literals_and_never_as_commands() -> None:
    here = house()
    client = await here.greeted()
    smuggled = b"c LOGIN root toor\r\n"
    client.send(LOGIN[IMAP] + b"b APPEND x {%d+}\r\n" % len(smuggled) + smuggled + b"\r\nd NOOP\r\n")
    await here.desk.asked()
    here.desk.pending[0].callback(NO)
    await client.expect(b"d OK")
    assert b"a NO [AUTHENTICATIONFAILED]" in client.received
    assert len(here.desk.attempts) == 1
    await here.close()


@pytest.mark.parametrize(
    ("protocol", "rejected", "octets"),
    [
        (IMAP, NO, b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"),
        (IMAP, LATER, b"a NO [UNAVAILABLE] Try later.\r\n"),
        (POP3, NO, b"-ERR [AUTH] Authentication failed.\r\n"),
        (POP3, LATER, b"-ERR [SYS/TEMP] Try later.\r\n"),
    ],
)
async def test_a_rejected_login_is_answered_and_the_client_may_try_again(
    protocol: Protocol, rejected: Rejected, octets: bytes
) -> None:
    here = house(protocol)
    client = await here.greeted()
    here.desk.ready = [rejected]
    client.send(LOGIN[protocol])
    await client.expect(octets)
    client.send(LOGIN[protocol])
    await here.desk.asked(1)
    here.desk.pending[0].callback(rejected)
    await client.expect(octets)
    await here.close()


async def test_several_denials_at_once_are_answered_in_order_and_the_last_stays_pending() -> None:
    here = house()
    client = await here.greeted()
    here.desk.ready = [NO, NO]
    client.send(b"".join(b"%d LOGIN u@old.test p%d\r\n" % (n, n) for n in range(3)))
    await here.desk.asked(2)
    assert [a.credentials.password.reveal() for a in here.desk.attempts] == [b"p0", b"p1", b"p2"]
    client.abort()
    await here.desk.dropped()
    await here.close()


async def test_a_gate_that_breaks_is_a_temporary_answer_never_a_refusal() -> None:
    here = house()
    here.desk.admit = lambda attempt: fail(RuntimeError("planted"))
    client = await here.greeted()
    client.send(LOGIN[IMAP])
    await client.expect(b"a NO [UNAVAILABLE]")
    await here.close()


async def test_a_client_that_goes_while_the_gate_works_cancels_the_gate() -> None:
    for leave in ("abort", "close"):
        here = house()
        client = await here.greeted()
        client.send(LOGIN[IMAP])
        await here.desk.asked()
        getattr(client, leave)()
        await here.desk.dropped()
        await here.close()


async def test_a_session_that_was_admitted_for_nobody_is_closed_and_its_row_ended() -> None:
    here = house()
    here.desk.late = Deferred()
    client = await here.greeted()
    client.send(LOGIN[IMAP])
    await here.desk.asked()
    client.abort()
    await here.desk.dropped()
    assert len(here.door) == 1
    admitted = await here.admitted()
    here.desk.late.callback(admitted)
    server = await here.rec.talk()
    await server.gone()
    await here.row.end()
    assert server.received == b""
    while len(here.door):
        await turn()
    await here.close()


@pytest.mark.hazard("T15")
async def test_a_script_that_sends_all_and_finishes_its_side_still_gets_all_answers() -> None:
    here = house()
    client = await here.greeted()
    client.send(LOGIN[IMAP] + b"b LOGOUT\r\n")
    client.finish()
    await here.desk.asked()
    admitted = await here.admitted()
    server = await here.rec.talk()
    server.closes_too = False
    here.desk.pending[0].callback(admitted)
    await server.finished()
    assert server.received == b"b LOGOUT\r\n"
    server.send(b"* BYE\r\nb OK bye\r\n")
    server.close()
    await client.expect(b"b OK bye\r\n")
    await client.gone()
    await here.row.end()
    await here.close()


@pytest.mark.hazard("T10")
async def test_a_client_is_not_read_beyond_what_the_dialogue_keeps_while_the_gate_works() -> None:
    here = house()
    client = await here.greeted()
    client.send(LOGIN[IMAP])
    await here.desk.asked()
    flood = b"b NOOP\r\n" * 1_000_000
    client.send(flood)
    visit = next(iter(here.door.inside))
    while not visit._carrier._paused:
        await turn()
    for _ in range(50):
        await turn()
    assert visit._dialogue.held + len(visit._carrier._held) < 200_000
    here.desk.pending[0].callback(await here.admitted())
    server = await here.rec.talk()
    await server.count(len(flood))
    assert server.received == flood
    await here.close()


async def turn() -> None:
    waiter: Deferred[None] = Deferred()
    reactor.callLater(0, waiter.callback, None)
    await waiter


async def test_a_client_that_does_not_read_our_answers_is_not_read_either() -> None:
    here = house()
    client = await here.greeted()
    client.stop_reading()
    visit = next(iter(here.door.inside))
    client.send(b"a CAPABILITY\r\n" * 2_000_000)
    while not visit._carrier._paused:
        await turn()
    client.read_on()
    await client.expect(b"a OK Capabilities listed.\r\n")
    await here.close()


@pytest.mark.hazard("T12")
@pytest.mark.parametrize(
    ("protocol", "drip"),
    [(IMAP, b""), (IMAP, b"a"), (IMAP, b"a NOOP\r\n"), (POP3, b""), (POP3, b"a"), (POP3, b"NOOP\r\n")],
    ids=str,
)
async def test_sixty_seconds_after_accept_a_client_without_login_is_gone(
    protocol: Protocol, drip: bytes
) -> None:
    clock = Clock()
    here = house(protocol, clock)
    client = await here.greeted()
    visit = next(iter(here.door.inside))
    for _ in range(14):
        clock.advance(4)
        visit.received(drip)
    clock.advance(LOGIN_SECONDS - 56 - 0.1)
    assert not visit._carrier.is_closed
    clock.advance(0.1)
    await client.gone()
    assert clock.getDelayedCalls() == []
    await here.close()


@pytest.mark.hazard("T12")
async def test_a_stalled_handshake_falls_under_the_same_limit(contexts: ServerContexts) -> None:
    for mode in (TlsMode.IMPLICIT, TlsMode.STARTTLS):
        clock = Clock()
        here = house(IMAP, clock, tls=mode, contexts=contexts)
        client = await here.client()
        if mode is TlsMode.STARTTLS:
            await client.expect(b"ready.\r\n")
            client.send(b"a STARTTLS\r\n")
            await client.expect(b"a OK")
        else:
            while not len(here.door):
                await turn()
        clock.advance(LOGIN_SECONDS)
        await client.gone()
        await here.close()


@pytest.mark.parametrize("admit", [True, False])
async def test_a_login_that_is_being_judged_when_time_is_over_is_still_answered_and_no_other(
    admit: bool,
) -> None:
    clock = Clock()
    here = house(IMAP, clock)
    client = await here.greeted()
    client.send(LOGIN[IMAP] + b"b LOGIN u@old.test other\r\n")
    await here.desk.asked()
    clock.advance(LOGIN_SECONDS + 1)
    if admit:
        here.desk.pending[0].callback(await here.admitted())
        await client.expect(b"a OK")
        await here.close()
    else:
        here.desk.pending[0].callback(NO)
        await client.expect(b"a NO [AUTHENTICATIONFAILED]")
        await client.gone()
        assert len(here.desk.attempts) == 1
        await here.close()


async def test_implicit_tls_comes_before_the_greeting(contexts: ServerContexts) -> None:
    here = house(IMAP, tls=TlsMode.IMPLICIT, contexts=contexts, plaintext_login=False)
    client = await here.client(TlsClient())
    greeting = await client.expect(b"ready.\r\n")
    assert b"STARTTLS" not in greeting
    assert b"LOGINDISABLED" not in greeting
    client.send(LOGIN[IMAP])
    await here.desk.asked()
    await here.close()


async def test_starttls_must_come_before_the_password(contexts: ServerContexts) -> None:
    here = house(IMAP, tls=TlsMode.STARTTLS, contexts=contexts, plaintext_login=False)
    client = await here.greeted()
    assert b"LOGINDISABLED" in client.received
    client.send(LOGIN[IMAP])
    await client.expect(b"a NO [PRIVACYREQUIRED]")
    client.send(b"b STARTTLS\r\n")
    await client.expect(b"b OK")
    await client.upgrade(TlsClient())
    client.send(LOGIN[IMAP])
    await here.desk.asked()
    await here.close()


@pytest.mark.hazard("T1")
@pytest.mark.parametrize("when", ["same segment", "later", "split"])
async def test_a_command_behind_starttls_is_never_answered(contexts: ServerContexts, when: str) -> None:
    for protocol, ask, injected in (
        (IMAP, b"a STARTTLS\r\n", b"b NOOP\r\n"),
        (POP3, b"STLS\r\n", b"NOOP\r\n"),
    ):
        here = house(protocol, tls=TlsMode.STARTTLS, contexts=contexts, plaintext_login=False)
        client = await here.greeted()
        if when == "same segment":
            client.send(ask + injected)
        elif when == "split":
            client.send(ask + injected[:1])
            client.send(injected[1:])
        else:
            client.send(ask)
            await client.expect(b"OK")
            client.send(injected)
        await client.finished()
        assert b"b OK" not in client.received
        assert b"Nothing" not in client.received
        await client.gone()
        await here.close()


@pytest.mark.hazard("T7")
async def test_no_tls_version_in_common_ends_the_visit(contexts: ServerContexts) -> None:
    here = house(IMAP, tls=TlsMode.IMPLICIT, contexts=contexts)
    with pytest.raises(Gone):
        await here.client(TlsClient(alpn=[b"http/1.1"]))
    while len(here.door):
        await turn()
    await here.close()


class Stoppable(SeesAll):
    """A tap that ends when it is asked to, with words for both sides."""

    resting = True
    in_idle = True
    deletions = Deletions()

    def from_client(self, data: bytes) -> Flow:
        return Flow(to_server=data)

    def from_server(self, data: bytes) -> Flow:
        return Flow(to_client=data)

    def stop(self) -> Flow:
        return Flow(to_client=b"* BYE moving\r\n", to_server=b"z LOGOUT\r\n", end="moved")


async def test_the_gates_book_can_stop_a_session_and_see_whether_it_is_quiet() -> None:
    here = house()
    client = await here.greeted()
    client.send(LOGIN[IMAP])
    await here.desk.asked()
    here.desk.pending[0].callback(await here.admitted(tap=Stoppable()))
    await client.expect(b"a OK")
    client.closes_too = False
    assert here.row.relayed.quiet_for() == float("inf")
    here.row.relayed.stop()
    await client.expect(b"* BYE moving\r\n")
    await (await here.rec.talk()).expect(b"z LOGOUT\r\n")
    await (await here.rec.talk()).gone()
    await here.row.end()
    assert client.lost is None  # the row does not wait for a client that is slow to hang up
    await here.close()


async def test_a_stopping_process_lets_everybody_out() -> None:
    clock = Clock()
    here = house(IMAP, clock)
    idle, judged, served = [await here.greeted() for _ in range(3)]
    served.send(LOGIN[IMAP])
    await here.desk.asked()
    here.desk.pending[0].callback(await here.admitted(tap=Stoppable()))
    await served.expect(b"a OK")
    judged.send(LOGIN[IMAP] + b"b LOGIN u@old.test again\r\n")
    await here.desk.asked(1)
    await here.listening.stop()
    drained = here.door.drain()
    await idle.gone()
    await judged.expect(b"a NO [UNAVAILABLE]")
    await judged.gone()
    await served.expect(b"* BYE moving\r\n")
    await served.gone()
    await drained
    assert here.desk.cancelled == 1
    assert len(here.desk.attempts) == 2
    assert [c for c in clock.getDelayedCalls() if c.active()] == []
    await here.close()


async def test_a_session_that_does_not_end_is_cut_after_thirty_seconds() -> None:
    clock = Clock()
    here = house(IMAP, clock)
    client = await here.greeted()
    client.send(LOGIN[IMAP])
    await here.desk.asked()

    class Busy(Stoppable):
        def stop(self) -> Flow:
            return Flow()

    here.desk.pending[0].callback(await here.admitted(tap=Busy()))
    await client.expect(b"a OK")
    drained = here.door.drain()
    clock.advance(DRAIN_SECONDS - 1)
    assert not drained.called
    clock.advance(1)
    await client.gone()
    await drained
    await here.close()
