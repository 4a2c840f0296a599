"""What users find in their new mailbox and administrators in theirs, over the life of an account."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from mailferry.lab.premises import LabAccount
from mailferry.model.access import Protocol
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.plan.refusal_context import WHOLE_DOMAIN
from mailferry.store import accounts, notices, source_checks
from mailferry.store.faults import StoreUnavailable
from mailferry.store.notices import Audience, Notice
from mailferry.store.schema import domains as table
from tests.kit.clocked import WorldTime
from tests.kit.move import DOMAIN, OLD, USER, Move
from tests.kit.receivers import MailReceiver, WebReceiver, mail_receiver, web_receiver
from tests.kit.scripted import hang_up
from tests.life.conftest import Service
from tests.life.steps import DAY, MINUTE, fill, letter, logged_in_once, switched

pytestmark = pytest.mark.deadline(60)

STEP = 45.0
"""In longer leaps a process would take itself for one that slept."""
LOOK = 15.0
"""The notifier looks so often."""
SECRET = "a secret of thirty-two octets..."


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def relay() -> Iterator[MailReceiver]:
    with mail_receiver() as receiver:
        yield receiver


def hook(tmp_path: Path, web: WebReceiver) -> dict[str, Any]:
    (tmp_path / "secret").write_text(SECRET)
    from mailferry.model.access import Secret

    return {"url": f"http://127.0.0.1:{web.port}/in", "secret": Secret(SECRET.encode())}


async def telling(service: Service, **notices: Any) -> Move:
    """Start a move that copies nothing by itself and tells an administrator."""
    move = await service(notices=notices)
    move.set_rules(paused=True)
    await move.copy()
    return move


def told(move: Move, *, inbox: bool = True) -> list[EmailMessage]:
    """Return the notices at the target, those in INBOX or those elsewhere."""
    found = []
    store = move.target.mailstore(USER)
    for mailbox in store:
        if (mailbox.name == b"INBOX") is inbox:
            found += [
                m.octets for m in mailbox.messages.values() if b"Auto-Submitted: auto-generated" in m.octets
            ]
    return [email.message_from_bytes(octets, policy=email.policy.default) for octets in found]


def rows(move: Move, audience: Audience) -> list[Notice]:
    found = move.database.read_now("rows", lambda conn: notices.of_domain(conn, DOMAIN))
    return [row for row in found if row.audience is audience]


def posts(web: WebReceiver) -> list[dict[str, Any]]:
    return [json.loads(posted.body) for posted in web.posted]


def window_ends_in(move: Move, now: float, days: float) -> None:
    """Let a window of 30 days end so many days from now."""
    ends = now + days * DAY
    values = {"window_ends_at": ends, "window_opened_at": ends - 30 * DAY}
    move.database.run_now("ends", lambda conn: conn.execute(update(table).values(values)))


def gave_up(move: Move, cause: Cause, address: str = USER) -> None:
    """Let a copy end by a cause."""

    def work(conn: Connection) -> None:
        account = accounts.find(conn, address) or accounts.ensure(conn, address, DOMAIN)
        if account.phase is Phase.IDLE:
            account = accounts.apply(conn, account.id, Event.SOURCE_ACCEPTED, epoch=account.epoch)
        elif account.phase in {Phase.BLOCKED, Phase.STALLED}:
            account = accounts.apply(conn, account.id, Event.RETRIED, epoch=account.epoch)
        accounts.apply(conn, account.id, Event.GAVE_UP, epoch=account.epoch, cause=cause)

    move.database.run_now("gave up", work)


async def test_who_has_moved_finds_one_message_in_the_new_inbox(service: Service, time: WorldTime) -> None:
    move = await service()
    move.set_rules(notices="started,done,failed", language="both")
    await switched(move)
    await time.until(lambda: told(move), within=LOOK + 1)
    await time.advance(20 * MINUTE, step=STEP)
    (message,) = told(move)
    assert message["Subject"] == "Your mailbox has moved / 邮箱搬家已完成"
    assert (message["From"], message["To"]) == (f"postmaster@{DOMAIN}", USER)
    assert message["Message-ID"].startswith("<mailferry-done-")
    assert message.get_content_type() == "multipart/alternative"
    plain = message.get_body(("plain",))
    assert plain is not None
    assert "password is the same" in plain.get_content()
    assert "密码与原来相同" in plain.get_content()
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert told(move, inbox=False) == []


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("en", "Your mailbox has moved", "Your password is the same"),
        ("zh", "邮箱搬家已完成", "密码与原来相同"),
    ],
    ids=["en", "zh"],
)
async def test_a_domain_of_one_language_gets_its_letters_in_that_alone(
    service: Service, time: WorldTime, language: str, subject: str, words: str
) -> None:
    move = await service()
    move.set_rules(notices="done", language=language)
    await switched(move)
    await time.until(lambda: told(move), within=LOOK + 1)
    (message,) = told(move)
    plain = message.get_body(("plain",))
    assert plain is not None
    assert message["Subject"] == subject
    assert words in plain.get_content()
    assert plain.get_content().isascii() is (language == "en")


async def test_a_domain_that_wants_none_gets_none(service: Service, time: WorldTime) -> None:
    move = await service()
    move.set_rules(notices="")
    await switched(move)
    await time.advance(5 * MINUTE, step=STEP)
    assert told(move) == []
    assert not move.unlike()
    assert rows(move, Audience.UNDECIDED) == [], "events do not pile up"


async def test_a_notice_is_no_mail_of_the_move(service: Service, time: WorldTime) -> None:
    move = await service()
    move.set_rules(notices="done")
    await switched(move)
    await time.until(lambda: told(move), within=LOOK + 1)
    before = move.known()
    letter(move.source, "late")
    await time.until(lambda: len(move.target.mailstore(USER).inbox.messages) == 5, within=6 * MINUTE)
    after = move.known()
    assert (after.copied, after.skipped, after.cause) == (before.copied + 1, 0, None)
    assert after.total == before.total
    assert len(told(move)) == 1
    assert all(b"Auto-Submitted" not in m.octets for m in move.source.mailstore(USER).inbox.messages.values())


async def test_to_pop3_it_is_new_mail_behind_the_old(service: Service, time: WorldTime) -> None:
    move = await service()
    move.set_rules(notices="done")
    fill(move)
    talk = await move.program(Protocol.POP3)
    before = await uidls(move, talk)
    await move.copy()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=400)
    await time.until(lambda: told(move), within=LOOK + 1)
    after = await uidls(move, await move.program(Protocol.POP3))
    assert after[:-1] == before
    assert len(after) == len(before) + 1


async def uidls(move: Move, talk: Any) -> list[bytes]:
    talk.send(b"UIDL\r\n")
    answer = await move.done(talk.expect(b"\r\n.\r\n"))
    talk.send(b"QUIT\r\n")
    await move.done(talk.expect(b"+OK"))
    await hang_up(talk)
    return [line.split()[1] for line in answer.splitlines() if line[:1].isdigit()]


async def test_who_stays_at_the_source_gets_nothing_at_the_target(service: Service, time: WorldTime) -> None:
    move = await service()
    move.set_rules(notices="started,done,failed", paused=True)
    await logged_in_once(move)
    await move.copy()
    gave_up(move, Cause.EXPIRED)
    await time.advance(62 * MINUTE, step=STEP)
    assert move.phase() is Phase.BLOCKED
    assert told(move) == []


async def test_at_once_a_user_is_told_that_older_mail_is_still_arriving(
    service: Service, time: WorldTime
) -> None:
    move = await service(relayed=True)
    move.set_rules(notices="started", switch="at-once")
    fill(move)
    await logged_in_once(move)
    move.stall_the_source()
    await move.copy()
    await time.until(lambda: told(move), within=LOOK + 1)
    (message,) = told(move)
    assert message["Subject"] == "Your mailbox is moving"
    assert move.phase() is Phase.BACKFILL


async def test_a_failure_is_told_after_an_hour_once_and_only_if_it_lasts(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    move.set_rules(notices="failed", switch="at-once", paused=True)
    await logged_in_once(move)
    await move.copy()
    gave_up(move, Cause.PERMISSION)
    await time.advance(59 * MINUTE, step=STEP)
    assert told(move) == []
    await time.until(lambda: told(move), within=2 * MINUTE)
    gave_up(move, Cause.PERMISSION)
    await time.advance(62 * MINUTE, step=STEP)
    (message,) = told(move)
    assert message["Subject"] == "Your older mail is not complete yet"


@pytest.mark.hazard("D1")
async def test_a_commit_that_fails_behind_the_append_makes_no_second_message(
    service: Service, time: WorldTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = await service()
    move.set_rules(notices="done")
    failures = []

    def broken(*_: object, **__: object) -> bool:
        failures.append(1)
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("mailferry.copying.notices.notices.sent", broken)
        await switched(move)
        await time.until(lambda: failures, within=LOOK + 1)
    assert len(told(move)) == 1
    await time.until(lambda: rows(move, Audience.USER)[0].sent_at, within=20 * MINUTE, step=STEP)
    assert len(told(move)) == 1
    assert rows(move, Audience.USER)[0].tries == 2


async def test_a_target_that_is_gone_is_tried_again(service: Service, time: WorldTime) -> None:
    move = await service(target_relayed=True)
    move.set_rules(notices="done")
    await switched(move)
    assert move.target_relay is not None
    await move.target_relay.stop()
    await time.until(
        lambda: rows(move, Audience.USER) and rows(move, Audience.USER)[0].tries, within=LOOK + 1
    )
    await time.advance(MINUTE, step=STEP)
    assert rows(move, Audience.USER)[0].sent_at is None
    assert told(move) == []


async def test_an_administrator_hears_once_of_many_accounts_with_one_cause(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver
) -> None:
    move = await telling(service, webhook=hook(tmp_path, web))
    for number in range(30):
        gave_up(move, Cause.EXPIRED, f"u{number:02}@{DOMAIN}")
    await time.until(lambda: web.posted, within=2 * MINUTE)
    (first,) = posts(web)
    assert (first["kind"], first["domain"], first["cause"]) == ("must_act", DOMAIN, "expired")
    assert first["who_must_act"] == "administrator"
    assert first["accounts"]["count"] == 30
    assert len(first["accounts"]["some"]) == 20
    for number in range(30, 60):
        gave_up(move, Cause.EXPIRED, f"u{number:02}@{DOMAIN}")
    gave_up(move, Cause.PERMISSION, f"other@{DOMAIN}")
    await time.advance(3 * MINUTE, step=STEP)
    assert [post["cause"] for post in posts(web)] == ["expired", "permission"], (
        "a new cause waits for nothing"
    )
    await time.until(lambda: len(web.posted) == 3, within=10 * MINUTE)
    assert posts(web)[2]["accounts"]["count"] == 60
    assert len({post["id"] for post in posts(web)}) == 3


async def test_what_repeats_itself_or_mends_by_itself_is_not_told(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver
) -> None:
    move = await telling(service, webhook=hook(tmp_path, web))
    gave_up(move, Cause.SERVER_DOWN, f"down@{DOMAIN}")
    gave_up(move, Cause.EXPIRED)
    await time.until(lambda: web.posted, within=2 * MINUTE)
    for _ in range(2):
        gave_up(move, Cause.EXPIRED)
        await time.advance(12 * MINUTE, step=STEP)
    assert len(web.posted) == 1


async def test_what_is_mended_in_time_is_not_told(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver
) -> None:
    move = await telling(service, webhook=hook(tmp_path, web))
    gave_up(move, Cause.EXPIRED)
    account = move.known()
    move.database.run_now(
        "retry", lambda conn: accounts.apply(conn, account.id, Event.RETRIED, epoch=account.epoch)
    )
    await time.advance(3 * MINUTE, step=STEP)
    assert web.posted == []


async def test_a_webhook_that_fails_hears_the_same_message_again(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver
) -> None:
    web.statuses[:] = [500, 302, 200]
    move = await telling(service, webhook=hook(tmp_path, web))
    gave_up(move, Cause.EXPIRED)
    await time.until(lambda: len(web.posted) == 1, within=2 * MINUTE)
    gave_up(move, Cause.EXPIRED, f"other@{DOMAIN}")
    await time.until(lambda: len(web.posted) == 3, within=5 * MINUTE)
    await time.advance(3 * MINUTE, step=STEP)
    bodies = {posted.body for posted in web.posted[:3]}
    keys = {posted.headers["Idempotency-Key"] for posted in web.posted[:3]}
    assert len(bodies) == len(keys) == 1


async def test_domains_in_trouble_and_windows_that_end_are_told_once(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver
) -> None:
    move = await telling(service, webhook=hook(tmp_path, web))
    server = move.domain().source_imap
    assert server is not None
    move.database.run_now(
        "check", lambda conn: source_checks.note(conn, DOMAIN, Protocol.IMAP, server, refuses=False)
    )
    await time.until(lambda: web.posted, within=LOOK + 1)
    assert posts(web)[0]["kind"] == "source_blocked"
    assert len(web.posted) == 1, "a window of 30 days has just begun"
    for days in (7.01, 6.9, 6.5, 0.9):
        window_ends_in(move, time.now(), days)
        await time.advance(2 * STEP, step=STEP)
    kinds = [(post["kind"], post["subject"]["en"]) for post in posts(web)[1:]]
    assert [kind for kind, _ in kinds] == ["window_ends"] * 3
    assert "7 days" in kinds[0][1]
    assert "7 days" in kinds[1][1], "it was moved"
    assert "1 days" in kinds[2][1]


async def test_a_source_that_shuts_a_whole_domain_out_is_told_by_both_ways_once(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver, relay: MailReceiver
) -> None:
    users = [f"user{number}@{DOMAIN}" for number in range(WHOLE_DOMAIN)]
    mail = {"relay": f"smtp://127.0.0.1:{relay.port}?tls=none", "to": ["boss@site.test"]}
    move = await service(
        source_accounts={name: LabAccount(password=OLD) for name in users},
        notices={"webhook": hook(tmp_path, web), "mail": mail},
    )
    move.set_rules(paused=True, language="both")
    for name in users:
        await move.logout(await move.admitted(name=name))
    await time.advance(25 * 60 * MINUTE, step=60 * MINUTE)
    await move.copy()
    move.source.premises.quirks.add("post_cutover_block")
    for name in users[:-1]:
        await move.rejected(OLD, name=name)
    await time.advance(2 * LOOK, step=LOOK)
    assert not web.posted, "so many may have changed their passwords"
    await move.rejected(OLD, name=users[-1])
    await time.until(lambda: web.posted and relay.mails, within=2 * LOOK)
    (told_once,) = posts(web)
    assert (told_once["kind"], told_once["domain"]) == ("source_refuses_all", DOMAIN)
    assert (told_once["cause"], told_once["who_must_act"]) == ("source_refuses_domain", "administrator")
    assert told_once["accounts"]["count"] == WHOLE_DOMAIN
    ((_, recipients, octets),) = relay.mails
    assert [recipient.rpartition(b":")[2] for recipient in recipients] == [b"<boss@site.test>"]
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert DOMAIN in message["Subject"]
    assert told_once["text"]["zh"].splitlines()[0] in message.get_content()
    await move.rejected(OLD, name=users[0])
    await time.advance(10 * MINUTE, step=STEP)
    assert (len(web.posted), len(relay.mails)) == (1, 1)


async def test_the_same_goes_out_by_mail(service: Service, time: WorldTime, relay: MailReceiver) -> None:
    mail = {"relay": f"smtp://127.0.0.1:{relay.port}?tls=none", "to": ["boss@site.test", "night@site.test"]}
    move = await telling(service, mail=mail)
    move.set_rules(language="both")
    gave_up(move, Cause.EXPIRED)
    await time.until(lambda: relay.mails, within=2 * MINUTE)
    ((sender, recipients, octets),) = relay.mails
    assert b"boss@site.test" in sender
    assert len(recipients) == 2
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"].startswith(f"[mailferry] {DOMAIN}: 1 accounts")
    assert USER in message.get_content()
    assert "管理员" in message.get_content()


@pytest.mark.hazard("T37")
async def test_a_webhook_in_a_network_that_is_not_listed_is_never_dialled(
    service: Service, time: WorldTime, tmp_path: Path, web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mailferry.app.outlets.permitted_networks", lambda _: lambda address: address.is_global
    )
    move = await telling(service, webhook=hook(tmp_path, web))
    gave_up(move, Cause.EXPIRED)
    await time.until(lambda: [r for r in rows(move, Audience.WEBHOOK) if r.tries > 1], within=5 * MINUTE)
    assert web.posted == []
