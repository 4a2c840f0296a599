"""The kinds of values that settings have beside numbers and words: servers, endpoints, networks."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, PlainValidator

from mailferry.config.endpoints import BadEndpoint, Endpoint, TcpEndpoint, parse_endpoint
from mailferry.model.access import Protocol, Server
from mailferry.model.hours import Hours, parse_hours
from mailferry.model.server_url import parse_server_url


class Section(BaseModel):
    """A table of the configuration: unknown keys are faults, values never appear in messages."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
    )


def _server(value: object) -> Server:
    if isinstance(value, Server):
        return value
    if not isinstance(value, str):
        raise ValueError("write an address such as imaps://mail.example.com")  # noqa: TRY004 - a fault
    return parse_server_url(value)


def _imap(server: Server) -> Server:
    if server.protocol is not Protocol.IMAP:
        raise ValueError("write an imaps:// or imap:// address")
    return server


def _pop3(server: Server) -> Server:
    if server.protocol is not Protocol.POP3:
        raise ValueError("write a pop3s:// or pop3:// address")
    return server


def _endpoint(value: object) -> Endpoint:
    if isinstance(value, Endpoint):
        return value
    if not isinstance(value, str):
        raise ValueError("write an endpoint such as tcp:143:interface=127.0.0.1")  # noqa: TRY004 - a fault
    return parse_endpoint(value)


def _address_and_port(value: object) -> tuple[str, int]:
    try:
        host, colon, port = str(value).rpartition(":")
        endpoint = parse_endpoint(f"tcp:{port}:interface={host}")
        if not colon or not isinstance(endpoint, TcpEndpoint) or not endpoint.port:
            raise BadEndpoint("no port")
    except BadEndpoint as error:
        raise ValueError("write an address in digits and a port, such as 127.0.0.1:587") from error
    return endpoint.interface, endpoint.port


def _joined(place: tuple[str, int]) -> str:
    return f"[{place[0]}]:{place[1]}" if ":" in place[0] else f"{place[0]}:{place[1]}"


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(
            "write a network such as 10.0.0.0/8, with no address bits behind its length"
        ) from error


def _address(value: object) -> IPv4Address | IPv6Address:
    try:
        return ip_address(str(value))
    except ValueError as error:
        raise ValueError("write an IP address") from error


def _hours(value: object) -> Hours:
    if isinstance(value, Hours):
        return value
    if not isinstance(value, str):
        raise ValueError("write a span of hours such as 22:00-06:00")  # noqa: TRY004 - a fault
    return parse_hours(value)


def _domain_name(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).strip().rstrip(".").lower()
    labels = plain.split(".")
    if len(plain) > 253 or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("write a domain such as example.com")
    return plain


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("write the whole path, beginning with /")
    return path


_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?", re.UNICODE)
_AS_TEXT = PlainSerializer(str, return_type=str)

ServerSetting = Annotated[Server, PlainValidator(_server), _AS_TEXT]
ImapServer = Annotated[Server, PlainValidator(_server), AfterValidator(_imap), _AS_TEXT]
Pop3Server = Annotated[Server, PlainValidator(_server), AfterValidator(_pop3), _AS_TEXT]
EndpointSetting = Annotated[Endpoint, PlainValidator(_endpoint), _AS_TEXT]
AddressAndPort = Annotated[
    tuple[str, int], PlainValidator(_address_and_port), PlainSerializer(_joined, return_type=str)
]
DomainName = Annotated[str, AfterValidator(_domain_name)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
HoursSetting = Annotated[Hours, PlainValidator(_hours), _AS_TEXT]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network), _AS_TEXT]
Address = Annotated[IPv4Address | IPv6Address, PlainValidator(_address), _AS_TEXT]
