"""IMAP commands that work before the login: CAPABILITY, ID, STARTTLS, LOGIN, AUTHENTICATE, NOOP, LOGOUT."""

from __future__ import annotations

import base64
import binascii

from mailferry.lab.imap_reader import BadCommand, Command, text
from mailferry.lab.imap_session import ImapSession, No, Verb
from mailferry.lab.refusals import nobody_enters, refusal, too_many

_OPTIONAL = (
    (b"LITERAL+", "no_literal_plus"),
    (b"ID", "no_id"),
    (b"IDLE", "no_idle"),
    (b"NAMESPACE", "aliyun_no_namespace"),
    (b"UIDPLUS", "no_uidplus"),
    (b"MOVE", "no_move"),
    (b"SPECIAL-USE", "no_special_use"),
    (b"CREATE-SPECIAL-USE", "no_special_use"),
    (b"MULTIAPPEND", "no_multiappend"),
)
_LATER = frozenset({b"IDLE", b"UIDPLUS", b"MOVE", b"MULTIAPPEND"})
"""What Tencent shows only in a CAPABILITY after the login."""


def capabilities(session: ImapSession) -> bytes:
    """Return the capability list that holds at this moment."""
    if session.address is None:
        if session.has("nginx_front"):
            return b"IMAP4rev1 UIDPLUS AUTH=PLAIN"
        words = [b"IMAP4rev1", b"SASL-IR"]
        words += [w for w, quirk in _OPTIONAL[:2] if not session.has(quirk)]
        if session.link.tls_options is not None and not session.link.secure:
            words.append(b"STARTTLS")
        if not _login_allowed(session):
            return b" ".join([*words, b"LOGINDISABLED"])
        return b" ".join([*words, b"AUTH=PLAIN", b"AUTH=LOGIN"])
    words = [b"IMAP4rev1", b"SASL-IR", b"CHILDREN", b"UNSELECT", b"XLIST", b"LIST-EXTENDED", b"LIST-STATUS"]
    return b" ".join(words + [word for word, quirk in _OPTIONAL if not session.has(quirk)])


def greeting(session: ImapSession) -> bytes:
    """Return the first line of the session."""
    premises = session.premises
    if session.has("nginx_front"):
        return b"* OK IMAP4 ready"
    if session.has("netease_unsafe_login"):
        return b"* OK Coremail System IMap Server Ready(163com[lab])"
    if session.has("tencent_no_caps_on_login"):
        return (
            b"* OK [CAPABILITY IMAP4 IMAP4rev1 ID AUTH=PLAIN AUTH=LOGIN NAMESPACE] QQMail IMAP4Server ready"
        )
    return b"* OK [CAPABILITY %s] %s ready." % (capabilities(session), premises.name.encode())


async def capability(session: ImapSession, _: Command) -> bytes:
    """CAPABILITY (RFC 3501, 6.1.1)."""
    shown = capabilities(session)
    if session.address is None and session.has("tencent_no_caps_on_login"):
        shown = b"IMAP4 IMAP4rev1 ID AUTH=PLAIN AUTH=LOGIN NAMESPACE"
    session.send(b"* CAPABILITY " + shown)
    return b"CAPABILITY completed."


async def noop(_: ImapSession, command: Command) -> bytes:
    """NOOP and CHECK."""
    return command.verb.encode() + b" completed."


async def logout(session: ImapSession, _: Command) -> bytes:
    """LOGOUT (RFC 3501, 6.1.3)."""
    session.send(b"* BYE Logging out")
    session.closing = True
    return b"Logout completed."


async def identify(session: ImapSession, command: Command) -> bytes:
    """ID (RFC 2971); what the client tells goes into the session's record."""
    if session.has("no_id"):
        raise BadCommand("Unknown command")
    pairs = command.arguments[0] if command.arguments else b"NIL"
    if isinstance(pairs, list):
        told = [text(value).decode("utf-8", "replace") for value in pairs]
        session.link.record.client_id.update(zip(told[::2], told[1::2], strict=False))
    session.id_sent = True
    session.send(b'* ID ("name" "%s" "vendor" "lab")' % session.premises.name.encode())
    return b"ID completed."


async def starttls(session: ImapSession, _: Command) -> bytes:
    """STARTTLS (RFC 3501, 6.2.1)."""
    if session.link.tls_options is None or session.link.secure:
        raise BadCommand("TLS is not offered here")
    session.upgrading = True
    return b"Begin TLS negotiation now."


async def login(session: ImapSession, command: Command) -> bytes:
    """LOGIN (RFC 3501, 6.2.3)."""
    if len(command.arguments) != 2:
        raise BadCommand("LOGIN takes a name and a password")
    if session.has("tencent_literal_login") and command.literals:
        raise BadCommand("LOGIN parameters!")
    return await _judge(session, text(command.arguments[0]), text(command.arguments[1]))


async def authenticate(session: ImapSession, command: Command) -> bytes:
    """AUTHENTICATE PLAIN and LOGIN (RFC 4616), with and without an initial response (RFC 4959)."""
    mechanism = text(command.arguments[0]).upper() if command.arguments else b""
    if mechanism == b"PLAIN":
        if len(command.arguments) > 1:
            answer = _decode(text(command.arguments[1]))
        else:
            answer = await _ask(session, b"")
        parts = answer.split(b"\0")
        if len(parts) != 3:
            raise BadCommand("Invalid PLAIN response")
        return await _judge(session, parts[1], parts[2], authzid=parts[0])
    if mechanism == b"LOGIN":
        name = await _ask(session, b"Username:")
        return await _judge(session, name, await _ask(session, b"Password:"))
    raise No("[CANNOT] Unsupported authentication mechanism.")


async def _ask(session: ImapSession, prompt: bytes) -> bytes:
    session.link.send(b"+ " + base64.b64encode(prompt) + b"\r\n")
    line = await session.link.line()
    if line == b"*":
        raise BadCommand("Authentication aborted by client")
    return _decode(line)


def _decode(octets: bytes) -> bytes:
    try:
        return base64.b64decode(b"" if octets == b"=" else octets, validate=True)
    except binascii.Error as error:
        raise BadCommand("Invalid base64") from error


def _login_allowed(session: ImapSession) -> bool:
    if session.has("m365_logindisabled"):
        return False
    return session.link.secure or session.premises.plaintext_login


async def _judge(session: ImapSession, authcid: bytes, password: bytes, authzid: bytes = b"") -> bytes:
    premises, link = session.premises, session.link
    if session.address is not None:
        raise BadCommand("Already logged in")
    if not _login_allowed(session) and not session.has("m365_logindisabled"):
        raise No("[PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure connections.")
    if session.has("tencent_login_eof"):
        session.closing = True
        return b""
    address: str | None = await link.in_thread(premises.judge, authcid, password, authzid)
    if address is None and session.has("exchange_not_connected"):
        address, session.not_connected = premises.find(authcid), True
    blocked = nobody_enters(premises, "imap", secure=link.secure)
    if address is None or blocked or "imap" not in premises.accounts[address].protocols:
        raise await _refused(session, authcid)
    words = too_many(premises, sum(record.open for record in premises.logins(address, "imap")))
    if words is not None:
        raise No(words)
    session.address = link.record.address = address
    if session.has("tencent_no_caps_on_login"):
        return b"Success login ok"
    if session.has("nginx_front") or session.not_connected:
        return b"LOGIN completed."
    return b"[CAPABILITY %s] Logged in" % capabilities(session)


async def _refused(session: ImapSession, name: bytes) -> No:
    """Return the refusal of this host, when it is time for it."""
    row = refusal(session.premises, "imap", name, secure=session.link.secure)
    if row.after:
        await session.link.pause(row.after)
    if row.before:
        session.send(row.before)
    status, _, words = row.imap.partition(b" ")
    return No(words.decode("latin-1"), status)


VERBS = {
    "CAPABILITY": Verb(capability, needs_login=False),
    "NOOP": Verb(noop, needs_login=False),
    "LOGOUT": Verb(logout, needs_login=False),
    "ID": Verb(identify, needs_login=False),
    "STARTTLS": Verb(starttls, needs_login=False),
    "LOGIN": Verb(login, needs_login=False),
    "AUTHENTICATE": Verb(authenticate, needs_login=False),
    "CHECK": Verb(noop, needs_mailbox=True),
}
