"""Opening a proved session at a server, or one sorted failure (promises A3 and A4.2).

The login dialogue does the talking and no I/O; here it gets a carrier, a time limit and tags that
nobody can guess. This file alone makes a `Witness`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_hex

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mailferry import __version__
from mailferry.login.actions import Action, Backend, Close, Failed, Proved, Send, StartTls
from mailferry.login.protocols import DIALOGUES
from mailferry.model.access import Credentials, Protocol, Server
from mailferry.model.causes import Cause, Unavailable
from mailferry.model.profile import Profile
from mailferry.model.witness import Witness
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.net.connect import Connector
from mailferry.net.silence import unwatch, watch
from mailferry.remote.failures import login_failure
from mailferry.wire.proxy_header import Endpoint

OPEN_SECONDS = 30.0
CLIENT_ID = (("name", "mailferry"), ("version", __version__), ("vendor", "mailferry"))
"""What ID (RFC 2971) says of us; NetEase opens no mailbox for a client without name, version and vendor."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that is logged in and proved usable; nobody is attached to its carrier yet.

    `capabilities` are the server's own after login. `residual` are octets that it sent behind its
    last answer; they come before anything that the carrier holds.
    """

    carrier: Carrier
    protocol: Protocol
    capabilities: tuple[bytes, ...]
    residual: bytes
    witness: Witness


async def open_session(
    connector: Connector,
    server: Server,
    credentials: Credentials,
    profile: Profile,
    *,
    reactor: IReactorTime,
    timeout: float = OPEN_SECONDS,
    client: Endpoint | None = None,
    door: Endpoint | None = None,
    personal: bool = True,
    own_word: bool = False,
) -> OpenSession:
    """Connect, log in, and prove that the session works, all within `timeout` seconds.

    `client` is told to a server that is configured as trusting us, and where it has a PROXY header the
    `door` as well that the client came in by. `personal` is False for a master's or an administrator's credentials. `own_word` spares the
    proof at an IMAP server whose OK shows the session (see ImapBackend): for one that is ours, never for a source.
    Raises Refused when the server judged the login and said no, Unavailable for everything else; nothing is left
    open then.
    """
    began = reactor.seconds()
    carrier = await connector.connect(server, timeout=timeout, client=client, door=door)
    dialogue = DIALOGUES[server.protocol].backend(
        credentials,
        profile,
        tls_mode=server.tls,
        tag_source=random_tags(),
        client_id=CLIENT_ID,
        forwarded=None if server.proxy_header else client,
        own_word=own_word,
    )
    driver = _Driver(carrier, server, dialogue, profile, credentials=credentials, personal=personal)
    driver.due, driver.timeout = began + timeout, timeout
    watch(driver, reactor)
    try:
        proved = await driver.run()
    finally:
        unwatch(driver, reactor)
        driver.leave()
    witness = Witness(
        server=server,
        login=credentials.authcid,
        confidential=carrier.confidential,
        proved_by=proved.proved_by,
    )
    return OpenSession(carrier, server.protocol, proved.capabilities, proved.residual, witness)


def random_tags() -> Iterator[bytes]:
    """Give tags that cannot be guessed; a letter comes first (NetEase refuses tags of digits)."""
    while True:
        digits = token_hex(20).encode("ascii")
        for begin in (0, 10, 20, 30):
            yield b"m" + digits[begin : begin + 10]


class _Driver:
    """Carries a backend dialogue's octets: the carrier's user until the login has succeeded or failed."""

    def __init__(
        self,
        carrier: Carrier,
        server: Server,
        dialogue: Backend,
        profile: Profile,
        *,
        credentials: Credentials,
        personal: bool,
    ) -> None:
        self._carrier = carrier
        self._server = server
        self._dialogue = dialogue
        self._profile = profile
        self._credentials = credentials
        self._personal = personal
        self._done: Deferred[Proved] = Deferred(lambda _: carrier.abort())
        self._proved = False
        self._upgrading = False
        self.due = self.timeout = math.inf
        """When the time is over, by the reactor's clock, and how many seconds that were."""

    def run(self) -> Deferred[Proved]:
        """Begin the dialogue; fires when it has ended."""
        self._perform(self._dialogue.start())
        if not self._done.called:
            self._carrier.attach(self)
        return self._done

    def silent_for_too_long(self) -> None:
        """Give up: the time is over."""
        self._fail(Unavailable(Cause.SERVER_DOWN, f"{self._server}: no login within {self.timeout:g} s"))

    def leave(self) -> None:
        """Leave a proved session to its next user, and nothing of any other."""
        if self._proved:
            self._carrier.detach()
        else:
            self._carrier.abort()

    # ---- the carrier's user

    def received(self, data: bytes) -> None:
        """Take octets from the server."""
        if not self._done.called and not self._upgrading:
            self._perform(self._dialogue.feed(data))

    def pressure(self, full: bool) -> None:
        """A login is short; nothing waits for the network here."""

    def closed(self, reason: ClosedReason) -> None:
        """The server closed, or the network did."""
        if not self._done.called and not self._upgrading:
            self._perform(self._dialogue.closed())
            self._fail(Unavailable(Cause.SERVER_DOWN, f"{self._server}: {reason} during the login"))

    # ---- what the dialogue asks for

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if self._done.called:
                return
            if isinstance(action, Send):
                self._carrier.write(action.data)
            elif isinstance(action, StartTls):
                self._upgrade()
                return
            elif isinstance(action, Proved):
                self._proved = True
                self._carrier.detach()
                self._done.callback(action)
            elif isinstance(action, Failed):
                self._fail(
                    login_failure(
                        self._profile,
                        judged=action.judged,
                        code=action.code,
                        text=action.text,
                        stage=action.stage,
                        personal=self._personal,
                        sent=self._credentials,
                    )
                )
            elif isinstance(action, Close):
                self._fail(Unavailable(Cause.SERVER_DOWN, f"{self._server}: {action.reason}"))

    def _upgrade(self) -> None:
        self._upgrading = True
        handshake = self._carrier.start_tls_client(self._server)
        handshake.addCallbacks(self._secured, self._not_secured)

    def _secured(self, _: None) -> None:
        self._upgrading = False
        if not self._done.called:
            self._perform(self._dialogue.secured())

    def _not_secured(self, failure: Failure) -> None:
        self._upgrading = False
        self._fail(failure)

    def _fail(self, error: BaseException | Failure) -> None:
        if not self._done.called:
            self._done.errback(error)
