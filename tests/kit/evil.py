"""EVIL: ready-made hostile servers, as scripts for REC. The test knows from the name what must not work.

`IMAP` and `POP3` hold what a server says to a client that wants STARTTLS (or to none at all);
`behind_starttls` makes a server that appends octets to its answer, before TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred

from tests.kit.scripted import Expect, Gone, Hangup, Script, Step, Talk, Upgrade, script_of
from tests.kit.tls_files import TlsPeer

GREETING = b"* OK IMAP4rev1 ready\r\n"
CAPABILITIES = b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n"


def flood(octets: bytes, *, repeat: int = 1 << 40) -> Script:
    """Send the same octets for ever, as fast as they are taken; stops when the other end is gone."""

    async def run(talk: Talk) -> None:
        chunk = octets * max(1, 65536 // len(octets))
        sent = 0
        waiting = _Room(talk)
        while sent < repeat and talk.lost is None:
            talk.send(chunk)
            sent += len(chunk) // len(octets)
            await waiting.room()
        talk.transport.unregisterProducer()

    return run


class _Room:
    """Waits for room in the socket, so that a flood is not held in the test's own memory."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._full = self._gone = False
        self._waiter: Deferred[None] | None = None
        talk.transport.registerProducer(self, True)

    async def room(self) -> None:
        if self._full and not self._gone:
            self._waiter = Deferred()
            await self._waiter
        if self._gone:
            raise Gone("flooded until the end")

    def pauseProducing(self) -> None:  # noqa: N802
        self._full = True

    def resumeProducing(self) -> None:  # noqa: N802
        self._full = False
        self._wake()

    def stopProducing(self) -> None:  # noqa: N802
        self._gone = True  # Twisted calls this before connectionLost
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)


def answering(greeting: bytes, answers: Callable[[bytes], bytes | None]) -> Script:
    """Greet, then answer each line by a function; None hangs up."""

    async def run(talk: Talk) -> None:
        talk.send(greeting)
        while True:
            answer = answers(await talk.line())
            if answer is None:
                talk.close()
                return
            talk.send(answer)

    return run


def imap_behind_starttls(appended: bytes, tls: TlsPeer | None) -> Script:
    """Say OK to STARTTLS with `appended` behind it in the same segment; go on in TLS, or not."""

    async def run(talk: Talk) -> None:
        talk.send(GREETING)
        while True:
            tag, _, command = (await talk.line()).partition(b" ")
            if command.upper() == b"CAPABILITY":
                talk.send(CAPABILITIES + tag + b" OK done\r\n")
            elif command.upper() == b"STARTTLS":
                talk.send(tag + b" OK begin TLS\r\n" + appended)
                break
            else:
                talk.send(tag + b" OK whatever\r\n")
        if tls is not None:
            await talk.upgrade(tls)
            await _say_yes(talk)

    return run


def pop3_behind_stls(appended: bytes, tls: TlsPeer | None) -> Script:
    """Say +OK to STLS with `appended` behind it in the same segment; go on in TLS, or not."""

    async def run(talk: Talk) -> None:
        talk.send(b"+OK ready\r\n")
        while (await talk.line()).upper() != b"STLS":
            talk.send(b"+OK\r\nSTLS\r\nUSER\r\nSASL PLAIN\r\n.\r\n")
        talk.send(b"+OK begin TLS\r\n" + appended)
        if tls is not None:
            await talk.upgrade(tls)
            await _say_yes(talk, b"+OK yes\r\n")

    return run


async def _say_yes(talk: Talk, fixed: bytes | None = None) -> None:
    while True:
        tag = (await talk.line()).partition(b" ")[0]
        talk.send(fixed or tag + b" OK yes\r\n")


def _imap_starttls(answer: bytes, capabilities: bytes = CAPABILITIES) -> Script:
    def answers(line: bytes) -> bytes:
        tag, _, command = line.partition(b" ")
        if command.upper() == b"CAPABILITY":
            return capabilities + tag + b" OK done\r\n"
        if command.upper() == b"STARTTLS":
            return answer.replace(b"TAG", tag)
        return tag + b" OK whatever\r\n"

    return answering(GREETING, answers)


def _pop3_stls(answer: bytes) -> Script:
    def answers(line: bytes) -> bytes:
        if line.upper() == b"CAPA":
            return b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n"
        return answer if line.upper() == b"STLS" else b"+OK yes\r\n"

    return answering(b"+OK ready\r\n", answers)


def _steps(*steps: Step) -> Script:
    return script_of(steps)


IMAP: Mapping[str, Script] = {
    "preauth": _steps(b"* PREAUTH welcome\r\n"),
    "preauth with capabilities": _steps(b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\r\n"),
    "bye": _steps(b"* BYE too many connections\r\n", Hangup()),
    "no greeting": _steps(),
    "closes at once": _steps(Hangup()),
    "resets at once": _steps(Hangup(reset=True)),
    "POP3 greeting": _steps(b"+OK ready\r\n"),
    "HTTP": _steps(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", Hangup()),
    "TLS alert in clear": _steps(b"\x15\x03\x01\x00\x02\x02\x46", Hangup()),
    "NUL in the greeting": _steps(b"* OK \0\0\0\r\n"),
    "endless line": flood(b"* OK " + b"x" * 4096),
    "endless untagged lines": flood(b"* OK still here\r\n"),
    "endless literals": flood(b"* 1 FETCH (BODY[] {8}\r\n12345678)\r\n"),
    "huge literal in the greeting": _steps(b"* OK {99999999999}\r\n"),
    "STARTTLS answered NO": _imap_starttls(b"TAG NO not today\r\n"),
    "STARTTLS answered BAD": _imap_starttls(b"TAG BAD what\r\n"),
    "STARTTLS answered with another tag": _imap_starttls(b"zzz9 OK begin\r\n"),
    "STARTTLS answered BYE": _imap_starttls(b"* BYE no\r\n"),
    "STARTTLS answered PREAUTH": _imap_starttls(b"* PREAUTH in\r\nTAG OK begin\r\n"),
    "STARTTLS not offered": _imap_starttls(b"TAG BAD unknown\r\n", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"),
    "guesses tags": _steps(GREETING, b"".join(b"a%03d OK logged in\r\n" % n for n in range(1000))),
}

POP3: Mapping[str, Script] = {
    "no greeting": _steps(),
    "-ERR greeting": _steps(b"-ERR [SYS/TEMP] too busy\r\n", Hangup()),
    "IMAP greeting": _steps(GREETING),
    "closes at once": _steps(Hangup()),
    "endless line": flood(b"+OK " + b"x" * 4096),
    "endless lines": flood(b"+OK yes\r\n"),
    "answers before it is asked": _steps(b"+OK ready\r\n+OK go on\r\n+OK logged in\r\n+OK 0 0\r\n"),
    "STLS answered -ERR": _pop3_stls(b"-ERR no\r\n"),
    "STLS answered nonsense": _pop3_stls(b"begin\r\n"),
}


def imap_server_in_tls(tls: TlsPeer, *steps: Step) -> Script:
    """An orderly STARTTLS, then `steps` inside TLS."""

    async def run(talk: Talk) -> None:
        talk.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
        tag = (await talk.line()).partition(b" ")[0]
        talk.send(tag + b" OK begin TLS\r\n")
        await script_of((Upgrade(tls), *steps))(talk)

    return run


__all__ = [
    "IMAP",
    "POP3",
    "Expect",
    "answering",
    "flood",
    "imap_behind_starttls",
    "imap_server_in_tls",
    "pop3_behind_stls",
]
