"""A POST of JSON to an administrator's own web service, signed so that it can tell who sent it.

`Mailferry-Signature: t=SECONDS,v1=HEX` holds HMAC-SHA256 of `SECONDS.` and the body under the shared
secret; `Idempotency-Key` is the same at each try of the same message. Redirects are not followed: they
would lead a signed message to whoever is named there.
"""

from __future__ import annotations

import hmac
import http.client
import socket
import ssl
from dataclasses import dataclass, field

from mailferry import __version__
from mailferry.model.access import Secret
from mailferry.remote.watched_socket import NotSent, Permitted, dial, ended_after, tls_context

POST_SECONDS = 15.0
_LONGEST_WAIT = 86400.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages go. `ca` is a file of authorities instead of the system's."""

    host: str
    port: int
    path: str
    tls: bool
    secret: Secret = field(repr=False)
    ca: str | None = None


def signature(secret: Secret, body: bytes, at: int) -> str:
    """Return the value of `Mailferry-Signature` for a body sent at `at` (seconds since 1970)."""
    signed = hmac.digest(secret.reveal(), b"%d." % at + body, "sha256").hex()
    return f"t={at},v1={signed}"


def post(
    webhook: Webhook,
    body: bytes,
    *,
    key: str,
    at: int,
    permitted: Permitted,
    seconds: float = POST_SECONDS,
) -> None:
    """Send one message, in this thread; returns when the other side said 2xx. Raises NotSent."""
    connection = _Connection(webhook, permitted, seconds)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"mailferry/{__version__}",
        "Idempotency-Key": key,
        "Mailferry-Signature": signature(webhook.secret, body, at),
        "Connection": "close",
    }
    try:
        with ended_after(seconds, lambda: connection.sock):
            connection.request("POST", webhook.path, body, headers)
            answer = connection.getresponse()
            answer.close()
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{webhook.host}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if 300 <= answer.status < 400:
        raise NotSent(f"{webhook.host}: answered {answer.status}; redirects are not followed")
    if not 200 <= answer.status < 300:
        after = _seconds(answer.getheader("Retry-After"))
        raise NotSent(f"{webhook.host}: answered {answer.status}", retry_after=after)


def _seconds(text: str | None) -> float | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return min(float(text), _LONGEST_WAIT)


class _Connection(http.client.HTTPConnection):
    """An HTTP connection that dials what is permitted."""

    sock: socket.socket | ssl.SSLSocket | None

    def __init__(self, webhook: Webhook, permitted: Permitted, seconds: float) -> None:
        super().__init__(webhook.host, webhook.port, timeout=seconds)
        if webhook.port == (443 if webhook.tls else 80):
            self.default_port = webhook.port  # it has no place in the Host header
        self._webhook = webhook
        self._permitted = permitted

    def connect(self) -> None:
        """Dial, and speak TLS where the address says so."""
        plain = dial(
            self._webhook.host,
            self._webhook.port,
            permitted=self._permitted,
            timeout=self.timeout or POST_SECONDS,
        )
        self.sock = plain
        if self._webhook.tls:
            context = tls_context(self._webhook.ca)
            self.sock = context.wrap_socket(plain, server_hostname=self._webhook.host)
