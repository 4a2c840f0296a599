"""An IMAP server of a few fixed replies, in a thread, for commands that run as processes of their own."""

from __future__ import annotations

import socketserver
from collections.abc import Mapping
from typing import ClassVar


class LineHost(socketserver.StreamRequestHandler):
    """Answers OK to everything, behind what `REPLIES` has for the command; a subclass fills both in."""

    GREETING: ClassVar[bytes]
    REPLIES: ClassVar[Mapping[bytes, bytes]]

    def handle(self) -> None:
        """Serve one connection."""
        self.wfile.write(b"* OK " + self.GREETING + b"\r\n")
        for line in self.rfile:
            tag, command, *_ = line.split()
            self.wfile.write(self.REPLIES.get(command.upper(), b"") + tag + b" OK done\r\n")
