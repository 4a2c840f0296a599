"""`[notices]`: where messages go, and what is refused before one could go there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mailferry.config.domains import domain_entry
from mailferry.config.faults import BadConfiguration
from mailferry.config.loader import load
from mailferry.config.notice_settings import NoticeMailSettings, NoticeSettings, WebhookSettings
from mailferry.model.access import Secret, TlsMode

SECRET = Secret(b"sixteen octets!!")
TARGET = '[target]\nimap = "imaps://new.test"\n'


def webhook(url: Any, **more: Any) -> WebhookSettings:
    return WebhookSettings.model_validate({"url": url, "secret": SECRET, **more})


def relay(url: Any, **more: Any) -> NoticeMailSettings:
    return NoticeMailSettings.model_validate({"relay": url, "to": ["a@site.test"], **more})


@pytest.mark.parametrize(
    ("url", "tls", "host", "port", "path"),
    [
        ("https://hooks.test/in?x=1", True, "hooks.test", 443, "/in?x=1"),
        ("https://hooks.test:8443", True, "hooks.test", 8443, "/"),
        ("http://127.0.0.1:8080/a", False, "127.0.0.1", 8080, "/a"),
        ("https://[2001:db8::1]/", True, "2001:db8::1", 443, "/"),
    ],
)
def test_an_address_of_a_webhook(url: str, tls: bool, host: str, port: int, path: str) -> None:
    found = webhook(url).url
    assert (found.tls, found.host, found.port, found.path) == (tls, host, port, path)
    assert webhook(str(found)).url == found


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.test/", "hooks.test", 7, "https://", "https://me:word@hooks.test/", "https://hooks.test/#x",
        "https://hooks.test/a\r\nX: y", "https://hooks.test/\u00e9", "http://hooks.test/in", "https://h o/",
        "https://hooks.test:99999/",
    ],
)  # fmt: skip
def test_what_no_message_is_posted_to(url: Any) -> None:
    with pytest.raises((ValidationError, ValueError)):
        webhook(url)


def test_without_tls_only_to_this_machine_or_with_consent() -> None:
    assert not webhook("http://hooks.test/in", accept_plaintext=True).url.tls
    assert not webhook("http://localhost/in").url.tls


def test_a_short_secret_is_no_secret() -> None:
    with pytest.raises(ValidationError, match="16 octets"):
        webhook("https://hooks.test/", secret=Secret(b"fifteen octets!"))


@pytest.mark.parametrize(
    ("url", "mode", "port"),
    [
        ("smtp://mail.test", TlsMode.STARTTLS, 587),
        ("smtps://mail.test", TlsMode.IMPLICIT, 465),
        ("smtp://mail.test?tls=none", TlsMode.NONE, 25),
        ("smtp://mail.test:2525?ca=/a/ca.pem", TlsMode.STARTTLS, 2525),
    ],
)
def test_an_address_of_a_relay(url: str, mode: TlsMode, port: int) -> None:
    found = relay(url).relay
    assert (found.tls, found.port) == (mode, port)
    assert relay(str(found)).relay == found


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("imaps://mail.test", {}),
        ("smtps://mail.test?tls=none", {}),
        ("smtp://mail.test?verify=no", {}),
        ("smtp://mail.test/path", {}),
        ("smtp://mail.test", {"to": []}),
        ("smtp://mail.test", {"to": ["not an address"]}),
        ("smtp://mail.test", {"to": ["a@site.test\r\nBcc: b@site.test"]}),
        ("smtp://mail.test", {"user": "me"}),
        ("smtp://mail.test", {"password": SECRET}),
        ("smtp://mail.test?tls=none", {"user": "me", "password": SECRET}),
    ],
)
def test_what_no_mail_is_handed_to(url: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        relay(url, **more)


@pytest.mark.parametrize(
    "sender", ["nobody", "a@b\nX: y", "two words@site.test", "<a@site.test>", "@site.test"]
)
def test_a_sender_is_an_address(sender: str) -> None:
    with pytest.raises(ValidationError):
        NoticeSettings.model_validate({"from": sender})


def test_the_environment_sets_the_sender_too(tmp_path: Path) -> None:
    path = tmp_path / "mailferry.toml"
    path.write_text(TARGET)
    found = load(path, {"MAILFERRY_NOTICES__FROM": "a@site.test", "MAILFERRY_NOTICES__GROUP_MINUTES": "5"})
    assert (found.notices.sender, found.notices.group_minutes) == ("a@site.test", 5)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, ("done",)),
        ("none", ()),
        ("", ()),
        ([], ()),
        ("failed, done", ("failed", "done")),
        (["started"], ("started",)),
        ("done,done", ("done",)),
    ],
)
def test_a_domain_says_what_its_users_are_told(given: Any, wanted: tuple[str, ...]) -> None:
    values = {"name": "a.test", "source": "imaps://old.test"}
    entry = domain_entry(values if given is None else {**values, "notices": given})
    assert entry.notices == wanted


@pytest.mark.parametrize("given", ["everything", ["done", "nothing"], 7])
def test_other_words_are_refused(given: Any) -> None:
    with pytest.raises(BadConfiguration):
        domain_entry({"name": "a.test", "source": "imaps://old.test", "notices": given})
