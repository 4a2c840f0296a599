"""Source and target, over IMAP and POP3, at once and behind STARTTLS: a peer that proves nothing is asked nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL

from mailferry.gate.admission import LoginAttempt
from mailferry.gate.judges import Judgement, Judges
from mailferry.model.access import Credentials, Protocol, Secret, Server, Side, TlsMode
from mailferry.model.causes import Cause
from mailferry.net.connect import Connector
from mailferry.plan.routing import Outcome
from mailferry.remote.target_servers import TargetServers
from tests.kit import evil
from tests.kit.move import CLIENT
from tests.kit.scripted import REC, Talk
from tests.kit.tls_files import TlsFiles, TlsPeer
from tests.remote.sessions import GENERIC, server_at
from tests.remote.test_open import imap_login, pop3_login

NAME, PASSWORD = "u@old.test", b"Zahl-7391-Klee"
PROOFLESS: dict[str, Callable[[TlsFiles, TlsFiles], TlsPeer]] = {
    "another name": lambda ours, _: TlsPeer(ours.issue("mail.elsewhere.test")),
    "expired": lambda ours, _: TlsPeer(ours.issue("127.0.0.1", expired=True)),
    "not yet valid": lambda ours, _: TlsPeer(ours.issue("127.0.0.1", not_yet=True)),
    "another authority": lambda _, other: TlsPeer(other.issue("127.0.0.1")),
    "an old version": lambda ours, _: TlsPeer(ours.issue("127.0.0.1"), newest=SSL.TLS1_1_VERSION),
    "sound": lambda ours, _: TlsPeer(ours.issue("127.0.0.1")),
}


async def listening(protocol: Protocol, tls: TlsMode, peer: TlsPeer) -> REC:
    if tls is TlsMode.IMPLICIT:
        return await REC(imap_login() if protocol is Protocol.IMAP else pop3_login(), tls=peer).start()
    if protocol is Protocol.IMAP:
        return await REC(evil.imap_behind_starttls(b"", peer)).start()

    async def behind_stls(talk: Talk) -> None:
        talk.send(b"+OK ready\r\n")
        while (await talk.line()).upper() != b"STLS":
            talk.send(b"+OK\r\nSTLS\r\nUSER\r\n.\r\n")
        talk.send(b"+OK begin TLS\r\n")
        await talk.upgrade(peer)
        while True:
            verb = (await talk.line()).partition(b" ")[0].upper()
            talk.send({b"CAPA": b"+OK\r\nUSER\r\n.\r\n", b"STAT": b"+OK 3 900\r\n"}.get(verb, b"+OK\r\n"))

    return await REC(behind_stls).start()


async def judged(side: Side, server: Server) -> Judgement:
    """Let the gate's judges ask `server` as the source or as the target."""
    from twisted.internet import reactor

    imap = server if server.protocol is Protocol.IMAP else server_at(1, Protocol.IMAP)
    pop3 = server if server.protocol is Protocol.POP3 else None
    judges = Judges(
        connector=Connector(reactor),
        profiles={"generic": GENERIC},
        target=TargetServers(imap=imap, pop3=pop3),
        reactor=reactor,
    )
    domain = SimpleNamespace(target_imap=None, target_pop3=None, login_form="full", provider="generic")
    place: Any = SimpleNamespace(
        address=NAME, domain=domain, source_login=None, account=None, asked_source=lambda _: server
    )
    attempt = LoginAttempt(server.protocol, Credentials(NAME, Secret(PASSWORD)), CLIENT, "test")
    asked = judges.ask_source if side is Side.SOURCE else judges.ask_target
    return await asked(place, attempt)


@pytest.mark.hazard("T5")
@pytest.mark.parametrize("proof", PROOFLESS)
@pytest.mark.parametrize("tls", [TlsMode.IMPLICIT, TlsMode.STARTTLS])
@pytest.mark.parametrize("protocol", list(Protocol))
async def test_who_proves_nothing_is_told_no_password_and_reads_as_later(
    protocol: Protocol, tls: TlsMode, proof: str, tmp_path: Path
) -> None:
    ours, other = TlsFiles(tmp_path / "ours"), TlsFiles(tmp_path / "other")
    rec = await listening(protocol, tls, PROOFLESS[proof](ours, other))
    server = Server(protocol=protocol, host="127.0.0.1", port=rec.port, tls=tls, ca=str(ours.ca))
    unheard = (Outcome.UNAVAILABLE, Cause.TLS_ERROR)
    for side in Side:
        said = await judged(side, server)
        if proof == "sound":  # so that the others fail by what they are named for
            assert said.session is not None
            said.session.carrier.abort()
        else:
            assert (side, said.outcome, said.cause) == (side, *unheard)
    heard = b""
    for talk in rec.talks:
        await talk.gone()
        heard += talk.plain + talk.received
    known = [PASSWORD, base64.b64encode(b"\0%s\0%s" % (NAME.encode(), PASSWORD))]
    assert any(form in heard for form in known) is (proof == "sound")
    await rec.stop()
