"""`mailferry domain detect`: which system the old host is, before and after the domain is added."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest
from twisted.names import dns

from tests.cli.place import DOMAIN, Place
from tests.kit.dns_host import DnsHost
from tests.kit.line_host import LineHost

ZONE = {
    "firm.example": [dns.Record_MX(10, b"mxbiz1.qq.com")],
    "cloud.example": [dns.Record_MX(10, b"cloud-example.mail.protection.outlook.com")],
}


class Aliyun(LineHost):
    """An IMAP server as far as a first look goes."""

    GREETING = b"AliYun IMAP Server Ready"
    REPLIES: ClassVar[dict[bytes, bytes]] = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 ID\r\n",
        b"ID": b'* ID ("name" "AliyunImap" "vendor" "Aliyun, Inc.")\r\n',
    }


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with DnsHost(ZONE) as host:
        yield "{}:{}".format(*host.address)


@pytest.fixture(scope="module")
def aliyun() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Aliyun) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield f"imap://127.0.0.1:{server.server_address[1]}?tls=none"
        server.shutdown()
        serving.join()


def test_a_domain_is_recognised_before_anything_is_set_up(bare: Place, resolver: str, aliyun: str) -> None:
    words = ("domain", "detect", "Firm.Example.", "--source", aliyun, "--dns", resolver)
    said = bare.well(*words).out
    assert said.startswith("firm.example: aliyun_qiye (Aliyun enterprise mail (HiChina))\n")
    assert "  for: greeting" in said
    assert "  against it: mx          mxbiz1.qq.com -> tencent_exmail (high)" in said
    assert "has the DNS been changed already?" in said
    assert "mailferry domain add firm.example --provider aliyun_qiye" in said
    before = said[said.index("Before the move:") :]
    assert "allow third-party mail programs" in before
    assert "允许使用第三方客户端" in before
    told = bare.well(*words, "--mx", "mxn.mxhichina.com", "--json").json
    assert (told["provider"], told["decided"], told["movable_by_password"]) == ("aliyun_qiye", True, True)
    assert told["reasons"][0]["evidence"] == "recorded_mx"
    assert told["checklist"][0]["id"] == "third_party"
    assert told["gathered"]["mx"] == ["mxbiz1.qq.com"]
    assert list(told["gathered"]["server_ids"].values()) == ["AliyunImap Aliyun, Inc."]


def test_what_cannot_be_moved_by_password_is_explained(bare: Place, resolver: str, aliyun: str) -> None:
    """The source is named only so that no usual name is looked up outside."""
    words = (
        "domain",
        "detect",
        "cloud.example",
        "--source",
        "imap://127.0.0.1:1?tls=none",
        "--dns",
        resolver,
    )
    said = bare.well(*words).out
    assert said.startswith("cloud.example: m365 (Microsoft 365)\n")
    assert "Microsoft 365 cannot be moved by the users' passwords: basic authentication is off" in said
    assert "Use Microsoft's own export" in said
    assert "无法凭用户密码从 Microsoft 365 搬家" in said
    assert "--provider" not in said
    assert "not found out: imap://127.0.0.1:1: " in said
    assert bare.well(*words, "--json").json["movable_by_password"] is False


def test_an_added_domain_is_looked_at_where_it_is_and_its_provider_stands(
    filled: Place, resolver: str, aliyun: str
) -> None:
    words = ("domain", "detect", DOMAIN, "--dns", resolver)
    assert filled.well(*words).out.startswith(f"{DOMAIN}: nothing known fits; generic serves")
    filled.well("domain", "set", DOMAIN, "--source", aliyun)
    assert f"mailferry domain set {DOMAIN} --provider aliyun_qiye" in filled.well(*words).out
    filled.well("domain", "set", DOMAIN, "--provider", "coremail")
    told = filled.well(*words, "--json").json
    assert (told["provider"], told["contradicted"]) == ("coremail", True)
    assert told["reasons"][0]["evidence"] == "said"


@pytest.mark.hazard("T37")
def test_a_network_that_is_not_allowed_is_not_dialled(bare: Place, resolver: str, aliyun: str) -> None:
    bare.tables["service"]["allow_networks"] = []
    bare.tables["target"]["imap"] = "imap://127.0.0.2:1?tls=none"  # its own address is always allowed
    bare.write()
    told = bare.well("domain", "detect", "x.example", "--source", aliyun, "--dns", resolver, "--json").json
    assert told["gathered"]["greetings"] == {}
    assert any("allow_networks" in why for why in told["gathered"]["silent"].values())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--dns", "dns.example"), "--dns: 'dns.example' is no address"),
        (("--dns", "192.0.2.1:99999"), "has no port"),
        (("--source", "gopher://x"), "--source: 'gopher://x'"),
    ],
)
def test_wrong_use_is_refused_with_what_to_write(bare: Place, words: tuple[str, ...], told: str) -> None:
    assert told in bare.fails("domain", "detect", "x.example", *words, status=2)
