"""Mail to administrators through the site's relay."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mailferry.model.access import Secret, TlsMode
from mailferry.remote.relay_mail import MailRelay, send
from mailferry.remote.watched_socket import IpAddress, NotSent
from tests.kit.receivers import mail_receiver
from tests.kit.tls_files import TlsFiles

OCTETS = b"Subject: x\r\n\r\n.a line that begins with a stop\r\n"


def anywhere(_: IpAddress) -> bool:
    return True


def test_a_message_is_handed_over_whole() -> None:
    with mail_receiver() as receiver:
        relay = MailRelay("127.0.0.1", receiver.port, TlsMode.NONE)
        send(relay, "from@a.test", ["one@a.test", "two@a.test"], OCTETS, permitted=anywhere)
    ((sender, recipients, octets),) = receiver.mails
    assert b"<from@a.test>" in sender
    assert [b"one@" in recipients[0], b"two@" in recipients[1]] == [True, True]
    assert octets == OCTETS.replace(b"\r\n.a", b"\r\n..a")


def test_with_starttls_name_and_password_go_inside_only(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path)
    with mail_receiver(files.issue("localhost")) as receiver:
        relay = MailRelay(
            "localhost", receiver.port, TlsMode.STARTTLS, str(files.ca), "me", Secret(b"relay word")
        )
        send(relay, "from@a.test", ["to@a.test"], OCTETS, permitted=anywhere)
    assert len(receiver.mails) == 1
    assert set(receiver.in_clear) == {b"EHLO", b"STAR"}
    assert receiver.sign_ins == [b"AUTH PLAIN " + base64.b64encode(b"\0me\0relay word")]


@pytest.mark.hazard("T4")
def test_a_relay_without_starttls_gets_nothing_where_it_is_required() -> None:
    with mail_receiver() as receiver:
        relay = MailRelay("127.0.0.1", receiver.port, TlsMode.STARTTLS, None, "me", Secret(b"relay word"))
        with pytest.raises(NotSent):
            send(relay, "from@a.test", ["to@a.test"], OCTETS, permitted=anywhere)
    assert receiver.mails == []
    assert receiver.sign_ins == []


def test_a_relay_with_somebody_elses_certificate_gets_nothing(tmp_path: Path) -> None:
    with mail_receiver(TlsFiles(tmp_path / "theirs").issue("localhost")) as receiver:
        relay = MailRelay("localhost", receiver.port, TlsMode.STARTTLS, str(TlsFiles(tmp_path / "ours").ca))
        with pytest.raises(NotSent, match="certificate"):
            send(relay, "from@a.test", ["to@a.test"], OCTETS, permitted=anywhere)
    assert receiver.mails == []


@pytest.mark.parametrize(
    ("options", "said"),
    [({"refuse": b"550 nobody here"}, "refuses all"), ({"greeting": b"554 go away"}, "554 go away")],
)
def test_what_the_relay_refuses_is_not_sent(options: dict[str, bytes], said: str) -> None:
    with mail_receiver(**options) as receiver:
        relay = MailRelay("127.0.0.1", receiver.port, TlsMode.NONE)
        with pytest.raises(NotSent, match=said):
            send(relay, "from@a.test", ["to@a.test"], OCTETS, permitted=anywhere)
    assert receiver.mails == []
