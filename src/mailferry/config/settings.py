"""The configuration file as types (docs/settings.md explains each key; conf/mailferry.toml shows them).

Each class is one table, each field one key. Rules that need more than one key stand beside the
keys they join. `config.loader.load` reads a file into `Settings`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mailferry.config.endpoints import THIS_MACHINE, TcpEndpoint, UnixEndpoint, parse_endpoint
from mailferry.config.field_types import (
    AbsolutePath,
    Address,
    AddressAndPort,
    DomainName,
    EndpointSetting,
    HoursSetting,
    ImapServer,
    Network,
    Pop3Server,
    Section,
)
from mailferry.config.notice_settings import NoticeSettings
from mailferry.config.plaintext_rule import in_confidence
from mailferry.config.secret_sources import SecretOrText, SecretSetting
from mailferry.model.access import Secret, TlsMode


class ServiceName(StrEnum):
    """What one listener serves."""

    IMAP = "imap"
    POP3 = "pop3"
    WEB = "web"
    METRICS = "metrics"
    AUTH_HTTP = "auth_http"
    SASL = "sasl"

    @property
    def is_door(self) -> bool:
        """Whether mail programs connect here."""
        return self in {ServiceName.IMAP, ServiceName.POP3}

    @property
    def asks(self) -> bool:
        """Whether other servers connect here, to ask about a password."""
        return self in {ServiceName.AUTH_HTTP, ServiceName.SASL}

    @property
    def in_proxy(self) -> bool:
        """Whether the proxy processes serve it; the web process serves the others."""
        return self not in {ServiceName.WEB, ServiceName.METRICS}


class TargetLogin(StrEnum):
    """How we log in at the target."""

    DOVECOT_MASTER = "dovecot-master"  # user*master
    MASTER = "master"  # SASL PLAIN with an authorization identity
    USER = "user"  # with the user's own password only


class ForwardClientAddress(StrEnum):
    """How the target is told a client's real address."""

    NONE = "none"
    DOVECOT_ID = "dovecot-id"
    XCLIENT = "xclient"
    PROXY = "proxy"


SQLITE = "sqlite"
OWN_PROFILES = Path("/etc/mailferry/providers.d")


class ServiceSettings(Section):
    """`[service]`: where things lie and how many processes run."""

    state_dir: AbsolutePath = Path("/var/lib/mailferry")
    database: SecretOrText = Field(default_factory=lambda: Secret(SQLITE.encode()))
    key: SecretSetting | None = None
    proxy_processes: int = Field(default=1, ge=1, le=256)
    copier_processes: int = Field(default=1, ge=1, le=64)
    providers_dir: AbsolutePath = OWN_PROFILES
    allow_networks: tuple[Network, ...] = ()
    source_addresses: tuple[Address, ...] = ()
    default_domain: DomainName | None = None
    drain_seconds: int = Field(default=30, ge=0, le=600)

    @field_validator("database")
    @classmethod
    def _known_database(cls, database: Secret) -> Secret:
        scheme = database.reveal().partition(b"://")[0]
        if database.reveal() == SQLITE.encode() or scheme in {b"postgresql", b"postgresql+psycopg"}:
            return database
        raise ValueError('write "sqlite" or a postgresql:// address')

    @property
    def profiles_folder(self) -> str | None:
        """Where profiles of the site's own lie; None where nobody has made the usual folder."""
        unused = "providers_dir" not in self.model_fields_set and not os.access(self.providers_dir, os.R_OK)
        return None if unused else str(self.providers_dir)

    @property
    def database_url(self) -> Secret:
        """The address of the database as SQLAlchemy wants it."""
        octets = self.database.reveal()
        if octets == SQLITE.encode():
            return Secret(f"sqlite:///{self.state_dir}/mailferry.db".encode())
        return Secret(b"postgresql+psycopg://" + octets.partition(b"://")[2])


class ListenSettings(Section):
    """`[[listen]]`: one listener."""

    service: ServiceName
    endpoint: EndpointSetting
    tls: TlsMode | None = None
    proxy_protocol_from: tuple[Network, ...] = ()
    webmail_from: tuple[Network, ...] = ()
    plaintext_login: bool = False

    @field_validator("service", mode="before")
    @classmethod
    def _asked_for_later(cls, service: object) -> object:
        if service == "socketmap":
            raise ValueError("socketmap is not served yet")
        return service

    @field_validator("endpoint", mode="before")
    @classmethod
    def _numbers_stay_here(cls, endpoint: object, info: ValidationInfo) -> object:
        """Metrics are for this machine unless an interface is named."""
        if isinstance(endpoint, str) and info.data.get("service") is ServiceName.METRICS:
            return parse_endpoint(endpoint, THIS_MACHINE)
        return endpoint

    @property
    def mode(self) -> TlsMode:
        """The TLS mode, STARTTLS on doors and none elsewhere unless the file says more."""
        if self.tls is not None:
            return self.tls
        return TlsMode.STARTTLS if self.service.is_door else TlsMode.NONE

    @property
    def for_nginx(self) -> bool:
        """Whether nginx on this machine can bring mail clients here: it speaks no TLS to a mail server."""
        return self.service.is_door and self.mode is TlsMode.NONE and self.endpoint.loopback

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        loopback = self.endpoint.loopback
        if self.proxy_protocol_from and not self.service.is_door:
            raise ValueError(f"{self.service.value} reads no PROXY header; leave proxy_protocol_from out")
        if self.webmail_from and self.service is not ServiceName.IMAP:
            raise ValueError("only a webmail's IMAP tells whom it speaks for; leave webmail_from out")
        if self.mode is TlsMode.STARTTLS and not self.service.is_door:
            raise ValueError(
                f"tls = starttls is for imap and pop3; {self.service.value} takes implicit or none"
            )
        if self.mode is not TlsMode.NONE and not (self.service.is_door or self.service is ServiceName.WEB):
            raise ValueError(f"{self.service.value} is served without TLS; leave tls out")
        if isinstance(self.endpoint, UnixEndpoint) and not self.service.asks:
            raise ValueError(f"{self.service.value} is served over tcp: or systemd:, not unix:")
        if self.service is ServiceName.AUTH_HTTP and isinstance(self.endpoint, UnixEndpoint):
            raise ValueError("nginx asks auth_http over tcp: only; unix: is for sasl")
        if self.service is ServiceName.SASL and isinstance(self.endpoint, TcpEndpoint) and not loopback:
            raise ValueError(
                "sasl judges passwords for whoever can reach it, without TLS; listen on "
                "interface=127.0.0.1 or on unix:"
            )
        exposed = self.mode is TlsMode.NONE and not loopback and not self.plaintext_login
        if exposed and (self.service.is_door or self.service is ServiceName.WEB):
            raise ValueError(
                "without TLS passwords would cross the network in clear; set tls, listen on "
                "interface=127.0.0.1, or accept it with plaintext_login = true"
            )
        return self


class CertificateSettings(Section):
    """`[[tls.also]]`: a further certificate, shown to clients that ask for one of its names."""

    certificate: AbsolutePath
    key: AbsolutePath


class TlsSettings(Section):
    """`[tls]`: our certificates; all files are read again when they change."""

    certificate: AbsolutePath
    key: AbsolutePath
    also: tuple[CertificateSettings, ...] = ()

    @property
    def each(self) -> Iterator[tuple[str, CertificateSettings]]:
        """Every certificate with the name of its table, the default first."""
        yield "tls", CertificateSettings(certificate=self.certificate, key=self.key)
        for number, other in enumerate(self.also, start=1):
            yield f"tls.also[{number}]", other


class AuthHttpSettings(Section):
    """`[auth_http]`: what nginx's mail proxy is told beside our own doors."""

    key: SecretSetting | None = None
    submission: AddressAndPort | None = None


class TargetSettings(Section):
    """`[target]`: the new host, for every domain that names no other."""

    accept_plaintext: bool = False  # first, because the addresses are judged by it
    imap: ImapServer
    pop3: Pop3Server | None = None
    login: TargetLogin = TargetLogin.USER
    master_user: str = ""
    master_password: SecretSetting | None = None
    forward_client_address: ForwardClientAddress = ForwardClientAddress.NONE

    @model_validator(mode="before")
    @classmethod
    def _a_master_is_meant(cls, table: object) -> object:
        """A master that is named is used: Dovecot's way, unless `login` says another."""
        if isinstance(table, dict) and "login" not in table and table.get("master_user"):
            return {**table, "login": TargetLogin.DOVECOT_MASTER.value}
        return table

    _confidential = field_validator("imap", "pop3")(in_confidence)

    @field_validator("master_user")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if any(ord(character) < 0x21 or character in "*%" for character in name):
            raise ValueError("a name without blanks, * and %")
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.login is not TargetLogin.USER and not (self.master_user and self.master_password):
            raise ValueError(f"login = {self.login.value} needs master_user and master_password")
        return self


class PasswdFileSettings(Section):
    """`[passwords.passwd-file]`: Dovecot's users file."""

    path: AbsolutePath
    create: bool = False


class SqlSettings(Section):
    """`[passwords.sql]`: statements over the target's own table, with `:address` and `:hash`."""

    url: SecretOrText
    update: str = "UPDATE mailbox SET password = :hash WHERE username = :address"
    select: str = "SELECT password FROM mailbox WHERE username = :address"
    create: str = ""

    @field_validator("update", "create")
    @classmethod
    def _binds_both(cls, statement: str) -> str:
        if statement and not (":hash" in statement and ":address" in statement):
            raise ValueError("the statement names both :hash and :address, which are bound, never pasted in")
        return statement

    @field_validator("select")
    @classmethod
    def _binds_address(cls, statement: str) -> str:
        if ":address" not in statement:
            raise ValueError("the statement names :address")
        return statement


class CommandSettings(Section):
    """`[passwords.command]`: a program of the site, told on its standard input."""

    argv: tuple[str, ...] = Field(min_length=1)
    takes: Literal["password", "hash"] = "password"
    create: bool = False
    seconds: float = Field(default=10.0, ge=1.0, le=15.0)

    @field_validator("argv")
    @classmethod
    def _by_its_path(cls, argv: tuple[str, ...]) -> tuple[str, ...]:
        if not Path(argv[0]).is_absolute():
            raise ValueError("write the program's whole path, such as /usr/local/bin/set-password")
        return argv


class BackendName(StrEnum):
    """How a password is set at the target."""

    SQL = "sql"
    PASSWD_FILE = "passwd-file"  # noqa: S105 - a kind of file
    COMMAND = "command"
    NONE = "none"


class PasswordSettings(Section):
    """`[passwords]`: how the password gets to the target."""

    backend: BackendName = BackendName.NONE
    scheme: Literal["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "SSHA512", "SSHA256", "SSHA"] = (
        "ARGON2ID"
    )
    push_from_plaintext: bool = False
    passwd_file: PasswdFileSettings | None = Field(default=None, alias="passwd-file")
    sql: SqlSettings | None = None
    command: CommandSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _the_only_table_is_meant(cls, table: object) -> object:
        """A backend whose table stands there is used, unless `backend` says another."""
        if isinstance(table, dict) and "backend" not in table:
            there = [name.value for name in BackendName if name.value in table]
            if len(there) > 1:
                raise ValueError(f"write backend = one of {', '.join(there)}: each has its table")
            if there:
                return {**table, "backend": there[0]}
        return table

    @field_validator("backend", mode="before")
    @classmethod
    def _asked_for_later(cls, backend: object) -> object:
        if backend in {"ldap", "http"}:
            raise ValueError(f"{backend} comes later; use sql, passwd-file, command or none")
        return backend

    @model_validator(mode="after")
    def _has_its_table(self) -> Self:
        table = {
            BackendName.SQL: self.sql,
            BackendName.PASSWD_FILE: self.passwd_file,
            BackendName.COMMAND: self.command,
            BackendName.NONE: self,
        }[self.backend]
        if table is None:
            raise ValueError(
                f"backend = {self.backend.value} needs the table [passwords.{self.backend.value}]"
            )
        return self


class CopySettings(Section):
    """`[copy]`: pace and patience of the copier."""

    connections_per_account: int = Field(default=2, ge=1, le=8)
    connections_per_source: int | None = Field(default=None, ge=1, le=10_000)
    bytes_per_day: int | None = Field(default=None, ge=1_000_000)
    source_bytes_per_day: int | None = Field(default=None, ge=1_000_000)
    commands_per_minute: int | None = Field(default=None, ge=10)
    source_commands_per_minute: int | None = Field(default=None, ge=10)
    hours: HoursSetting | None = None
    niceness: int = Field(default=10, ge=0, le=19)
    accounts_at_once: int = Field(default=8, ge=1, le=1000)
    freeze_budget_seconds: int = Field(default=20, ge=1, le=25)
    early_switch_after_hours: int = Field(default=24, ge=0, le=720)
    new_mail: Literal["off"] = "off"
    quiet_seconds: int = Field(default=60, ge=1, le=3600)
    pass_interval_seconds: int = Field(default=300, ge=1, le=86400)
    batch_messages: int = Field(default=200, ge=1, le=1000)
    batch_octets: int = Field(default=4 * 1024 * 1024, ge=65536, le=256 * 1024 * 1024)

    @field_validator("new_mail", mode="before")
    @classmethod
    def _asked_for_later(cls, way: object) -> object:
        if way in {"mirror", "union"}:
            raise ValueError(f"{way} comes later; write off")
        return way


class ShieldSettings(Section):
    """`[shield]`: how many wrong passwords may reach a source."""

    wrong_per_account: int = Field(default=5, ge=1, le=100)
    wrong_per_source_minute: int = Field(default=60, ge=1, le=10000)


class LogSettings(Section):
    """`[log]`: what is written to standard output."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """The whole file."""

    service: ServiceSettings = Field(default_factory=ServiceSettings)
    listen: tuple[ListenSettings, ...] = ()
    tls: TlsSettings | None = None
    auth_http: AuthHttpSettings = Field(default_factory=AuthHttpSettings)
    target: TargetSettings
    passwords: PasswordSettings = Field(default_factory=PasswordSettings)
    copy_: CopySettings = Field(default_factory=CopySettings, alias="copy")
    shield: ShieldSettings = Field(default_factory=ShieldSettings)
    notices: NoticeSettings = Field(default_factory=NoticeSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @model_validator(mode="after")
    def _listeners_fit_together(self) -> Self:
        faults = list(self._listener_faults())
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _listener_faults(self) -> Iterator[str]:
        seen: set[str] = set()
        for listener in self.listen:
            place = str(listener.endpoint)
            fresh = isinstance(listener.endpoint, TcpEndpoint) and listener.endpoint.port == 0
            if place in seen and not fresh:
                yield f"two listeners at {place}"
            seen.add(place)
            if listener.service is ServiceName.AUTH_HTTP:
                yield from self._auth_http_faults(listener)
            if listener.mode is not TlsMode.NONE and self.tls is None:
                yield f"the {listener.service.value} listener at {place} needs the table [tls]"

    def _auth_http_faults(self, asked: ListenSettings) -> Iterator[str]:
        """Nginx hands its clients on to us, so there must be a door that it can use."""
        if not asked.endpoint.loopback and self.auth_http.key is None:
            yield (
                f"the auth_http listener at {asked.endpoint} can be reached by others; listen on "
                "interface=127.0.0.1, or set key in [auth_http] and the same with auth_http_header in nginx"
            )
        if self.auth_http.submission is None and not any(one.for_nginx for one in self.listen):
            yield (
                "auth_http needs an imap or pop3 listener with interface=127.0.0.1 and tls = none, to which "
                "nginx brings the clients of accounts that are not moved yet"
            )
