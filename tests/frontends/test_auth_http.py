"""What nginx is told: our own door before the flip, the target after it, and verdicts in words it passes on."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import update

from mailferry.frontends.auth_http import REQUEST_SECONDS, AuthHttpDoor
from mailferry.frontends.auth_http_answers import Answers, NginxTerms, OwnDoor
from mailferry.gate.checking import Verdict
from mailferry.model.access import Protocol, Secret, Server, TlsMode
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Answer
from mailferry.observe.log import get_log
from mailferry.remote.target_servers import Forwarding, TargetServers
from mailferry.store import accounts, domains, schema, uidls
from mailferry.store.database import Database
from mailferry.store.uidls import MappedUidl, pack_map
from tests.frontends.asked import Checks, Listener

DOMAIN, USER = "old.test", "li@old.test"
OWN = {Protocol.IMAP: OwnDoor("127.0.0.1", 9143), Protocol.POP3: OwnDoor("127.0.0.1", 9110)}
OURS, OTHER, WRONG = b"ours", b"chosen there", b"wrong"
VERDICTS = {
    OTHER: Verdict(None, USER),
    WRONG: Verdict(Answer.REFUSED, USER, "密码不对", "Wrong password."),
    b"later": Verdict(Answer.TEMPORARY, USER, "请稍后", "Try again later."),
}
TARGET = TargetServers(
    Server(Protocol.IMAP, "127.0.0.1", 10143, TlsMode.NONE),
    Server(Protocol.POP3, "127.0.0.1", 10110, TlsMode.NONE),
)

pytestmark = pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)


class Keeper:
    """Knows the one password that the target has from us."""

    async def is_ours(self, account: object, domain: object, password: Secret) -> bool:
        return password.reveal() == OURS


class Here:
    """A listener for nginx over a store with one domain."""

    def __init__(self, store: Database) -> None:
        from twisted.internet import reactor

        self.store = store
        self.reactor: Any = reactor
        self.checks = Checks(VERDICTS)
        store.run_now(
            "domain",
            lambda conn: domains.add(
                conn,
                DOMAIN,
                source_imap="imaps://imap.old.test:993",
                source_pop3="pop3s://pop.old.test:995",
                provider="generic",
                login_form="full",
                switch="when-copied",
                language="zh",
            ),
        )
        self.listeners: list[tuple[Listener, AuthHttpDoor]] = []

    def open(
        self,
        *,
        key: Secret | None = None,
        target: TargetServers = TARGET,
        doors: dict[Protocol, OwnDoor] | None = None,
        submission: tuple[str, int] | None = ("127.0.0.1", 10587),
        default_domain: str | None = None,
    ) -> Listener:
        """Listen."""
        answers = Answers(
            NginxTerms(OWN if doors is None else doors, submission, default_domain),
            checks=self.checks,
            keeper=Keeper(),
            target=target,
            database=self.store,
            log=get_log("nginx"),
        )
        door = AuthHttpDoor(answers, key=key, reactor=self.reactor, log=get_log("nginx"))
        listener = Listener(self.reactor, door.accept)
        self.listeners.append((listener, door))
        return listener

    async def ask(self, listener: Listener, password: bytes = OURS, **more: str) -> dict[str, str]:
        """Ask as nginx does; return the reply's headers."""
        escaped = b"".join(b"%%%02x" % x if x <= 0x20 or x == 0x25 else bytes([x]) for x in password)
        headers = {
            "Auth-Method": "plain",
            "Auth-User": USER,
            "Auth-Protocol": "imap",
            "Client-IP": "192.0.2.7",
        }
        headers.update({name.replace("_", "-"): value for name, value in more.items()})
        lines = [f"{name}: {value}".encode() for name, value in headers.items()]
        return await raw(listener, b"\r\n".join([b"GET /auth HTTP/1.0", *lines, b"Auth-Pass: " + escaped]))

    def put(self, phase: Phase, *, window_open: bool = True) -> None:
        """Let the account stand in `phase`."""

        def write(conn: Any) -> None:
            account = accounts.ensure(conn, USER, DOMAIN)
            accounts.place_on_target(conn, account.id, phase, epoch=account.epoch, detail="test")
            if not window_open:
                over = {"window_ends_at": 1.0, "window_over_for": 1e9}
                conn.execute(update(schema.domains).values(**over))

        self.store.run_now("phase", write)

    def map_uidls(self) -> None:
        """Let the account's maildrop be renumbered."""
        packed = pack_map([MappedUidl(b"old", b"new")])

        def write(conn: Any) -> None:
            found = accounts.find(conn, USER)
            assert found is not None
            uidls.save_map(conn, found.id, packed)

        self.store.run_now("uidls", write)


@pytest_twisted.async_yield_fixture
async def here(store: Database) -> AsyncIterator[Here]:
    made = Here(store)
    yield made
    for listener, door in made.listeners:
        await listener.stop()
        await door.drain(1.0)


async def raw(listener: Listener, head: bytes) -> dict[str, str]:
    """Send a head; return the reply's headers, with the status under an empty name."""
    talk = await listener.talk()
    talk.send(head + b"\r\n\r\n")
    await talk.gone()
    first, *lines = talk.received.decode().partition("\r\n\r\n")[0].split("\r\n")
    return {"": first.partition(" ")[2], **dict(line.split(": ", 1) for line in lines)}


def sent(reply: dict[str, str]) -> str:
    assert reply["Auth-Status"] == "OK", reply
    return f"{reply['Auth-Server']}:{reply['Auth-Port']}"


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_before_the_flip_nginx_brings_clients_to_our_own_door_which_judges(
    here: Here, protocol: str
) -> None:
    listener = here.open()
    own = f"127.0.0.1:{OWN[Protocol(protocol)].port}"
    assert sent(await here.ask(listener, WRONG, Auth_Protocol=protocol)) == own
    for phase in (Phase.BACKFILL, Phase.STALLED, Phase.LOCAL):
        here.put(phase)
        assert sent(await here.ask(listener, WRONG, Auth_Protocol=protocol)) == own
    assert sent(await here.ask(listener, Auth_User="who@elsewhere.test", Auth_Protocol=protocol)) == own
    assert here.checks.attempts == []


@pytest.mark.parametrize(("protocol", "port"), [("imap", 10143), ("pop3", 10110)])
async def test_after_the_flip_nginx_goes_to_the_target_itself(here: Here, protocol: str, port: int) -> None:
    listener = here.open()
    here.put(Phase.SWITCHED)
    reply = await here.ask(listener, Auth_User=USER.upper(), Auth_Protocol=protocol)
    assert (sent(reply), reply["Auth-User"]) == (f"127.0.0.1:{port}", USER)
    assert here.checks.attempts == []


@pytest.mark.hazard("T26")
async def test_a_name_without_a_domain_goes_where_its_account_goes(here: Here) -> None:
    listener = here.open(default_domain=DOMAIN)
    here.put(Phase.SWITCHED)
    reply = await here.ask(listener, Auth_User=USER.partition("@")[0])
    assert (sent(reply), reply["Auth-User"]) == ("127.0.0.1:10143", USER)
    assert here.checks.attempts == []


async def test_a_password_that_is_not_ours_is_judged_while_the_window_is_open(here: Here) -> None:
    listener = here.open()
    here.put(Phase.SWITCHED)
    assert sent(await here.ask(listener, OTHER)) == "127.0.0.1:10143"
    assert (await here.ask(listener, WRONG))["Auth-Status"] == "[AUTHENTICATIONFAILED] 密码不对"
    assert [one.trigger for one in here.checks.attempts] == [Trigger.IMAP] * 2
    assert here.checks.attempts[0].client.host == "192.0.2.7"


@pytest.mark.parametrize("phase", [Phase.SWITCHED, Phase.CLOSED])
async def test_after_the_window_the_target_alone_judges(here: Here, phase: Phase) -> None:
    listener = here.open()
    here.put(Phase.SWITCHED, window_open=False)
    if phase is Phase.CLOSED:
        here.put(phase, window_open=False)
    assert sent(await here.ask(listener, WRONG)) == "127.0.0.1:10143"
    assert here.checks.attempts == []


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_an_account_whose_maildrop_is_renumbered_stays_with_us(here: Here, protocol: str) -> None:
    listener = here.open()
    here.put(Phase.SWITCHED)
    here.map_uidls()
    assert sent(await here.ask(listener, Auth_Protocol=protocol)).endswith(str(OWN[Protocol(protocol)].port))


@pytest.mark.parametrize(
    "target",
    [
        TargetServers(Server(Protocol.IMAP, "127.0.0.1", 993, TlsMode.IMPLICIT), None),
        TargetServers(Server(Protocol.IMAP, "127.0.0.1", 143, TlsMode.STARTTLS), None),
        TargetServers(Server(Protocol.IMAP, "imap.new.test", 143, TlsMode.NONE), None),
        dataclasses.replace(TARGET, forwarding=Forwarding.DOVECOT_ID),
        dataclasses.replace(TARGET, forwarding=Forwarding.PROXY),
    ],
    ids=["tls", "starttls", "a-name", "told-by-id", "told-by-a-header-that-nginx-does-not-send"],
)
async def test_a_target_that_nginx_cannot_reach_as_we_do_is_reached_through_us(
    here: Here, target: TargetServers
) -> None:
    listener = here.open(target=target)
    here.put(Phase.SWITCHED)
    assert sent(await here.ask(listener)) == "127.0.0.1:9143"


async def test_nginx_that_sends_a_header_goes_only_to_a_target_that_takes_it(here: Here) -> None:
    doors = {Protocol.IMAP: OwnDoor("127.0.0.1", 9143, wants_header=True)}
    here.put(Phase.SWITCHED)
    taking = here.open(doors=doors, target=dataclasses.replace(TARGET, forwarding=Forwarding.PROXY))
    assert sent(await here.ask(taking)) == "127.0.0.1:10143"
    not_taking = here.open(doors=doors)
    assert sent(await here.ask(not_taking)) == "127.0.0.1:9143"


async def test_smtp_is_judged_and_brought_to_the_submission_server(here: Here) -> None:
    listener = here.open()
    reply = await here.ask(listener, OTHER, Auth_Protocol="smtp")
    assert (sent(reply), reply["Auth-User"]) == ("127.0.0.1:10587", USER)
    assert here.checks.attempts[0].trigger is Trigger.SMTP


@pytest.mark.parametrize(
    ("password", "code", "status"),
    [(WRONG, "535 5.7.8", "Wrong password."), (b"later", "454 4.7.0", "Try again later.")],
)
async def test_smtp_failures_have_the_code_that_says_whether_to_come_again(
    here: Here, password: bytes, code: str, status: str
) -> None:
    reply = await here.ask(here.open(), password, Auth_Protocol="smtp")
    assert (reply["Auth-Error-Code"], reply["Auth-Status"]) == (code, status)


@pytest.mark.parametrize(
    ("protocol", "password", "status"),
    [
        ("imap", WRONG, "[AUTHENTICATIONFAILED] 密码不对"),
        ("imap", b"later", "[UNAVAILABLE] 请稍后"),
        ("pop3", WRONG, "[AUTH] 密码不对"),
        ("pop3", b"later", "[SYS/TEMP] 请稍后"),
    ],
)
async def test_refused_and_temporary_have_the_codes_of_their_protocol(
    here: Here, protocol: str, password: bytes, status: str
) -> None:
    listener = here.open()
    here.put(Phase.SWITCHED)
    reply = await here.ask(listener, password, Auth_Protocol=protocol)
    assert reply["Auth-Status"] == status
    assert "Auth-Server" not in reply


async def test_a_client_may_try_again_on_its_connection_but_not_for_ever(here: Here) -> None:
    listener = here.open()
    waits = [
        "Auth-Wait" in await here.ask(listener, WRONG, Auth_Protocol="smtp", Auth_Login_Attempt=str(n))
        for n in (1, 4, 5, 6)
    ]
    assert waits == [True, True, False, False]


@pytest.mark.hazard("T18")
@pytest.mark.parametrize(
    "password", [b"a\r\nDELE 1", b"a\nb", b"a\0b", b"x" * 256], ids=["crlf", "lf", "nul", "long"]
)
async def test_no_password_that_nginx_would_put_on_a_line_of_its_own_gets_as_far_as_a_server(
    here: Here, password: bytes
) -> None:
    listener = here.open()
    here.put(Phase.SWITCHED)
    for protocol in ("imap", "pop3", "smtp"):
        reply = await here.ask(listener, password, Auth_Protocol=protocol)
        assert "Authentication failed." in reply["Auth-Status"]
        assert "Auth-Server" not in reply
    assert here.checks.attempts == []


@pytest.mark.parametrize("name", ["victim*admin@old.test", "a%25b@old.test", "li%0d%0aDELE@old.test", ""])
async def test_a_name_that_means_two_users_is_refused(here: Here, name: str) -> None:
    reply = await here.ask(here.open(), Auth_User=name)
    assert reply["Auth-Status"] == "[AUTHENTICATIONFAILED] Authentication failed."


@pytest.mark.parametrize("method", ["cram-md5", "apop", "external", "none"])
async def test_a_method_that_shows_no_password_is_refused(here: Here, method: str) -> None:
    reply = await here.ask(here.open(), Auth_Method=method, Auth_Protocol="smtp")
    assert reply["Auth-Error-Code"] == "535 5.7.8"


async def test_what_is_not_configured_reads_as_temporary(here: Here) -> None:
    listener = here.open(doors={}, submission=None)
    assert (await here.ask(listener))["Auth-Status"].startswith("[UNAVAILABLE]")
    assert (await here.ask(listener, Auth_Protocol="smtp"))["Auth-Error-Code"] == "454 4.7.0"


@pytest.mark.hazard("T29")
async def test_without_the_key_nobody_learns_anything(here: Here) -> None:
    listener = here.open(key=Secret(b"the key"))
    assert sent(await here.ask(listener, Auth_Key="the key")) == "127.0.0.1:9143"
    for reply in (await here.ask(listener), await here.ask(listener, Auth_Key="another")):
        assert reply[""] == "403 Forbidden"
        assert not any(name.startswith("Auth-") for name in reply)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x", "400 Bad Request"),
        (b"GET / HTTP/1.0\r\nAuth-User: " + b"x" * 20_000, "431 Request Header Fields Too Large"),
    ],
    ids=["post", "endless"],
)
async def test_a_request_that_nginx_does_not_send_gets_no_verdict(
    here: Here, head: bytes, status: str
) -> None:
    assert (await raw(here.open(), head))[""] == status


async def test_a_client_that_says_nothing_is_not_waited_for(store: Database) -> None:
    from twisted.internet import reactor
    from twisted.internet.task import Clock

    clock = Clock()
    answers: Any = None
    door = AuthHttpDoor(answers, key=None, reactor=clock, log=get_log("nginx"))
    listener = Listener(reactor, door.accept)
    talk = await listener.talk()
    talk.send(b"GET /auth")
    while not len(door):
        await talk.until(lambda: bool(len(door)))
    clock.advance(REQUEST_SECONDS)
    await talk.gone()
    await listener.stop()


async def test_nginx_that_goes_away_stops_what_is_judged_for_it(here: Here) -> None:
    listener = here.open()
    talk = await listener.talk()
    talk.send(
        b"GET /auth HTTP/1.0\r\nAuth-Method: plain\r\nAuth-User: li@old.test\r\nAuth-Pass: slow\r\n"
        b"Auth-Protocol: smtp\r\n\r\n"
    )
    from twisted.internet import task

    while not here.checks.waiting:
        await task.deferLater(here.reactor, 0.005, lambda: None)
    talk.close()
    await talk.gone()
    while not here.checks.cancelled:
        await task.deferLater(here.reactor, 0.005, lambda: None)
