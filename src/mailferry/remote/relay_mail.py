"""Mail handed to the site's own relay (RFC 5321), for what administrators are told."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from mailferry.model.access import Secret, TlsMode
from mailferry.remote.watched_socket import NotSent, Permitted, dial, ended_after, tls_context

MAIL_SECONDS = 60.0

_GREETING = 220


@dataclass(frozen=True, slots=True)
class MailRelay:
    """The relay and its terms. `user` empty: no sign-in."""

    host: str
    port: int
    tls: TlsMode
    ca: str | None = None
    user: str = ""
    password: Secret | None = None


def send(
    relay: MailRelay,
    sender: str,
    recipients: Sequence[str],
    octets: bytes,
    *,
    permitted: Permitted,
    seconds: float = MAIL_SECONDS,
) -> None:
    """Hand over one message, in this thread; returns when the relay took it for one recipient at least. Raises NotSent."""
    session = _Session(relay, permitted, seconds)
    try:
        with ended_after(seconds, lambda: session.sock):
            code, greeting = session.connect(relay.host, relay.port)
            if code != _GREETING:
                raise smtplib.SMTPConnectError(code, greeting)
            if relay.tls is TlsMode.STARTTLS:
                session.starttls(context=tls_context(relay.ca))
            if relay.user and relay.password is not None:
                session.login(relay.user, relay.password.reveal().decode())
            session.sendmail(sender, list(recipients), octets)
            _leave(session)
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
        raise NotSent(f"{relay.host}: {error.smtp_code} {said}") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent(f"{relay.host}: refuses all {len(error.recipients)} recipients") from error
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        raise NotSent(f"{relay.host}: {type(error).__name__}: {error}") from error
    finally:
        session.close()


def _leave(session: smtplib.SMTP) -> None:
    try:
        session.quit()
    except (OSError, smtplib.SMTPException):
        return  # the message was taken


class _Session(smtplib.SMTP):
    """An SMTP session that dials what is permitted."""

    sock: socket.socket | None = None

    def __init__(self, relay: MailRelay, permitted: Permitted, seconds: float) -> None:
        super().__init__(local_hostname=socket.gethostname() or None, timeout=seconds)
        self._host = relay.host  # the name that the certificate is compared with
        self._relay = relay
        self._permitted = permitted

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = dial(host, port, permitted=self._permitted, timeout=timeout)
        if self._relay.tls is TlsMode.IMPLICIT:
            return tls_context(self._relay.ca).wrap_socket(plain, server_hostname=host)
        return plain
