"""curl as a mail client: one command of IMAP or POP3, with or without TLS."""

from __future__ import annotations

from pathlib import Path

from tests.kit import debian
from tests.kit.run_process import Command


def curl(
    url: str,
    user: str,
    password: str | bytes,
    *,
    request: str | None = None,
    ca: Path | None = None,
    starttls: bool = False,
    options: tuple[str, ...] = (),
) -> Command:
    """Return a curl that logs in at `url` (`imap://127.0.0.1:1143/INBOX`) and sends `request`.

    Without a request it lists (`pop3://host/`, `imap://host/`) or fetches (`pop3://host/1`). The password
    goes through standard input, so that it may hold any octet and stands in no process list.
    """
    found = debian.find("curl")
    octets = password.encode() if isinstance(password, str) else password
    secret = user.encode() + b":" + octets
    config = b'user = "' + secret.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"\n'
    argv = [str(found.program), "-sS", "--max-time", "30", "--noproxy", "*", "-K", "-", *options]
    if starttls:
        argv.append("--ssl-reqd")
    if ca is not None:
        argv += ["--cacert", str(ca)]
    if request is not None:
        argv += ["-X", request]
    return Command((*argv, url), found.env, config)
