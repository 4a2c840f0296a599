"""Where the service listens: `tcp:143:interface=127.0.0.1`, `systemd:name=imap`, `unix:/run/x:mode=660`.

The strings look like Twisted's, but are read here: the parent binds the sockets itself, before any
reactor exists. A colon inside a value is written `\\:`, or an IPv6 address stands in brackets.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

ALL_ADDRESSES = "0.0.0.0"
THIS_MACHINE = "127.0.0.1"

MAX_UNIX_PATH = 107
"""Octets of a socket's path (unix(7))."""

_MODE = re.compile("0?[0-7]{3}")
_COLON = re.compile(r"(?<!\\):(?![^\[]*\])")


class BadEndpoint(ValueError):
    """An endpoint string that cannot be understood; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A port of our own; port 0 takes a free one."""

    port: int
    interface: str = ALL_ADDRESSES
    """An IP address, not a name."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.interface).is_loopback

    def __str__(self) -> str:
        interface = f"[{self.interface}]" if ":" in self.interface else self.interface
        return f"tcp:{self.port}:interface={interface}"


@dataclass(frozen=True, slots=True)
class SystemdEndpoint:
    """A socket that systemd opened and handed on under a name (FileDescriptorName=)."""

    name: str

    @property
    def loopback(self) -> bool:
        """Unknown before it is handed on, so never taken for granted."""
        return False

    def __str__(self) -> str:
        return f"systemd:name={self.name}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A socket in the file system; `mode` says who may connect."""

    path: str
    mode: int = 0o660

    @property
    def loopback(self) -> bool:
        """Only this machine can connect."""
        return True

    def __str__(self) -> str:
        path = self.path.replace(":", "\\:")
        return f"unix:{path}:mode={self.mode:o}"


Endpoint = TcpEndpoint | SystemdEndpoint | UnixEndpoint


def parse_endpoint(text: str, interface: str = ALL_ADDRESSES) -> Endpoint:
    """Return what `text` describes, a port at `interface` where it names none; raises BadEndpoint."""
    kind, *parts = [part.replace("\\:", ":") for part in _COLON.split(text.strip())]
    if kind == "tcp":
        return _tcp(text, parts, interface)
    if kind == "systemd":
        return _systemd(text, parts)
    if kind == "unix":
        return _unix(text, parts)
    raise BadEndpoint(f"{text!r}: an endpoint begins with tcp:, systemd: or unix:")


def _options(text: str, parts: list[str], known: tuple[str, ...]) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or name not in known or name in options or not value:
            raise BadEndpoint(
                f"{text!r}: {part!r} is not understood; known are {', '.join(f'{k}=' for k in known)}"
            )
        options[name] = value
    return options


def _tcp(text: str, parts: list[str], unnamed: str) -> TcpEndpoint:
    if parts and "=" not in parts[0]:
        parts = [f"port={parts[0]}", *parts[1:]]
    options = _options(text, parts, ("port", "interface"))
    port = options.get("port", "")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise BadEndpoint(f"{text!r}: write the port as a number up to 65535, as in tcp:143")
    interface = options.get("interface", unnamed).removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(THIS_MACHINE if interface == "localhost" else interface)
    except ValueError as error:
        raise BadEndpoint(f"{text!r}: interface is an IP address of this machine") from error
    return TcpEndpoint(int(port), str(address))


def _systemd(text: str, parts: list[str]) -> SystemdEndpoint:
    options = _options(text, parts, ("name",))
    if "name" not in options:
        raise BadEndpoint(f"{text!r}: name the socket, as in systemd:name=imap")
    if ":" in options["name"]:  # systemd.socket(5), FileDescriptorName=
        raise BadEndpoint(f"{text!r}: systemd gives no socket a name with a colon")
    return SystemdEndpoint(options["name"])


def _unix(text: str, parts: list[str]) -> UnixEndpoint:
    path, options = (parts[0] if parts else ""), _options(text, parts[1:], ("mode",))
    if not path.startswith("/") or len(path.encode()) > MAX_UNIX_PATH:
        raise BadEndpoint(f"{text!r}: write a whole path of at most {MAX_UNIX_PATH} octets")
    if path.endswith("\\"):
        raise BadEndpoint(f"{text!r}: a path that ends in a backslash cannot be written")
    mode = options.get("mode", "660")
    if not _MODE.fullmatch(mode):
        raise BadEndpoint(f"{text!r}: write the mode in octal, as in mode=660")
    return UnixEndpoint(path, int(mode, 8))
