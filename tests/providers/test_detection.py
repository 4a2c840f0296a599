"""Which system a domain's old host is: the order of the evidence, and what contradicts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.profile import Confidence
from mailferry.providers.detection import Evidence, Gathered, detect
from mailferry.providers.loader import load_profiles

PROFILES = load_profiles()
ALIYUN_ID = "AliyunImap Aliyun, Inc."


def found(domain: str = "firm.example", **facts: object) -> Gathered:
    return Gathered(domain, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("mxbiz1.qq.com", "tencent_exmail"),
        ("MXBIZ2.QQ.COM.", "tencent_exmail"),
        ("qiye163mx01.mxmail.netease.com", "netease_qiye"),
        ("hzmx02.mxmail.netease.com", "netease_qiye"),
        ("mx.ym.163.com", "netease_qiye"),
        ("mx1.qiye.aliyun.com", "aliyun_qiye"),
        ("mxn.mxhichina.com", "aliyun_qiye"),
        ("mx1.sg.aliyun.com", "aliyun_qiye"),
        ("mx.263.net", "net263"),
        ("regular1.263xmail.com", "net263"),
        ("mx1.35.com", "ch35"),
        ("mx.icoremail.net", "coremail"),
        ("aspmx.l.google.com", "gmail"),
        ("alt3.aspmx.l.google.com", "gmail"),
        ("smtp.google.com", "gmail"),
        ("firm-example.mail.protection.outlook.com", "m365"),
        ("firm-example.mail.protection.partner.outlook.cn", "m365"),
    ],
)
def test_the_exchanger_from_before_the_change_names_the_system(name: str, provider: str) -> None:
    verdict = detect(PROFILES, found(recorded_mx=(name,)))
    assert (verdict.profile_id, verdict.decided) == (provider, True)
    assert verdict.reasons[0].evidence is Evidence.RECORDED_MX
    assert detect(PROFILES, found(mx=(name,))).profile_id == provider


@pytest.mark.parametrize("name", ["mx1.qq.com.evil.example", "xmxbiz1.qq.com", "notmxhichina.com", "x35.com"])
def test_a_name_that_only_looks_like_an_exchanger_names_nothing(name: str) -> None:
    assert detect(PROFILES, found(mx=(name,))).candidates == ()


@pytest.mark.parametrize(
    ("domain", "name", "provider"),
    [
        ("qq.com", "mx3.qq.com", "qq"),
        ("163.com", "163mx01.mxmail.netease.com", "netease_free"),
        ("126.com", "126mx00.mxmail.netease.com", "netease_free"),
        ("vip.163.com", "vip163mx01.mxmail.netease.com", "netease_free"),
        ("firm.example", "mx3.qq.com", "generic"),  # a service that has its own domains only
    ],
)
def test_a_service_with_domains_of_its_own_has_no_others(domain: str, name: str, provider: str) -> None:
    assert detect(PROFILES, found(domain, mx=(name,))).profile_id == provider


@pytest.mark.parametrize(
    ("line", "provider"),
    [
        ("* OK [CAPABILITY IMAP4 ID] QQMail IMAP4Server ready", "tencent_exmail"),
        ("* OK [CAPABILITY IMAP4 ID] QQMail XMIMAP4Server ready", "tencent_exmail"),
        ("+OK XMail POP3 Server v1.0 Service Ready(XMail v1.0)", "tencent_exmail"),
        ("* OK Coremail System IMap Server Ready(163com[1a2b])", "netease_qiye"),
        ("+OK Welcome to coremail Mail Pop3 Server (163coms[1a2bs])", "netease_qiye"),
        ("* OK Coremail System IMap Server Ready(zju)", "coremail"),
        ("* OK AliYun IMAP Server Ready(192.0.2.1)", "aliyun_qiye"),
        ("* OK Gimap ready for requests from 192.0.2.1 x", "gmail"),
        ("+OK Gpop ready for requests from 192.0.2.1", "gmail"),
        ("* OK The Microsoft Exchange IMAP4 service is ready. [TQBB]", "m365"),
        ("* OK The Microsoft Exchange IMAP4 service is ready.", "exchange_onprem"),
        ("+OK The Microsoft Exchange POP3 service is ready.", "exchange_onprem"),
        (
            "* OK Microsoft Exchange Server 2003 IMAP4rev1 server version 6.5.7638.1 (x) ready.",
            "exchange_onprem",
        ),
        ("* OK [CAPABILITY IMAP4rev1] Dovecot ready.", "dovecot"),
        ("* OK [CAPABILITY IMAP4rev1] Dovecot (Debian) ready.", "dovecot"),
        ("* OK [CAPABILITY IMAP4rev1] Courier-IMAP ready. Copyright 1998-2018", "courier"),
        ("* OK [CAPABILITY IMAP4rev1] mail.x Cyrus IMAP 3.6.1 server ready", "cyrus"),
        ("* OK mail.x Zimbra IMAP4rev1 server ready", "zimbra"),
        ("* OK IMAP4 ready", "generic"),  # every nginx says so
    ],
)
def test_a_greeting_names_the_system(line: str, provider: str) -> None:
    verdict = detect(PROFILES, found(greetings={"imaps://mail.firm.example:993": line}))
    assert verdict.profile_id == provider
    assert detect(PROFILES, found(greetings={"x": line.upper()})).profile_id == provider


@pytest.mark.parametrize(
    ("facts", "provider", "evidence"),
    [
        (
            {"cnames": {"imap.firm.example": "imap.qiye.163.com"}},
            "netease_qiye",
            Evidence.CNAME,
        ),
        ({"hosts": ("hwimap.exmail.qq.com",)}, "tencent_exmail", Evidence.HOST),
        ({"spf_includes": ("spf.mail.qq.com",)}, "tencent_exmail", Evidence.SPF),
        ({"spf_includes": ("spf.protection.outlook.com",)}, "m365", Evidence.SPF),
        (
            {"certificate_names": {"imap.firm.example": ("*.qiye.163.com", "qiye.163.com")}},
            "netease_qiye",
            Evidence.CERTIFICATE,
        ),
        ({"capabilities": {"x": ("IMAP4REV1", "X-GM-EXT-1")}}, "gmail", Evidence.CAPABILITY),
        ({"server_ids": {"x": ALIYUN_ID}}, "aliyun_qiye", Evidence.ID),
        ({"server_ids": {"x": "GImap Google, Inc."}}, "gmail", Evidence.ID),
        ({"server_ids": {"x": "Zimbra"}}, "zimbra", Evidence.ID),
    ],
)
def test_each_kind_of_evidence_can_decide_alone(
    facts: dict[str, object], provider: str, evidence: Evidence
) -> None:
    verdict = detect(PROFILES, found(**facts))
    assert verdict.profile_id == provider
    assert {reason.evidence for reason in verdict.reasons} == {evidence}
    assert not verdict.contradicted


def test_the_kinds_of_evidence_stand_in_their_order() -> None:
    assert [kind.value for kind in Evidence] == [
        "said", "recorded_mx", "host", "mx", "cname", "spf", "certificate", "greeting", "capability", "id",
    ]  # fmt: skip


def test_each_kind_of_evidence_beats_all_later_ones() -> None:
    """Two systems, A by one kind and B by all kinds behind it: A it is, and B is told as contradicting."""
    of_gmail = {
        "recorded_mx": ("aspmx.l.google.com",),
        "hosts": ("imap.gmail.com",),
        "cnames": {"imap.firm.example": "imap.gmail.com"},
        "spf_includes": ("_spf.google.com",),
        "certificate_names": {"x": ("imap.gmail.com",)},
        "greetings": {"x": "* OK Gimap ready for requests"},
        "capabilities": {"x": ("X-GM-EXT-1",)},
        "server_ids": {"x": "GImap Google, Inc."},
    }
    of_aliyun = {
        "recorded_mx": ("mx1.qiye.aliyun.com",),
        "hosts": ("imap.qiye.aliyun.com",),
        "cnames": {"imap.firm.example": "imap.qiye.aliyun.com"},
        "spf_includes": ("spf.qiye.aliyun.com",),
        "certificate_names": {"x": ("*.qiye.aliyun.com",)},
        "greetings": {"x": "* OK AliYun IMAP Server Ready"},
        "capabilities": {"x": ("IMAP4REV1",)},
        "server_ids": {"x": ALIYUN_ID},
    }
    kinds = list(of_gmail)
    for number, kind in enumerate(kinds[:-1]):
        later = {name: of_aliyun[name] for name in kinds[number + 1 :]}
        verdict = detect(PROFILES, found(**{kind: of_gmail[kind]}, **later))
        assert verdict.profile_id == "gmail", kind
        assert verdict.contradicted


def test_the_administrators_word_stands_and_what_contradicts_it_is_told() -> None:
    verdict = detect(PROFILES, found(said="coremail", mx=("mxbiz1.qq.com",)))
    assert verdict.profile_id == "coremail"
    assert verdict.contradicted
    assert [reason.against for reason in verdict.reasons] == [False, True]
    assert detect(PROFILES, found(said="nobody")).profile_id == "generic"


def test_todays_exchanger_counts_nothing_once_the_dns_has_moved() -> None:
    """The MX is the new host's; what the old one left behind says who it was."""
    for left_behind in (
        {"hosts": ("imap.qiye.163.com",)},
        {"cnames": {"imap.firm.example": "imap.qiye.163.com"}},
        {"certificate_names": {"imap.firm.example": ("*.qiye.163.com",)}},
        {"greetings": {"x": "* OK Coremail System IMap Server Ready(163com[1])"}},
    ):
        verdict = detect(PROFILES, found(mx=("mxbiz1.qq.com",), **left_behind))
        assert verdict.profile_id == "netease_qiye"
        assert verdict.contradicted


def test_a_later_kind_chooses_among_what_an_earlier_one_leaves() -> None:
    family = found(capabilities={"x": ("X-CM-EXT-1",)})
    verdict = detect(PROFILES, family)
    assert verdict.candidates == ("coremail", "netease_qiye")
    assert (verdict.profile_id, verdict.decided) == ("generic", False)
    with_spf = found(spf_includes=("spf.163.com", "_spf.google.com"), capabilities={"x": ("X-CM-EXT-1",)})
    chosen = detect(PROFILES, with_spf)
    assert chosen.profile_id == "netease_qiye"
    assert [reason.against for reason in chosen.reasons] == [False, True, False]


def test_the_confidence_of_a_reason_is_that_of_the_fact() -> None:
    verdict = detect(PROFILES, found(mx=("mx.35.com",)))
    assert verdict.reasons[0].confidence is Confidence.LOW


def test_nothing_seen_is_nothing_known() -> None:
    verdict = detect(PROFILES, found(mx=("mail.firm.example",), greetings={"x": "* OK hello"}))
    assert (verdict.profile_id, verdict.candidates, verdict.reasons) == ("generic", (), ())


@pytest.mark.hazard("T17")
@given(st.text(max_size=300), st.integers(1, 2000))
def test_no_words_of_a_server_break_or_delay_it(words: str, times: int) -> None:
    text = words * times
    facts = found(
        mx=(text,), cnames={"x": text}, spf_includes=(text,), certificate_names={"x": (text,)},
        greetings={"x": text}, capabilities={"x": (text,)}, server_ids={"x": text},
    )  # fmt: skip
    assert detect(PROFILES, facts).profile_id in PROFILES
