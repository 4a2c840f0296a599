from __future__ import annotations

import email
import re
from collections import Counter

from mailferry.lab.mail_generator import MailGenerator
from mailferry.lab.mailstore import Mailstore


def filled(seed: int = 7, count: int = 1500) -> Mailstore:
    store = Mailstore()
    MailGenerator(seed).fill(store, count)
    return store


def test_the_same_seed_makes_the_same_mail_and_another_seed_other_mail() -> None:
    assert filled().fingerprint() == filled().fingerprint()
    assert filled(8).fingerprint() != filled().fingerprint()


def test_the_mail_has_everything_that_hurts() -> None:
    store = filled()
    mails = [m for box in store for m in box.messages.values()]
    octets = [m.octets for m in mails]
    assert len(mails) == 1500
    assert max(Counter(octets).values()) > 1, "identical twins"
    heads = Counter(o.partition(b"\r\n\r\n")[0] for o in set(octets))
    assert max(heads.values()) > 1, "one header, two bodies"
    assert any(re.search(rb"^Subject: .*[gG][bB]18030", o, re.MULTILINE) for o in octets)
    assert any(max(o.partition(b"\r\n\r\n")[0]) > 127 for o in octets), "raw 8-bit header"
    assert any(b"\xff" in o for o in octets), "raw 8-bit body"
    assert any(o.endswith(b"\r\n\r\n") for o in octets)
    assert any(not o.endswith(b"\r\n") for o in octets)
    assert any(max(map(len, o.split(b"\r\n"))) > 1000 for o in octets), "long line"
    assert not any(re.search(rb"[^\r]\n", o) for o in octets), "hosts never hold a bare LF"
    years = {m.internal_date.year for m in mails}
    assert {1970, 2038} <= years
    assert len({m.internal_date.utcoffset() for m in mails}) > 4
    assert {b"$Forwarded", b"\\Seen"} <= {f for m in mails for f in m.flags}


def test_the_mailboxes_are_nested_chinese_special_and_one_is_empty() -> None:
    store = filled()
    names = {store.shown_name(box) for box in store}
    assert {"INBOX", "\\Sent", "\\Trash", "项目/客户 A&B/2019 归档", "leer"} <= names
    assert len(store.mailbox(b"leer").messages) == 0
    assert b"Junk" not in store.subscriptions


def test_nested_mail_is_read_by_a_mime_parser_but_for_a_few_bodies_that_do_not_fit_their_header() -> None:
    kinds: Counter[str] = Counter()
    broken = 0
    for mail in MailGenerator(7).mails(1500):
        parts = list(email.message_from_bytes(mail.octets).walk())
        kinds.update(part.get_content_type() for part in parts)
        broken += any(part.defects for part in parts)
    assert {"multipart/mixed", "multipart/related", "message/rfc822", "application/octet-stream"} <= set(
        kinds
    )
    assert 0 < broken < 75
