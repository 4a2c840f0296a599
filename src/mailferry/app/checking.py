"""What `mailferry check` looks at, one verdict a line, each with its fix."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509

from mailferry.app.parts import Parts, build_parts
from mailferry.app.worker import CannotStart, WorkerContext
from mailferry.config.on_disk import faults_on_disk
from mailferry.config.settings import BackendName, Settings, TargetLogin
from mailferry.copying.target_probe import PLAIN, Kept, TargetTraits, probe_target
from mailferry.model.access import Server
from mailferry.model.causes import RemoteFailure
from mailferry.net.certificate_names import names_of
from mailferry.observe.log import get_log
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.open import open_session
from mailferry.remote.target_login import NoTargetAccess, target_credentials
from mailferry.store.faults import StoreUnavailable

CERTIFICATE_WARNS_DAYS = 21
CONNECT_SECONDS = 15.0


class Sign(StrEnum):
    """How one line of the check ends."""

    WELL = "ok"
    NOTE = "note"
    FAULT = "fault"
    YOURS = "you"
    """Only people can look at it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at."""

    sign: Sign
    what: str
    found: str
    fix: str = ""
    fix_zh: str = ""
    """The same in Chinese, where it is known."""
    what_zh: str = ""
    found_zh: str = ""


async def check(
    settings: Settings, config_file: str, reactor: Any, *, account: str | None = None
) -> AsyncIterator[Line]:
    """Look at everything that the service needs; `account` is logged in to at the target as its master."""
    yield Line(Sign.WELL, "configuration", config_file)
    faults = faults_on_disk(settings, config_file)
    for fault in faults:
        yield Line(Sign.FAULT, fault.key, fault.message)
    for line in _certificates(settings):
        yield line
    if not settings.listen:
        yield Line(
            Sign.FAULT, "listen", "no listener", "add [[listen]] tables for imap, pop3, web and metrics"
        )
    if any(fault.key == "service.state_dir" for fault in faults):
        return
    context = WorkerContext(settings, reactor, get_log("check"), 0, lambda _why: None)
    try:
        parts = build_parts(context)
    except CannotStart as error:
        for found in str(error).splitlines():
            yield Line(Sign.FAULT, "service", found)
        return
    try:
        yield _database(parts)
        async for line in _target(parts, account):
            yield line
        yield await _backend(parts)
        for line in _without_master(settings):
            yield line
    finally:
        await parts.close()


def _certificates(settings: Settings) -> Iterator[Line]:
    if settings.tls is None:
        yield Line(Sign.NOTE, "certificate", "none: passwords reach us in clear", "add the table [tls]")
        return
    for table, pair in settings.tls.each:
        what = "certificate" if table == "tls" else table
        yield _certificate(what, pair.certificate, several=bool(settings.tls.also))


def _certificate(what: str, path: Path, *, several: bool) -> Line:
    """Say how long one certificate holds, and where there are several which names it is for."""
    try:
        pem = path.read_bytes()
        first, names = x509.load_pem_x509_certificates(pem)[0], names_of(pem)
    except (OSError, ValueError, IndexError) as error:
        fix = "write the chain as PEM, our own certificate first"
        why = error.strerror if isinstance(error, OSError) else "holds no PEM certificate"
        return Line(Sign.FAULT, what, f"{path}: {why}", fix)
    shown = f"{path} for {', '.join(names) or 'no name'}" if several else str(path)
    left = (first.not_valid_after_utc - dt.datetime.now(dt.UTC)).days
    if left < 0:
        return Line(Sign.FAULT, what, f"{shown}: expired", "renew it; it is read again by itself")
    if left < CERTIFICATE_WARNS_DAYS:
        return Line(Sign.NOTE, what, f"{shown}: ends in {left} days", "renew it in time")
    return Line(Sign.WELL, what, f"{shown}: valid for {left} days")


def _database(parts: Parts) -> Line:
    file = parts.database.place.sqlite_path
    if file is not None and not file.exists():
        return Line(
            Sign.NOTE, "database", f"{file} is not made yet", "serve makes it, or: mailferry db upgrade"
        )
    try:
        status = parts.database.status()
    except StoreUnavailable as error:
        return Line(Sign.FAULT, "database", str(error))
    if not status.versions.current:
        return Line(
            Sign.NOTE, "database", f"{status.place} is older", "serve upgrades it, or: mailferry db upgrade"
        )
    return Line(Sign.WELL, "database", f"{status.kind} at {status.place}, version {status.versions.present}")


async def _target(parts: Parts, account: str | None) -> AsyncIterator[Line]:
    for name, server in (("target.imap", parts.target.imap), ("target.pop3", parts.target.pop3)):
        if server is None:
            yield Line(Sign.NOTE, name, "not set: POP3 users cannot be served after their move", "set it")
        else:
            yield await _reachable(parts, name, server)
    if account is None:
        note = "log in as the master to be sure: mailferry check --account ADDRESS"
        yield Line(Sign.NOTE, "target.login", parts.target_access.login.value, note)
        return
    for line in await _as_master(parts, account):
        yield line


async def _reachable(parts: Parts, name: str, server: Server) -> Line:
    try:
        carrier = await parts.connector.connect(server, timeout=CONNECT_SECONDS)
    except RemoteFailure as failure:
        fix = "check host, port and firewall; a private address needs its network in allow_networks"
        return Line(Sign.FAULT, name, failure.text, fix)
    carrier.abort()
    return Line(Sign.WELL, name, f"{server} answers")


async def _as_master(parts: Parts, account: str) -> list[Line]:
    """Open the account's mailbox as the master does, and find out what the target keeps of messages."""
    try:
        credentials = target_credentials(parts.target_access, account)
    except NoTargetAccess as error:
        return [Line(Sign.NOTE, "target.login", str(error))]
    generic = parts.profiles["generic"]

    async def opening() -> ImapClient:
        session = await open_session(
            parts.connector, parts.target.imap, credentials, generic, reactor=parts.reactor, personal=False
        )
        return ImapClient(session, generic, parts.reactor)

    try:
        client = await opening()
    except RemoteFailure as failure:
        fix = "check master_user and master_password at the target"
        return [Line(Sign.FAULT, "target.login", f"{failure.cause.value}: {failure.text}", fix)]
    await client.logout()
    try:
        traits = await probe_target(opening, secrets.token_hex(6).encode())
    except RemoteFailure as failure:
        fix = "the master must be able to create, fill and delete a mailbox of the account, as the copy does"
        return [
            Line(Sign.WELL, "target.login", "works"),
            Line(Sign.FAULT, "target.probe", f"{failure.cause.value}: {failure.text}", fix),
        ]
    return [_login_works(traits), *about_target(traits)]


def _login_works(traits: TargetTraits) -> Line:
    if "UIDPLUS" not in traits.extensions:
        return Line(Sign.NOTE, "target.login", "works, without UIDPLUS: copies are found again by digests")
    limit = "" if traits.append_limit is None else f"; it takes messages of {traits.append_limit:,} bytes"
    return Line(Sign.WELL, "target.login", f"works; the target offers {', '.join(traits.extensions)}{limit}")


def about_target(traits: TargetTraits) -> Iterator[Line]:
    """Say what a probe found the target to do with messages."""
    lost, other = traits.kinds(Kept.LOST), traits.kinds(Kept.OTHER)
    alike, refused = traits.kinds(Kept.ALIKE), traits.kinds(Kept.REFUSED)
    if lost or PLAIN in refused:
        words = traits.refusals.get(PLAIN, "")
        found = f"does not keep: {', '.join(lost or [PLAIN])} {words}".rstrip()
        yield Line(Sign.FAULT, "target.octets", found, "no mail can be copied to it like this")
    elif not (other or alike or refused):
        yield Line(
            Sign.WELL, "target.octets", f"keeps every byte of {len(traits.kept)} odd kinds of messages"
        )
    else:
        changes = [f"alters {', '.join([*other, *alike])}"] if other or alike else []
        refuses = [f"refuses {', '.join(refused)}"] if refused else []
        fix = "altered copies are remarked at the account, refused messages are listed by name; the rest is whole"
        yield Line(Sign.NOTE, "target.octets", "; ".join([*changes, *refuses]), fix)
    if not traits.keeps_twins:
        found = "two identical messages become one"
        yield Line(Sign.FAULT, "target.octets", found, "switch off what removes duplicates at the target")
    if traits.exactly_once:
        yield Line(
            Sign.WELL, "target.exactly_once", "copies are recognised again after a crash: none is doubled"
        )
    elif traits.keeps_twins:
        found = "after a crash some copies may not be recognised: none is lost, one may be there twice"
        yield Line(Sign.NOTE, "target.exactly_once", found, "doubled messages are counted at the account")
    if "UIDPLUS" in traits.extensions and not traits.tells_uids:
        found = "offers UIDPLUS and tells wrong places (APPENDUID)"
        yield Line(
            Sign.FAULT, "target.exactly_once", found, "hide UIDPLUS at the target (Dovecot: imap_capability)"
        )
    yield _kept_or_not(traits)
    if traits.left is not None:
        found = f"the mailbox {traits.left.decode()} of this check could not be removed"
        yield Line(Sign.NOTE, "target.probe", found, "delete it by hand")


def _kept_or_not(traits: TargetTraits) -> Line:
    kept = {"flags": traits.keeps_flags, "keywords": traits.keeps_keywords, "dates": traits.keeps_dates}
    lost = [what for what, well in kept.items() if not well]
    if not lost:
        return Line(Sign.WELL, "target.flags", "keeps flags, keywords and dates of arrival")
    found = f"does not keep {' and '.join(lost)}"
    return Line(
        Sign.NOTE, "target.flags", found, "the mail itself is copied; what is lost is told at the account"
    )


async def _backend(parts: Parts) -> Line:
    passwords = parts.settings.passwords
    if passwords.backend is BackendName.NONE:
        return Line(
            Sign.NOTE,
            "passwords.backend",
            "none: nobody sets passwords at the target",
            "without the old password at the target no account can be moved; set a backend",
        )
    probe = f"nobody-{secrets.token_hex(4)}@mailferry.invalid"
    try:
        found = await parts.backend.current(probe)
    except RemoteFailure as failure:
        return Line(Sign.FAULT, "passwords.backend", failure.text, "see docs/password-backends.md")
    if found is not None:
        fix = "the select statement must name the account by :address"
        return Line(Sign.FAULT, "passwords.backend", "it has a password for an account nobody has", fix)
    return Line(
        Sign.WELL, "passwords.backend", f"{passwords.backend.value} answers; scheme {passwords.scheme}"
    )


def _without_master(settings: Settings) -> list[Line]:
    if settings.target.login is not TargetLogin.USER:
        return []
    lost = (
        "the copy opens the target with each user's own password: it waits until that password works "
        "there, and stops when the user changes it at the target"
    )
    return [Line(Sign.NOTE, "target.login", lost, "set login = dovecot-master or master")]
