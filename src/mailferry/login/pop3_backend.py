"""The login to a POP3 server, up to a STAT that shows an open maildrop (RFC 1939, 2449, 2595, 5034).

POP3 has no tags, so an answer counts only when it comes after its command: octets that lie in the
buffer before a command is sent break the protocol.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from mailferry.login.actions import Failed, Proved, Stage
from mailferry.login.imap_login_forms import NoForm, check_credentials
from mailferry.login.scripted_backend import Broken, Script, ScriptedBackend, Wait
from mailferry.model.access import Credentials, TlsMode
from mailferry.model.profile import Profile
from mailferry.wire.pop3_replies import (
    BadReply,
    Pop3Reply,
    is_continuation,
    parse_capabilities,
    parse_stat,
    parse_status,
)
from mailferry.wire.proxy_header import Endpoint
from mailferry.wire.sasl import encode_plain

MAX_CAPA_LINES = 100


class Pop3Backend(ScriptedBackend[bytes]):
    """One conversation with a POP3 server; answers are lines.

    SASL PLAIN is used where it is needed and offered: to act as another user, for 8-bit passwords,
    and where the profile knows no other form. `tag_source`, `client_id` and `own_word` have no place in POP3,
    whose +OK shows nothing of a session; they are taken so that both backends are built alike. `forwarded` is
    the client that we speak for, said to a server whose greeting offers XCLIENT (Dovecot, to those it trusts).
    """

    def __init__(
        self,
        credentials: Credentials,
        profile: Profile,
        *,
        tls_mode: TlsMode,
        tag_source: Iterator[bytes],
        client_id: Sequence[tuple[str, str]] = (),
        forwarded: Endpoint | None = None,
        own_word: bool = False,
    ) -> None:
        super().__init__()
        del tag_source, client_id, own_word
        self._forwarded = forwarded
        self._credentials = credentials
        self._profile = profile
        self._tls_mode = tls_mode

    def _script(self) -> Script[bytes]:
        self._stage = Stage.CREDENTIALS
        try:
            check_credentials(self._credentials)
        except NoForm as fault:
            return self._failed(judged=False, code=fault.code, text=str(fault).encode())
        self._stage = Stage.GREETING
        greeting = yield from self._reply()
        if not greeting.ok:
            return self._refused(greeting, judged=False)
        if self._tls_mode is TlsMode.STARTTLS:
            self._stage = Stage.STARTTLS
            done = yield from self._ask(b"STLS\r\n")
            if not done.ok:
                return self._refused(done, judged=False)
            yield from self._become_tls()
        if self._forwarded is not None and greeting.code == "XCLIENT":
            self._stage = Stage.LOGIN
            # refused or not, the login goes on: the server then knows our address instead of the client's
            yield from self._ask(
                b"XCLIENT ADDR=%s PORT=%d\r\n" % (self._forwarded.host.encode(), self._forwarded.port)
            )
        failed = yield from self._login()
        if failed:
            return failed
        self._stage = Stage.PROOF
        done = yield from self._ask(b"STAT\r\n")
        if not done.ok:
            return self._refused(done, judged=True)
        try:
            parse_stat(done.text)
        except BadReply as fault:
            raise Broken(str(fault)) from None
        return Proved((), "STAT", self._buffer.take_rest())

    def _login(self) -> Generator[Wait, bytes | None, Failed | None]:
        must_plain = bool(self._credentials.authzid) or "LOGIN" not in self._profile.auth_order
        if must_plain or not self._credentials.password.reveal().isascii():
            self._stage = Stage.CAPABILITY
            offered = yield from self._offers_plain()
            self._stage = Stage.LOGIN
            if offered:
                return (yield from self._sasl_plain())
            if must_plain:
                text = b"acting as another user needs SASL PLAIN, which the server does not offer"
                return self._failed(judged=False, code=None, text=text)
        self._stage = Stage.LOGIN
        done = yield from self._ask(b"USER %s\r\n" % self._credentials.authcid.encode("utf-8"))
        if not done.ok:
            # The password has not been sent, so nobody has judged it.
            return self._refused(done, judged=False)
        done = yield from self._ask(b"PASS %s\r\n" % self._credentials.password.reveal())
        return None if done.ok else self._refused(done, judged=True)

    def _offers_plain(self) -> Generator[Wait, bytes | None, bool]:
        done = yield from self._ask(b"CAPA\r\n")
        if not done.ok:
            return False
        lines: list[bytes] = []
        while True:
            line = yield Wait.ANSWER
            assert line is not None
            if line == b".":
                return "PLAIN" in parse_capabilities(lines).get("SASL", ())
            lines.append(line)
            if len(lines) > MAX_CAPA_LINES:
                raise Broken("endless capabilities")

    def _sasl_plain(self) -> Generator[Wait, bytes | None, Failed | None]:
        self._command(b"AUTH PLAIN\r\n")
        line = yield Wait.ANSWER
        assert line is not None
        if not is_continuation(line):
            refusal = self._parsed(line)
            if refusal.ok:
                raise Broken("a login accepted before the password was sent")
            return self._refused(refusal, judged=False)
        response = encode_plain(
            self._credentials.authzid.encode("utf-8"),
            self._credentials.authcid.encode("utf-8"),
            self._credentials.password,
        )
        done = yield from self._ask(response + b"\r\n")
        return None if done.ok else self._refused(done, judged=True)

    def _ask(self, command: bytes) -> Generator[Wait, bytes | None, Pop3Reply]:
        self._command(command)
        return (yield from self._reply())

    def _command(self, command: bytes) -> None:
        if len(self._buffer):
            raise Broken("an answer came before its command")
        self._send(command)

    def _reply(self) -> Generator[Wait, bytes | None, Pop3Reply]:
        line = yield Wait.ANSWER
        assert line is not None
        return self._parsed(line)

    @staticmethod
    def _parsed(line: bytes) -> Pop3Reply:
        try:
            return parse_status(line)
        except BadReply as fault:
            raise Broken(str(fault)) from None

    def _refused(self, reply: Pop3Reply, *, judged: bool) -> Failed:
        text = reply.text if reply.code is None else b"[%s] %s" % (reply.code.encode(), reply.text)
        return self._failed(judged=judged, code=reply.code, text=text)

    def _next_answer(self) -> bytes | None:
        return self._buffer.next_line()
