"""`domain test` before hosts of different kinds: what it says, and that nothing comes of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from mailferry.app.checking import Line, Sign
from mailferry.app.preflight import preflight
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Secret
from mailferry.roster.account_files import import_accounts
from tests.kit.move import DOMAIN, OLD, USER, Move, make_move
from tests.kit.stores import OpenStore
from tests.life.steps import fill

pytestmark = [pytest.mark.deadline(30), pytest.mark.hazard("D25")]

CHINESE = re.compile(r"[\u4e00-\u9fff]")
Prepare = Callable[[Mailstore], None]
Begin = Callable[..., Awaitable[Move]]


def big(store: Mailstore) -> None:
    for number in range(5):
        store.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"body " * 1000))


def assert_in_both_languages(line: Line) -> None:
    for english, chinese in ((line.what, line.what_zh), (line.found, line.found_zh), (line.fix, line.fix_zh)):
        assert bool(english) is bool(CHINESE.search(chinese)), line


async def told(move: Move, password: bytes = OLD, *, without: str | None = None) -> dict[str, Line]:
    """Run the test on the real clock; return its lines by what they are about, but for those at one sign."""
    from twisted.internet import reactor

    lines = await preflight(move.parts.settings, reactor, DOMAIN, USER, Secret(password))
    for line in lines:
        assert_in_both_languages(line)
    return {line.what: line for line in lines if line.sign.value != without}


@pytest.fixture
def store_kind() -> str:
    """The test asks the store for its domain and no more."""
    return "sqlite"


@pytest_twisted.async_yield_fixture
async def begin(tmp_path: Path, open_store: OpenStore) -> AsyncIterator[Begin]:
    """A function that starts two lab hosts and the service before them, on the real clock."""
    moves: list[Move] = []

    async def make(prepare: Prepare | None = None, **options: Any) -> Move:
        move = await make_move(tmp_path, open_store(), **options)
        moves.append(move)
        if prepare is None:
            fill(move)
        else:
            prepare(move.source.mailstore(USER))
        return move

    yield make
    for move in moves:
        await move.end()


async def test_a_host_of_which_all_is_well(begin: Begin) -> None:
    found = await told(await begin())
    assert {line.what for line in found.values() if line.sign is Sign.FAULT} == set()
    assert found["source imap"].found == "2 mailboxes, 6 messages, 3 of them in INBOX"
    assert found["source imap messages"].found.startswith("3 read whole, ")
    assert found["estimate"].found.startswith("about 6 messages, 0.0 MB: less than a minute")
    assert found["completeness"].found == "IMAP and POP3 both show 3 messages in INBOX"
    for protocol in ("imap", "pop3"):
        line = found[f"source {protocol} password check"]
        assert (line.sign, line.found) == (Sign.WELL, "a made-up password is refused")
    assert found["checklist imap_on"].sign is Sign.WELL
    assert "pulling may stop after the DNS change" in found["after the DNS change"].found
    assert "\u89e3\u6790" in found["after the DNS change"].fix_zh


async def test_a_host_that_wants_to_know_who_is_asking_is_told(begin: Begin) -> None:
    quirks = frozenset({"netease_unsafe_login", "netease_numeric_tag"})
    move = await begin(provider="netease_qiye", source_quirks=quirks)
    found = await told(move)
    assert found["source imap ID"].sign is found["source imap messages"].sign is Sign.WELL
    assert any(record.client_id.get("name") for record in move.source.premises.records)


async def test_bodies_that_do_not_come_are_a_fault(begin: Begin) -> None:
    options = {"source_quirks": frozenset({"header_only"}), "provider": "net263"}
    found = await told(await begin(big, **options))
    assert found["source imap messages"].sign is Sign.FAULT
    assert found["source imap messages"].found == "5 of 5 messages that were read came without their bodies"
    assert found["checklist empty_bodies"].found == found["checklist outlook"].found == "seen: wrong"
    assert "263" in found["checklist empty_bodies"].fix_zh


async def test_mail_that_imap_hides_is_named(begin: Begin) -> None:
    def old_and_new(store: Mailstore) -> None:
        store.deliver(b"Subject: old\r\n\r\nx\r\n", internal_date=datetime(2001, 9, 9, tzinfo=UTC))
        store.deliver(b"Subject: new\r\n\r\nx\r\n")

    options = {"source_quirks": frozenset({"imap_window_30d"}), "provider": "tencent_exmail"}
    found = await told(await begin(old_and_new, **options))
    assert (found["completeness"].sign, found["completeness"].found) == (
        Sign.NOTE,
        "IMAP shows 1 messages in INBOX, POP3 2",
    )
    assert found["checklist all_mail"].found == "seen: wrong"
    assert found["after the DNS change"].found.endswith("this provider limits logins then")


async def test_a_refused_login_names_the_step_that_it_is_about(begin: Begin) -> None:
    move = await begin(source_quirks=frozenset({"gmail_apppw"}), provider="gmail")
    found = await told(move, b"the plain password")
    assert found["source imap login"].sign is Sign.FAULT
    assert found["checklist app_password"].found == "seen: wrong"
    assert found["checklist app_password"].fix_zh
    assert "estimate" not in found


async def test_all_mail_that_stands_beside_labels_is_counted_before_it_is_copied(begin: Begin) -> None:
    def labelled(store: Mailstore) -> None:
        store.create(b"[Gmail]/All Mail", role=b"\\All")
        for number in range(4):
            octets = b"Subject: %d\r\n\r\n%s\r\n" % (number, b"body " * 50_000)
            store.deliver(octets, mailbox=b"[Gmail]/All Mail")
            if number:
                store.deliver(octets)

    found = await told(await begin(labelled, provider="gmail", source_quirks=frozenset({"gmail_labels"})))
    assert (found["all mail"].sign, found["all mail"].found) == (
        Sign.NOTE,
        "[Gmail]/All Mail: 4 messages, about 1.0 MB, copied as one mailbox more beside the others",
    )
    assert "archived mail lies nowhere else" in found["all mail"].fix
    assert "归档" in found["all mail"].fix_zh
    assert found["estimate"].found.startswith("about 7 messages, 1.8 MB")
    assert found["checklist all_mail_twice"].sign is Sign.YOURS


async def test_a_source_without_passwords_is_explained_and_not_pretended(begin: Begin) -> None:
    found = await told(await begin(provider="m365"))
    assert (found["source"].sign, "OAuth" in found["source"].fix) == (Sign.FAULT, True)


async def test_its_refusals_are_no_wrong_passwords(begin: Begin) -> None:
    found = await told(await begin(provider="m365"), b"whatever the user types")
    for protocol in ("imap", "pop3"):
        line = found[f"source {protocol} login"]
        assert (line.sign, line.found.partition(":")[0]) == (Sign.FAULT, "oauth_required")
        assert "OAuth" in line.fix
    assert found["checklist no_passwords"].found == "seen: wrong"


async def test_an_account_with_another_name_at_the_old_host_is_tested_under_it(begin: Begin) -> None:
    others = {USER: LabAccount(password=b"of somebody else"), "wang@elder.test": LabAccount(password=OLD)}
    move = await begin(source_accounts=others)
    rows = f"target,source\n{USER},wang@elder.test\n".encode()
    import_accounts(move.database, move.parts.keyring, rows, who="test")
    found = await told(move)
    assert found["source imap login"].sign is Sign.WELL
    assert found["source imap password check"].found == "a made-up password is refused"
    assert {record.address for record in move.source.premises.logins()} == {"wang@elder.test"}


async def test_a_maildrop_alone_is_looked_at_as_well(begin: Begin) -> None:
    found = await told(await begin(big, source_protocols=("pop3",)))
    assert found["source pop3 messages"].found.startswith("5 read whole, ")
    assert found["estimate"].found.startswith("about 5 messages, ")
    assert "completeness" not in found
