"""What the lab's tests share: a host for the length of a block, blocking clients in threads."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from twisted.internet import defer, threads

from mailferry.lab.certificates import CertificateFiles, make_certificates
from mailferry.lab.host import LabHost
from mailferry.lab.premises import LabAccount

USER = "wang@example.test"
PASSWORD = b"old secret"


@contextlib.asynccontextmanager
async def hosted(*quirks: str, **options: Any) -> AsyncIterator[LabHost]:
    """A running host with one account, stopped at the end of the block."""
    from twisted.internet import reactor

    options.setdefault("accounts", {USER: LabAccount(PASSWORD)})
    host = LabHost(reactor, "lab", quirks=quirks, **options)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


def blocking(work: Callable[..., Any], *arguments: Any, **named: Any) -> defer.Deferred[Any]:
    """Run a blocking client in a thread."""
    return threads.deferToThread(work, *arguments, **named)


def imap(host: LabHost, *, login: bool = True) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", host.imap_port, timeout=8)
    if login:
        client.login(USER, PASSWORD.decode())
    return client


def pop3(host: LabHost, *, login: bool = True) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", host.pop3_port, timeout=8)
    if login:
        client.user(USER)
        client.pass_(PASSWORD.decode())
    return client


def certificates(folder: Path) -> tuple[CertificateFiles, ssl.SSLContext]:
    files = make_certificates(folder)
    return files, ssl.create_default_context(cafile=str(files.authority))
