"""What must exist on this machine for the settings to work: folders and the certificates' files.

Kept apart from reading the settings, so that a file can be checked on another machine than the one
it is meant for.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from mailferry.config.faults import Fault
from mailferry.config.settings import BackendName, CertificateSettings, Settings


def faults_on_disk(settings: Settings, file: str) -> list[Fault]:
    """Return what is missing or unreadable; `file` is the configuration file to name."""
    return [Fault(file, key, message) for key, message in _missing(settings)]


def _missing(settings: Settings) -> Iterator[tuple[str, str]]:
    state = settings.service.state_dir
    if not state.is_dir():
        yield "service.state_dir", f"{state} is no folder; make it with: install -d -m 0700 {state}"
    elif not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        yield "service.state_dir", f"{state} cannot be written by this user"
    service = settings.service
    if service.profiles_folder is not None and not service.providers_dir.is_dir():
        yield "service.providers_dir", f"{service.providers_dir} is no folder; make it or leave the key out"
    for table, pair in () if settings.tls is None else settings.tls.each:
        missing = [
            *_unreadable(f"{table}.certificate", pair.certificate),
            *_unreadable(f"{table}.key", pair.key),
        ]
        yield from missing or _unusable(table, pair)
    users = settings.passwords.passwd_file
    if settings.passwords.backend is BackendName.PASSWD_FILE and users is not None:
        yield from _unreadable("passwords.passwd-file.path", users.path)
        if users.path.is_file() and not os.access(users.path.parent, os.W_OK):
            yield (
                "passwords.passwd-file.path",
                f"{users.path.parent} cannot be written; the file is replaced there",
            )


def _unusable(table: str, tls: CertificateSettings) -> Iterator[tuple[str, str]]:
    """A pair that no TLS library takes; a worker that met it would die again and again."""
    try:
        # the empty passphrase keeps OpenSSL from asking the terminal for one
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password="")
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            yield f"{table}.key", f"{tls.key} is not the key of {tls.certificate}"
        else:
            how = "write the chain, our own certificate first, and its key without a passphrase, both as PEM"
            yield f"{table}.certificate", f"{tls.certificate} and {tls.key} cannot be used; {how}"
    except ValueError:
        yield f"{table}.key", f"{tls.key} has a passphrase; write it without one"


def _unreadable(key: str, path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        yield key, f"{path} does not exist"
    elif not os.access(path, os.R_OK):
        yield key, f"{path} cannot be read by this user"
