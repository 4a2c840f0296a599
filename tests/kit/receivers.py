"""Who administrators are told by, on loopback: a web service and a mail relay that keep what they get."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.kit.tls_files import Issued


@dataclass
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebReceiver:
    """A web service; answers with `statuses` one after the other, the last for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    extra: dict[str, str] = field(default_factory=dict)
    posted: list[Posted] = field(default_factory=list)
    port: int = 0

    def answer(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@dataclass
class MailReceiver:
    """A relay; refuses recipients and data as told."""

    refuse: bytes = b""
    """The answer to RCPT when it is not empty."""
    greeting: bytes = b"220 relay"
    starttls: ssl.SSLContext | None = None
    mails: list[tuple[bytes, list[bytes], bytes]] = field(default_factory=list)
    sign_ins: list[bytes] = field(default_factory=list)
    in_clear: list[bytes] = field(default_factory=list)
    """Commands that came before TLS."""
    port: int = 0


@contextmanager
def web_receiver(issued: Issued | None = None, **options: Any) -> Iterator[WebReceiver]:
    """Serve HTTP on a free port, HTTPS with a certificate."""
    receiver = WebReceiver(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.posted.append(Posted(self.path, dict(self.headers), body))
            self.send_response(receiver.answer())
            for name, value in receiver.extra.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if issued is not None:
        server.socket = _server_context(issued).wrap_socket(server.socket, server_side=True)
    with _serving(server) as receiver.port:
        yield receiver


@contextmanager
def mail_receiver(issued: Issued | None = None, **options: Any) -> Iterator[MailReceiver]:
    """Serve SMTP on a free port, with STARTTLS where there is a certificate."""
    receiver = MailReceiver(starttls=_server_context(issued) if issued else None, **options)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            tls = False
            sender, recipients = b"", []
            self._say(receiver.greeting)
            while line := self.rfile.readline().strip():
                verb = line[:4].upper()
                if not tls:
                    receiver.in_clear.append(verb)
                if verb == b"EHLO":
                    offers = [b"250-relay", b"250-AUTH PLAIN"]
                    self._say(*offers, b"250 STARTTLS" if receiver.starttls and not tls else b"250 8BITMIME")
                elif verb == b"STAR" and receiver.starttls:
                    self._say(b"220 go")
                    self.request = receiver.starttls.wrap_socket(self.request, server_side=True)
                    self.setup()
                    tls = True
                elif verb == b"AUTH":
                    receiver.sign_ins.append(line)
                    self._say(b"235 well")
                elif verb == b"MAIL":
                    sender = line
                    self._say(b"250 well")
                elif verb == b"RCPT":
                    if receiver.refuse:
                        self._say(receiver.refuse)
                    else:
                        recipients.append(line)
                        self._say(b"250 well")
                elif verb == b"DATA":
                    self._say(b"354 go")
                    octets = b"".join(iter(self.rfile.readline, b".\r\n"))
                    receiver.mails.append((sender, recipients, octets))
                    self._say(b"250 taken")
                else:
                    self._say(b"221 bye" if verb == b"QUIT" else b"250 well")
                    if verb == b"QUIT":
                        return

        def finish(self) -> None:
            super().finish()
            self.request.close()  # the one inside TLS is not the server's own

        def _say(self, *lines: bytes) -> None:
            self.wfile.write(b"".join(line + b"\r\n" for line in lines))

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as receiver.port:
        yield receiver


def _server_context(issued: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up on purpose
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
