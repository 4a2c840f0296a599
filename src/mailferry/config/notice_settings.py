"""`[notices]`: who tells users and administrators what, and by which way."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from mailferry.config.field_types import AbsolutePath, Section
from mailferry.config.plaintext_rule import is_loopback
from mailferry.config.secret_sources import SecretSetting
from mailferry.model.access import TlsMode

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$&'+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HOST = re.compile(r"[^\x00-\x20\x7f/?#@\\]+")
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """An https:// or http:// address."""

    tls: bool
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class RelayUrl:
    """A mail relay's address with its TLS terms."""

    host: str
    port: int
    tls: TlsMode
    ca: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "smtps" if self.tls is TlsMode.IMPLICIT else "smtp"
        options = [f"ca={self.ca}"] if self.ca else []
        if self.tls is TlsMode.NONE:
            options.append("tls=none")
        return f"{scheme}://{host}:{self.port}" + ("?" + "&".join(options) if options else "")


def _http(value: object) -> HttpUrl:
    if isinstance(value, HttpUrl):
        return value
    parts = urlsplit(value.strip()) if isinstance(value, str) else None
    if parts is None or parts.scheme not in {"https", "http"}:
        raise ValueError("write an address such as https://hooks.example.com/mailferry")
    if parts.username is not None or parts.fragment or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("write an address with a host, and without a user name and a #")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(character <= " " or character == "\x7f" for character in path):
        raise ValueError("write path and query in ASCII without blanks")
    tls = parts.scheme == "https"
    return HttpUrl(tls, str(parts.hostname), parts.port or (443 if tls else 80), path)


def _relay(value: object) -> RelayUrl:
    if isinstance(value, RelayUrl):
        return value
    parts = urlsplit(value.strip()) if isinstance(value, str) else None
    if parts is None or parts.scheme not in {"smtp", "smtps"}:
        raise ValueError("write an address such as smtp://mail.example.com:587 or smtps://mail.example.com")
    wrong = parts.username is not None or parts.path not in {"", "/"} or parts.fragment
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if wrong or not _HOST.fullmatch(parts.hostname or "") or set(options) - {"tls", "ca"}:
        raise ValueError("only host, port and the options tls=none and ca=FILE belong into the address")
    implicit = parts.scheme == "smtps"
    mode = TlsMode.IMPLICIT if implicit else TlsMode.STARTTLS
    if "tls" in options:
        if options["tls"] != "none" or implicit:
            raise ValueError("the only value of tls is none, and only with smtp://")
        mode = TlsMode.NONE
    port = parts.port or (465 if implicit else 25 if mode is TlsMode.NONE else 587)
    return RelayUrl(str(parts.hostname), port, mode, options.get("ca") or None)


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("write a mail address such as postmaster@example.com")
    return text


_AS_TEXT = PlainSerializer(str, return_type=str)

HttpSetting = Annotated[HttpUrl, PlainValidator(_http), _AS_TEXT]
RelaySetting = Annotated[RelayUrl, PlainValidator(_relay), _AS_TEXT]
MailAddress = Annotated[str, AfterValidator(_address)]


class WebhookSettings(Section):
    """`[notices.webhook]`: a web service of the site that is told what needs somebody."""

    url: HttpSetting
    secret: SecretSetting
    ca: AbsolutePath | None = None
    accept_plaintext: bool = False

    @model_validator(mode="after")
    def _confidential(self) -> Self:
        if not self.url.tls and not self.accept_plaintext and not is_loopback(self.url.host):
            raise ValueError(
                "http:// would show names of users to the network; use https://, or set accept_plaintext = true"
            )
        if len(self.secret) < _SHORTEST_SECRET:
            raise ValueError(
                f"the secret has at least {_SHORTEST_SECRET} octets; openssl rand -hex 32 makes one"
            )
        return self


class NoticeMailSettings(Section):
    """`[notices.mail]`: the same by mail."""

    relay: RelaySetting
    to: tuple[MailAddress, ...] = Field(min_length=1)
    sender: MailAddress | None = Field(default=None, alias="from")
    user: str = ""
    password: SecretSetting | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password go together")
        if self.user and self.relay.tls is TlsMode.NONE and not is_loopback(self.relay.host):
            raise ValueError("the password would cross the network in clear; leave ?tls=none out")
        return self


class NoticeSettings(Section):
    """`[notices]`: messages to users in their new mailbox, and to administrators."""

    sender: MailAddress | None = Field(default=None, alias="from")
    group_minutes: int = Field(default=10, ge=1, le=1440)
    webhook: WebhookSettings | None = None
    mail: NoticeMailSettings | None = None


def is_own_relay(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is this machine's own, where a relay may stand without being listed."""
    return address.is_loopback
