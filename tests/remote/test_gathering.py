"""Gathering the facts for detection: DNS and first words, within bounds, and never more than is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import deferLater
from twisted.names import dns

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.causes import Unavailable
from mailferry.net.connect import Connector
from mailferry.providers.detection import Gathered, detect
from mailferry.providers.loader import load_profiles
from mailferry.remote import dns_records
from mailferry.remote.dns_records import DnsRecords, NoRecords
from mailferry.remote.first_look import FirstLook, first_look
from mailferry.remote.gathering import gather, usual_servers
from tests.kit import evil
from tests.kit.dns_host import DnsHost
from tests.kit.scripted import REC, Script, Talk
from tests.kit.tls_files import TlsFiles, TlsPeer

ZONE = {
    "firm.example": [
        dns.Record_MX(20, b"qiye163mx02.mxmail.netease.com"),
        dns.Record_MX(10, b"QIYE163MX01.mxmail.netease.com"),
        dns.Record_TXT(b"some-verification=1"),
        dns.Record_TXT(b"v=spf1 include:spf.163.com ", b"~include:_spf.google.com -all"),
    ],
    "imap.firm.example": [dns.Record_CNAME(b"imap.qiye.163.com")],
    "mail.firm.example": [dns.Record_A("127.0.0.1")],
}


def netease(tls: TlsPeer | None = None) -> Script:
    async def run(talk: Talk) -> None:
        if tls is not None:
            await talk.upgrade(tls)
        talk.send(b"* OK Coremail System IMap Server Ready(163com[1a2b])\r\n")
        while True:
            tag, _, command = (await talk.line()).partition(b" ")
            verb = command.split()[0].upper()
            if verb == b"CAPABILITY":
                talk.send(b"* CAPABILITY IMAP4rev1 XLIST X-CM-EXT-1\r\n")
            elif verb == b"ID":
                talk.send(b'* ID ("name" "Coremail Imap" "vendor" "Mailtech" "TransID" "x")\r\n')
            elif verb == b"LOGOUT":
                talk.send(b"* BYE\r\n")
            talk.send(tag + b" OK done\r\n")

    return run


def at(port: int, protocol: Protocol = Protocol.IMAP, tls: TlsMode = TlsMode.STARTTLS) -> Server:
    return Server(protocol, "127.0.0.1", port, tls)


async def look(server: Server, *, seconds: float = 3.0) -> FirstLook:
    from twisted.internet import reactor

    return await first_look(Connector(reactor), server, reactor=reactor, seconds=seconds)


def records(host: DnsHost) -> DnsRecords:
    from twisted.internet import reactor

    return DnsRecords(reactor, host.address)


async def a_moment() -> None:
    """Let the sockets of the questions close."""
    from twisted.internet import reactor

    await deferLater(reactor, 0.02)


async def test_the_dns_tells_exchangers_aliases_and_spf() -> None:
    with DnsHost(ZONE) as host:
        asked = records(host)
        assert await asked.exchangers("firm.example") == (
            "qiye163mx01.mxmail.netease.com",
            "qiye163mx02.mxmail.netease.com",
        )
        assert await asked.spf_includes("firm.example") == ("spf.163.com", "_spf.google.com")
        assert await asked.alias("imap.firm.example") == "imap.qiye.163.com"
        assert await asked.alias("mail.firm.example") is None
        assert await asked.exchangers("nobody.example") == ()
        await a_moment()


async def test_a_dns_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_records, "QUERY_SECONDS", (0.1,))
    with DnsHost(ZONE, silent=True) as host:
        with pytest.raises(NoRecords):
            await records(host).exchangers("firm.example")
        assert host.asked
        await a_moment()


async def test_first_words_are_certificate_greeting_capabilities_and_id(tmp_path: Path) -> None:
    """The certificate is for another name and from nobody we know; it is read, not judged."""
    tls = TlsPeer(TlsFiles(tmp_path).issue("*.qiye.163.com", "qiye.163.com"))
    rec = await REC(netease(tls)).start()
    try:
        seen = await look(at(rec.port, tls=TlsMode.IMPLICIT))
    finally:
        await rec.stop()
    assert seen == FirstLook(
        certificate_names=("*.qiye.163.com", "qiye.163.com"),
        greeting="* OK Coremail System IMap Server Ready(163com[1a2b])",
        capabilities=("IMAP4REV1", "XLIST", "X-CM-EXT-1"),
        server_id="Coremail Imap Mailtech",
    )


async def test_pop3_tells_its_greeting() -> None:
    async def run(talk: Talk) -> None:
        talk.send(b"+OK Gpop ready for requests from 127.0.0.1\r\n")
        await talk.expect(b"QUIT")

    rec = await REC(run).start()
    try:
        seen = await look(at(rec.port, Protocol.POP3))
    finally:
        await rec.stop()
    assert seen.greeting == "+OK Gpop ready for requests from 127.0.0.1"


@pytest.mark.parametrize("kind", sorted(evil.IMAP))
async def test_no_server_keeps_the_look_for_long(kind: str) -> None:
    rec = await REC(evil.IMAP[kind]).start()
    try:
        seen = await look(at(rec.port), seconds=0.3)
        assert len(seen.greeting) <= 400
        assert len(seen.capabilities) <= 200
    except Unavailable:
        pass  # it went away before it was connected
    finally:
        await rec.stop()


async def test_what_is_no_tls_is_no_more_than_silence() -> None:
    rec = await REC(netease()).start()
    try:
        assert await look(at(rec.port, tls=TlsMode.IMPLICIT)) == FirstLook()
    finally:
        await rec.stop()


async def test_all_is_gathered_and_what_is_silent_is_told() -> None:
    from twisted.internet import reactor

    rec = await REC(netease()).start()
    here, nowhere = at(rec.port), at(1)
    try:
        with DnsHost(ZONE) as host:
            found = await gather(
                Gathered("firm.example", recorded_mx=("mx.old.example",)),
                [here, nowhere],
                connector=Connector(reactor),
                records=records(host),
                reactor=reactor,
            )
    finally:
        await rec.stop()
    assert found.recorded_mx == ("mx.old.example",)
    assert found.mx[0] == "qiye163mx01.mxmail.netease.com"
    assert found.cnames == {"imap.firm.example": "imap.qiye.163.com"}
    assert list(found.silent) == [str(nowhere)]
    assert found.server_ids == {str(here): "Coremail Imap Mailtech"}
    verdict = detect(load_profiles(), found)
    assert verdict.profile_id == "netease_qiye"
    assert {reason.evidence.value for reason in verdict.reasons if not reason.against} == {
        "mx", "cname", "spf", "greeting", "capability", "id",
    }  # fmt: skip


@pytest.mark.hazard("T37")
async def test_only_allowed_networks_are_dialled() -> None:
    from twisted.internet import reactor

    rec = await REC(netease()).start()
    here = at(rec.port)
    try:
        with DnsHost({}) as host:
            found = await gather(
                Gathered("firm.example"),
                [here],
                connector=Connector(reactor, permitted=lambda address: address.is_global),
                records=records(host),
                reactor=reactor,
            )
    finally:
        await rec.stop()
    assert rec.talks == []
    assert "allow_networks" in found.silent[str(here)]


def test_without_a_known_server_the_usual_names_are_tried() -> None:
    assert [server.host for server in usual_servers("firm.example")] == [
        "imap.firm.example", "mail.firm.example", "pop.firm.example",
    ]  # fmt: skip
