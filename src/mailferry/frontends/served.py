"""A session after its login: the relay, what the metrics and the log say of it, and its row's end."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from mailferry.frontends.relayed_octets import RelayedOctets
from mailferry.gate.admission import Admitted
from mailferry.model.access import Protocol
from mailferry.model.tap import Deletions
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.net.relay import Relay, RelayEnd
from mailferry.observe.log import Log
from mailferry.observe.metrics import SESSIONS

_RELAYED = RelayedOctets()
"""A process has one, as it has one metric."""
_NOTHING_DELETED = Deletions()
_meter = _RELAYED.count  # every session holds it


class Served(Relay):
    """One admitted session, relayed until either side ends it; the gate's `Relayed`.

    The session's row ends as soon as the server's side is closed: whatever its client still does
    cannot reach that server any more. `on_over` is called once, when nothing of it is left.
    """

    __slots__ = ("_log", "_on_over", "_protocol", "_session", "_session_id", "_side")

    def __init__(
        self,
        client: Carrier,
        admission: Admitted,
        *,
        protocol: Protocol,
        session_id: str,
        idle_limit: float,
        reactor: IReactorTime,
        log: Log,
        on_over: Callable[[Served], None],
    ) -> None:
        super().__init__(
            client, admission.carrier, admission.tap, reactor=reactor, idle_limit=idle_limit, meter=_meter
        )
        self._session = admission.session
        self._protocol = protocol.value
        self._side = admission.side.value
        self._session_id = session_id
        self._log = log
        self._on_over = on_over

    def begin(self, *, from_client: bytes, from_server: bytes) -> None:
        """Relay; what each side sent behind its login comes first."""
        SESSIONS.move(1, protocol=self._protocol, side=self._side)
        self.start(from_client=from_client, from_server=from_server)
        self._session.attach(self)

    def deletions(self) -> Deletions:
        """Return what the tap saw the server delete."""
        return _NOTHING_DELETED if self._tap is None else self._tap.deletions

    def server_is_closed(self) -> None:
        """Take the row away."""
        self._session.ended()

    def over(self, end: RelayEnd) -> None:
        """Count it, write it down, and tell whoever keeps the guests."""
        SESSIONS.move(-1, protocol=self._protocol, side=self._side)
        _RELAYED.tell()
        self._session.ended()
        self._log.info(
            "session ended",
            session=self._session_id,
            protocol=self._protocol,
            side=self._side,
            why=end.reason,
            to_server=end.to_server,
            to_client=end.to_client,
            seconds=round(end.seconds, 1),
        )
        self._on_over(self)


class Unwanted:
    """Closes the session of a login whose client is gone, and ends its row when that is done."""

    def __init__(self, admission: Admitted, on_over: Callable[[], None]) -> None:
        self._admission = admission
        self._on_over = on_over
        admission.carrier.close()
        admission.carrier.attach(self)

    def received(self, data: bytes) -> None:
        """Nothing is heard any more."""

    def pressure(self, full: bool) -> None:
        """Nothing is sent any more."""

    def closed(self, reason: ClosedReason) -> None:  # noqa: ARG002 - whatever the reason
        """Take the row away."""
        self._admission.session.ended()
        self._on_over()
