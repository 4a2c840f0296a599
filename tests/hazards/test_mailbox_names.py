"""Mailbox names of every kind at every kind of target: none is lost, none is merged, what became another is named."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from mailferry.lab.names import encode_name
from mailferry.store import mailboxes
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from tests.copying.rig import OLD, PASSWORD
from tests.hazards.targets import TARGETS, Target
from tests.hazards.test_targets import remarked, rig_to
from tests.kit import peers
from tests.kit.imap_reading import read_imap

pytestmark = [pytest.mark.deadline(120), pytest.mark.hazard("D12")]
MAKES = [
    t for t in TARGETS if t.name in {"dovecot", "dovecot maildir", "cyrus", "cyrus below INBOX", "courier"}
]

NAMES = (
    *(b"Work", b"work", b"WORK", b"trailing ", b"trailing", b" leading", b"a  b"),
    *(
        b"dot.inside",
        b"dot_inside",
        b"back\\slash",
        b'quote"q',
        b"percent%p",
        b"star*s",
        b"~tilde",
        b"_tilde",
    ),
    *(
        b"{brace}",
        b"^caret",
        b"semi;colon",
        b"|pipe",
        b"<lt>",
        b"`tick`",
        b"'apos'",
        b"$dollar",
        b"[brackets]",
    ),
    *(
        b"a/b/c/d/e",
        b"INBOX/sub",
        b"Inbox/sub2",
        b"..",
        b"cur",
        b"R&-D",
        b"R&D",
        b"&AGE-",
        b"\xca\xd5\xbc\xfe",
    ),
    *(encode_name("进/客户"), encode_name("emoji 😀"), encode_name("Ünï"), encode_name("很长的名字" * 30)),
    *(b"l" * 240, b"l" * 240 + b"m", b"/".join([b"abcdefghij" * 3] * 7)),
)


@pytest.fixture(params=MAKES, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


def mark(name: bytes) -> bytes:
    return hashlib.sha256(name).hexdigest().encode()


async def test_every_name_gets_a_mailbox_of_its_own_and_keeps_it(peer: Any, lite: Database) -> None:
    async with rig_to(peer, lite, read_back=0.0) as rig:
        for name in NAMES:
            if rig.old.find(name) is None:
                rig.old.create(name)
        names = [box.name for box in rig.old]
        for name in names:
            rig.old.deliver(b"Subject: x\r\n\r\n%s\r\n" % mark(name), mailbox=name)
        result = await rig.run()
        assert result.failures == []
        assert (result.copied, result.clean) == (len(names), True)

        def placed() -> dict[bytes, bytes]:
            rows = rig.store.read_now("rows", lambda conn: mailboxes.of_account(conn, rig.account_id))
            return {row.source_name: row.target_name for row in rows}

        where = placed()
        assert len(set(where.values())) == len(where)
        shown = await peers.in_thread(read_imap, peer.ports["imap"], OLD, PASSWORD)
        there = {one.mailbox: one.octets for one in shown}
        assert len(there) == len(shown) == len(names)
        for name in names:
            assert mark(name) in there[where[name]], name
        became = remarked(rig, RemarkKind.RENAMED)
        assert all(name in where for name in became)
        again = await rig.run()
        assert (again.copied, again.clean, placed()) == (0, True, where)
