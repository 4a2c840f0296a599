"""A real Postfix asks us about SMTP logins, by conf/postfix as it stands."""

from __future__ import annotations

import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.site import DOMAIN, DOWN, Site, message

LI, WANG, ZHAO = (f"{name}@{DOMAIN}" for name in ("li", "wang", "zhao"))
NOBODY = f"nobody@{DOWN}"
CHINESE = "旧密码 100% +a"

pytestmark = [pytest.mark.timeout(240), pytest.mark.peer("postfix", "dovecot")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="sasl-") as folder:
        Path(folder).chmod(0o755)  # Postfix asks as its own user
        made = Site(
            tmp_path_factory.mktemp("postfix"),
            {LI: "an old Pa55word", WANG: CHINESE, ZHAO: "another"},
            postfix=True,
            sasl_path=Path(folder) / "socket",
        )
        yield made
        made.close()


def test_pressing_send_starts_the_move_and_costs_the_old_host_one_login(site: Site) -> None:
    client = site.send(LI)
    assert client.sendmail(LI, ["friend@elsewhere.test"], message("sent")) == {}
    client.quit()
    shown = site.service.show(LI)
    assert (shown["trigger"], shown["state"]) in {("smtp", "in_progress"), ("smtp", "done")}
    assert f"sasl_username={LI}" in site.smtp.log_text()


def test_login_with_any_octets_is_taken_and_after_the_flip_the_new_host_judges(site: Site) -> None:
    site.send(WANG, how="LOGIN").quit()
    site.wait_for("SWITCHED", WANG)
    site.target.set_password(WANG, "chosen at the new host")
    site.send(WANG, "chosen at the new host").quit()


def test_a_wrong_password_is_535_and_the_right_one_is_taken_on_the_same_connection(site: Site) -> None:
    with site.submission() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            site.authenticate(client, ZHAO, "wrong")
        assert refused.value.smtp_code == 535
        assert b"The old mailbox refused this password." in refused.value.smtp_error
        site.authenticate(client, ZHAO)


def test_a_source_that_is_down_is_454_and_others_log_in_at_once(site: Site) -> None:
    with site.submission() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as later:
            site.authenticate(client, NOBODY, "some password")
        assert later.value.smtp_code == 454
        site.authenticate(client, ZHAO, how="LOGIN")
