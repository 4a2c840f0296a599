"""What a recording source reads of logins through the real doors: a model's transcript, or nothing at all."""

from __future__ import annotations

import base64
import random
import re
from typing import Any

import pytest

from mailferry.login.imap_frontend import ImapFrontend
from mailferry.model.access import Protocol
from mailferry.plan.addresses import canonical_address
from mailferry.store import domains
from tests.gate.conftest import MakeMove
from tests.kit.move import Move, url
from tests.kit.scripted import REC, Talk, dial, hang_up
from tests.login.test_pairs import FORMS, passes

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("T18")]

AT = b"@rec.test"
GENEROUS = {"wrong_per_account": 100, "wrong_per_source_minute": 10_000}
NAMES = [
    b"li",
    b"Li",
    b"LI",
    "ｌｉ".encode(),
    b"li*boss",
    b"li%boss",
    b"li\r\nx",
    b"li\0boss",
    b"li boss",
    b'l"i',
    b"l\\i",
]
WORDS = [b"pass", "密码".encode(), "密码".encode("gb18030"), b'"', b"\\", b"\r\n", b"\nx DELETE INBOX", b"\0", b"\t", b"{3}", b"{3+}\r\n", b" ", b"\xff\xfe", b"=", b"*", b"\x1b[2J", b"%u", b"$(id)", b"x" * 90]  # fmt: skip


async def refuse(talk: Talk) -> None:
    """An IMAP source that takes one line for a login and says no."""
    talk.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] recording\r\n")
    while True:
        tag = (await talk.line()).split(b" ", 1)[0]
        talk.send(tag + b" NO [AUTHENTICATIONFAILED] no\r\n")


def model(name: bytes, password: bytes) -> bytes:
    """All that the source reads of one login; the account's one spelling stands for the typed one."""
    if not passes(name, password):
        return b""
    try:
        address = canonical_address(name.decode())
    except ValueError:
        return b""
    payload = base64.b64encode(b"\0" + address.encode() + b"\0" + password)
    return b"TAG AUTHENTICATE PLAIN " + payload + b"\r\n"


async def typed(move: Move, form: Any, name: bytes, password: bytes) -> bool:
    """Log in through the door; False where the form cannot carry the pair."""
    kind, write = form
    octets = write(name, password)
    if octets is None:
        return False
    client = await dial(move.ports[Protocol.IMAP if kind is ImapFrontend else Protocol.POP3])
    client.send(octets)
    await move.time.advance(5)
    await hang_up(client)
    await move.time.settle()
    return True


@pytest.mark.parametrize("form", range(len(FORMS)), ids=[write.__name__ for _, write in FORMS])
@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
async def test_a_source_reads_the_models_transcript_of_each_login_or_nothing(
    begin: MakeMove, form: int
) -> None:
    move = await begin(shield=GENEROUS)
    rec = await REC(refuse).start()
    move.database.run_now(
        "domain",
        lambda conn: domains.add(
            conn, "rec.test", source_imap=url("imap", rec.port), source_pop3=None, provider="generic",
            login_form="full", switch="when-copied", language="en",
        ),
    )  # fmt: skip
    chance = random.Random(form)
    wanted: list[bytes] = []
    for number in range(12):
        tame = number % 2 == 1
        name = chance.choice(NAMES[:4] if tame else NAMES) + b"%d" % number + AT
        words = [word for word in WORDS if not tame or not set(word) & set(b"\r\n\0")]
        password = b"%d" % number + b"".join(chance.choices(words, k=chance.randint(1, 3)))
        if await typed(move, FORMS[form], name, password):
            wanted.append(model(name, password))
    read = [re.sub(rb"\Am[0-9a-f]{10} ", b"TAG ", bytes(talk.received)) for talk in rec.talks]
    assert read == [line for line in wanted if line]
    assert len(read) >= 6
    await rec.stop()
