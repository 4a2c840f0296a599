"""The forms in which credentials go to an IMAP server, in the order in which they are tried.

Each form is a list of segments; a continuation is waited for between two of them. This file and
`pop3_backend` are the only places that put a password on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from mailferry.login.names import safe_name, safe_password
from mailferry.model.access import Credentials
from mailferry.model.profile import Profile
from mailferry.wire.imap_commands import Literal, Piece, quoted, segments
from mailferry.wire.sasl import encode_plain


class NoForm(ValueError):
    """Credentials cannot be sent here; `code` is a response code's name or None."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class LoginForm:
    """One way to log in: the command's text before the credentials are known to be wanted."""

    mechanism: str
    pieces: tuple[Piece, ...] = field(repr=False)
    response: bytes | None = field(default=None, repr=False)
    """SASL response that goes behind a continuation, where no initial response is taken."""

    def segments(self, tag: bytes, offered: frozenset[bytes]) -> list[bytes]:
        """Return what is sent under `tag`, one item for each continuation and one more."""
        done = segments(
            tag,
            self.pieces,
            literal_plus=b"LITERAL+" in offered,
            literal_minus=b"LITERAL-" in offered,
        )
        return done if self.response is None else [*done, self.response + b"\r\n"]


@lru_cache(maxsize=64)  # a server offers the same at each login
def offered_by(capabilities: tuple[bytes, ...]) -> frozenset[bytes]:
    """Return a server's capabilities as they are looked up: in upper case."""
    return frozenset(word.upper() for word in capabilities)


def mechanisms(
    credentials: Credentials, profile: Profile, offered: frozenset[bytes], *, secure: bool
) -> list[str]:
    """Return the mechanisms to try where `offered` is; raises `NoForm` when there is none.

    The credentials have passed `check_credentials`.
    """
    disabled = b"LOGINDISABLED" in offered
    if disabled and not secure:
        raise NoForm("the server takes no login without TLS", "PRIVACYREQUIRED")
    order = list(profile.auth_order)
    if not credentials.password.reveal().isascii() and "PLAIN" in order:
        order.sort(key=lambda mechanism: mechanism != "PLAIN")
    takes = {"PLAIN": b"AUTH=PLAIN" in offered, "LOGIN": not disabled and not credentials.authzid}
    tried = [mechanism for mechanism in order if takes.get(mechanism)]
    if tried:
        return tried
    if disabled:
        raise NoForm("the server takes no passwords: LOGINDISABLED inside TLS", "LOGINDISABLED")
    if credentials.authzid:
        raise NoForm("acting as another user needs SASL PLAIN, which the server does not offer")
    raise NoForm("the server offers no mechanism that takes a password")


def login_form(
    mechanism: str, credentials: Credentials, profile: Profile, offered: frozenset[bytes]
) -> LoginForm:
    """Return the form of one of `mechanisms`."""
    if mechanism == "PLAIN":
        return _plain(credentials, initial=b"SASL-IR" in offered)
    return _login(credentials, profile)


def check_credentials(credentials: Credentials) -> None:
    """Raise `NoForm` for names and passwords that could end a line or a field."""
    if not safe_name(credentials.authcid) or (credentials.authzid and not safe_name(credentials.authzid)):
        raise NoForm("a control character in a name")
    if not safe_password(credentials.password.reveal()):
        raise NoForm("a password that no login form can carry")


def _plain(credentials: Credentials, *, initial: bool) -> LoginForm:
    response = encode_plain(
        credentials.authzid.encode("utf-8"), credentials.authcid.encode("utf-8"), credentials.password
    )
    if initial:
        return LoginForm("PLAIN", (b"AUTHENTICATE", b"PLAIN", response))
    return LoginForm("PLAIN", (b"AUTHENTICATE", b"PLAIN"), response)


def _login(credentials: Credentials, profile: Profile) -> LoginForm:
    name, password = credentials.authcid.encode("utf-8"), credentials.password.reveal()
    return LoginForm("LOGIN", (b"LOGIN", _string(name, profile), _string(password, profile)))


def _string(octets: bytes, profile: Profile) -> Piece:
    # Quoted wherever it can be: Tencent answers BAD to literals. 8-bit has no place in a quoted
    # string by RFC 3501, yet servers without literals take it there.
    if octets.isascii() or not profile.login_literals:
        return quoted(octets)
    return Literal(octets)
