"""The ways by which administrators are told, from the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from mailferry.app.parts import permitted_networks
from mailferry.config.notice_settings import NoticeMailSettings, WebhookSettings, is_own_relay
from mailferry.config.settings import Settings
from mailferry.copying.notices import Message, Outlet
from mailferry.remote.relay_mail import MailRelay, send
from mailferry.remote.watched_socket import IpAddress, Permitted
from mailferry.remote.webhook import Webhook, post
from mailferry.store.notices import Audience


def outlets(settings: Settings, *, now: Callable[[], float]) -> Mapping[Audience, Outlet]:
    """Return what `[notices]` configures; `now` is the wall clock, for signatures."""
    permitted: Permitted = permitted_networks(settings)
    found: dict[Audience, Outlet] = {}
    if settings.notices.webhook is not None:
        found[Audience.WEBHOOK] = _webhook(settings.notices.webhook, permitted, now)
    if settings.notices.mail is not None:
        found[Audience.MAIL] = _mail(settings.notices.mail, permitted)
    return found


def _webhook(settings: WebhookSettings, permitted: Permitted, now: Callable[[], float]) -> Outlet:
    url = settings.url
    ca = None if settings.ca is None else str(settings.ca)
    webhook = Webhook(url.host, url.port, url.path, url.tls, settings.secret, ca)

    def tell(message: Message) -> None:
        body = json.dumps(message, ensure_ascii=False, sort_keys=True).encode()
        post(webhook, body, key=str(message["id"]), at=int(now()), permitted=permitted)

    return tell


def _mail(settings: NoticeMailSettings, permitted: Permitted) -> Outlet:
    url = settings.relay
    relay = MailRelay(url.host, url.port, url.tls, url.ca, settings.user, settings.password)
    sender = settings.sender or settings.to[0]

    def may_dial(address: IpAddress) -> bool:
        return is_own_relay(address) or permitted(address)

    def tell(message: Message) -> None:
        octets = alert_mail(message, sender, settings.to)
        send(relay, sender, settings.to, octets, permitted=may_dial)

    return tell


def alert_mail(message: Message, sender: str, recipients: tuple[str, ...]) -> bytes:
    """Return the message as mail; the same octets at each try, so that a relay's or reader's filter sees a repeat."""
    subject, text = _in_language(message)
    mail = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = f"[mailferry] {subject}"
    mail["Date"] = format_datetime(datetime.fromisoformat(str(message["made_at"])))
    mail["Message-ID"] = f"<mailferry-{message['id']}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text, cte="base64")
    return mail.as_bytes()


def _in_language(message: Message) -> tuple[str, str]:
    language = str(message["language"])
    chosen = ("en", "zh") if language == "both" else (language,)
    subject = " / ".join(message["subject"][one] for one in chosen)
    return subject, "\r\n\r\n".join(message["text"][one] for one in chosen) + "\r\n"
