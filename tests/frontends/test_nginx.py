"""A real nginx mail proxy, by conf/nginx as it stands, before us, two real Dovecots and a real Postfix."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.service import until
from tests.kit.site import CLIENT, DOMAIN, DOWN, NO_POP3, Site, message

LI = f"li@{NO_POP3}"
WANG, CHEN, ZHAO, ODD = (f"{name}@{DOMAIN}" for name in ("wang", "chen", "zhao", "odd"))
NOBODY = f"nobody@{DOWN}"
HARD = b' 100% +a"\\\x7f\xff\xc3\xa9 ' + "密码".encode()
"""What nginx escapes, what looks like an escape, and octets that are no text."""

pytestmark = [pytest.mark.timeout(240), pytest.mark.peer("nginx", "postfix", "dovecot")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("nginx")
    users: dict[str, str | bytes] = dict.fromkeys((LI, WANG, CHEN, ZHAO), "an old Pa55word")
    made = Site(folder, {**users, ODD: HARD}, postfix=True, nginx=True)
    yield made
    made.close()


def test_imap_through_nginx_sees_the_old_mailbox_and_after_the_flip_the_new_one_without_us(
    site: Site,
) -> None:
    before = site.imap(LI)
    assert before.select("INBOX")[1] == [b"3"]
    before.logout()
    shown = site.wait_for("SWITCHED", LI)
    assert shown["trigger"] == "imap"
    assert f"client={CLIENT}" in site.service.log.read_text(), "we know who the client is"
    site.target.save(LI, message("for the new host"))
    after = site.imap(LI)
    after.select("INBOX")
    assert len(after.search(None, "SUBJECT", "host")[1][0].split()) == 1
    assert len(after.search(None, "SUBJECT", "old")[1][0].split()) == 3
    after.logout()
    assert ("imap", CLIENT) in site.logins(site.target, LI), "the new host knows who the client is"
    until(lambda: site.target.log_text().count("Logged out") >= 1, 10, "the session is over")
    assert site.relayed("imap", "target") == 0
    with pytest.raises(imaplib.IMAP4.error, match=r"AUTHENTICATIONFAILED"):
        site.imap(LI, "wrong")


def test_pop3_through_nginx_shows_the_same_uidls_after_the_flip_because_we_renumber_them(site: Site) -> None:
    before = site.pop3(WANG)
    uidls = before.uidl()[1]
    assert len(uidls) == 3
    before.quit()
    site.wait_for("SWITCHED", WANG)
    after = site.pop3(WANG)
    assert after.uidl()[1][:3] == uidls
    after.quit()
    assert ("pop3", CLIENT) in site.logins(site.target, WANG)
    until(lambda: site.relayed("pop3", "target") == 1, 10, "the session went through us")


def test_smtp_through_nginx_starts_a_move_and_the_mail_goes_to_the_submission_server(site: Site) -> None:
    client = site.send(CHEN, through="nginx")
    assert client.sendmail(CHEN, ["friend@elsewhere.test"], message("sent")) == {}
    client.quit()
    assert site.service.show(CHEN)["trigger"] == "smtp"
    log = site.smtp.log_text()
    assert f"sasl_username={CHEN}" in log
    assert CLIENT in log, "Postfix knows who the client is"


def test_a_password_of_any_octets_comes_through_nginx_as_it_was_typed(site: Site) -> None:
    site.send(ODD, through="nginx").quit()
    site.imap(ODD).logout()


def test_a_wrong_password_reads_as_wrong_and_may_be_typed_again_on_the_same_connection(site: Site) -> None:
    with pytest.raises(imaplib.IMAP4.error, match=r"AUTHENTICATIONFAILED"):
        site.imap(ZHAO, "wrong")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        site.pop3(ZHAO, "wrong")
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        site.send(ZHAO, "wrong", through="nginx")
    assert refused.value.smtp_code == 535


def test_a_source_that_is_down_reads_as_temporary_in_all_three_protocols(site: Site) -> None:
    with pytest.raises(imaplib.IMAP4.error, match=r"UNAVAILABLE"):
        site.imap(NOBODY, "some password")
    with pytest.raises(poplib.error_proto, match=r"SYS/TEMP"):
        site.pop3(NOBODY, "some password")
    with pytest.raises(smtplib.SMTPAuthenticationError) as later:
        site.send(NOBODY, "some password", through="nginx")
    assert later.value.smtp_code == 454


def test_a_source_that_is_down_reads_as_temporary_from_postfix_too_which_asks_again_at_once(
    site: Site,
) -> None:
    with site.submission() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as later:
            site.authenticate(client, NOBODY, "some password")
        assert later.value.smtp_code == 454
        site.authenticate(client, ZHAO)
