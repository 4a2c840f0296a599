"""The login to an IMAP server, up to a session that is proved usable (RFC 3501, 2595, 2971, 4959).

A login's OK is no proof everywhere: some Exchange builds accept any password and answer each later
command `BAD User is authenticated but not connected.` So a command that needs the mailbox follows:
NAMESPACE, or LIST where NAMESPACE is not offered or not understood (189.cn offers it in vain).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from typing import NoReturn

from mailferry.login.actions import Failed, Proved, Stage
from mailferry.login.imap_login_forms import (
    LoginForm,
    NoForm,
    check_credentials,
    login_form,
    mechanisms,
    offered_by,
)
from mailferry.login.scripted_backend import BROKEN, Broken, Ended, Script, ScriptedBackend, Wait
from mailferry.model.access import Credentials, TlsMode
from mailferry.model.profile import Profile, SendId
from mailferry.wire.imap_commands import quoted
from mailferry.wire.imap_framing import FramingError, announced_literal, is_free_text
from mailferry.wire.imap_responses import (
    Code,
    Continuation,
    Response,
    Tagged,
    Untagged,
    capabilities,
    parse_response,
)
from mailferry.wire.imap_values import BadResponse
from mailferry.wire.proxy_header import Endpoint

MAX_LITERAL_OCTETS = 8192
_TELLING = re.compile(rb"\* +(?:\d+ +)?(?:OK|NO|BAD|BYE|PREAUTH|CAPABILITY)(?![^ (])", re.IGNORECASE)
"""The untagged responses that a login reads."""

_NOTHING = Untagged(b"?")
"""An untagged response that a login does not depend on."""

IdPairs = Sequence[tuple[str, str]]


@lru_cache(maxsize=64)  # we say the same of ourselves at each login
def _id(pairs: tuple[tuple[str, str], ...]) -> bytes:
    words = [quoted(word.encode("utf-8")) for pair in pairs for word in pair]
    return b"ID (" + b" ".join(words) + b")"


def _in_id(client: Endpoint) -> tuple[tuple[str, str], ...]:
    """Return what Dovecot takes for the client's address from who is in its login_trusted_networks."""
    return (("x-originating-ip", client.host), ("x-originating-port", str(client.port)))


class _SaidBye(Broken):
    """The server ends the session by itself; no command goes to it any more."""

    def __init__(self, code: Code | None, text: bytes) -> None:
        super().__init__("BYE")
        self.code = code
        self.text = text


class ImapBackend(ScriptedBackend[Response]):
    """One conversation with an IMAP server.

    `tags` gives unguessable tags that begin with a letter. `client_id` is what ID says of us (empty:
    no ID is sent); `forwarded` is the client that we speak for, said to a server that trusts us before
    the login. `own_word` takes the login's OK for proof where it shows the capabilities of the session (RFC 3501
    7.1): a session says that which is there, as Dovecot's and Cyrus' do, and Exchange's for anybody does not.
    """

    def __init__(
        self,
        credentials: Credentials,
        profile: Profile,
        *,
        tls_mode: TlsMode,
        tag_source: Iterator[bytes],
        client_id: IdPairs = (),
        forwarded: Endpoint | None = None,
        own_word: bool = False,
    ) -> None:
        super().__init__()
        self._credentials = credentials
        self._profile = profile
        self._tls_mode = tls_mode
        self._tags = tag_source
        self._client_id = tuple(client_id)
        self._forwarded = () if forwarded is None else _in_id(forwarded)
        self._own_word = own_word
        self._capabilities: tuple[bytes, ...] | None = None
        self._parts: list[bytes] = []
        self._notes: list[bytes] = []
        self._refusal: Failed | None = None
        self._unproved: Failed | None = None

    def _ended_by(self, fault: Broken) -> Ended:
        if isinstance(fault, _SaidBye):
            why = self._refusal or self._unproved
            return why or self._failed(judged=False, code=_name(fault.code), text=self._words(fault))
        return super()._ended_by(fault)

    def _script(self) -> Script[Response]:
        self._stage = Stage.CREDENTIALS
        try:
            check_credentials(self._credentials)
        except NoForm as fault:
            return self._failed(judged=False, code=fault.code, text=str(fault).encode())
        self._stage = Stage.GREETING
        greeting = yield Wait.ANSWER
        if not isinstance(greeting, Untagged) or greeting.kind != b"OK":
            self._bad_greeting(greeting)
        self._note_code(greeting.code)
        if self._tls_mode is TlsMode.STARTTLS:
            refused = yield from self._upgrade()
            if refused:
                return refused
        if self._capabilities is None:
            self._stage = Stage.CAPABILITY
            yield from self._run(b"CAPABILITY")
        if self._forwarded or (self._client_id and self._profile.send_id in {SendId.BEFORE, SendId.BOTH}):
            self._stage = Stage.LOGIN
            yield from self._run(_id(self._client_id + self._forwarded))
        failed = yield from self._login()
        if failed:
            return failed
        return (yield from self._proof())

    @staticmethod
    def _bad_greeting(greeting: Response | None) -> NoReturn:
        if isinstance(greeting, Untagged):
            if greeting.kind == b"BYE":
                raise _SaidBye(greeting.code, greeting.text or b"BYE")
            if greeting.kind == b"PREAUTH":
                raise Broken("PREAUTH proves no password")
        raise Broken("not a greeting")

    def _upgrade(self) -> Generator[Wait, Response | None, Failed | None]:
        self._stage = Stage.STARTTLS
        done = yield from self._run(b"STARTTLS")
        if done.status != b"OK":
            return self._refused(done, judged=False)
        yield from self._become_tls()
        # Nothing that was said in plaintext counts (RFC 3501 6.2.1).
        self._capabilities = None
        self._notes.clear()
        return None

    def _login(self) -> Generator[Wait, Response | None, Failed | None]:
        """Try the forms in turn; a form that the server does not understand gives way to the next."""
        self._stage = Stage.LOGIN
        known = self._capabilities or ()
        offered = offered_by(known)
        try:
            tried = mechanisms(
                self._credentials, self._profile, offered, secure=self._tls_mode is not TlsMode.NONE
            )
        except NoForm as fault:
            self._stage = Stage.CAPABILITY
            text = str(fault).encode() + b": CAPABILITY " + b" ".join(known)
            return self._failed(judged=False, code=fault.code, text=text)
        self._capabilities = None
        failure: Failed | None = None
        for mechanism in tried:
            form = login_form(mechanism, self._credentials, self._profile, offered)
            self._notes.clear()
            done, complete = yield from self._send_form(form, offered)
            if done.status == b"OK":
                if not complete:
                    raise Broken("a login accepted before the password was sent")
                self._note_code(done.code)
                return None
            judged = complete and done.status == b"NO"
            failure = failure or self._refused(done, judged=judged)
            if judged:
                return self._refused(done, judged=True)
        return failure

    def _send_form(
        self, form: LoginForm, offered: frozenset[bytes]
    ) -> Generator[Wait, Response | None, tuple[Tagged, bool]]:
        """Send one form; returns the server's answer and whether the whole form was sent."""
        tag = next(self._tags)
        left = form.segments(tag, offered)
        self._send(left.pop(0))
        while True:
            answer = yield Wait.ANSWER
            if isinstance(answer, Continuation) and left:
                self._send(left.pop(0))
            elif isinstance(answer, Tagged) and answer.tag == tag:
                return answer, not left
            else:
                self._note(answer)

    def _proof(self) -> Script[Response]:
        self._stage = Stage.PROOF
        if self._own_word and self._capabilities is not None:
            return Proved(self._capabilities, "LOGIN", self._buffer.take_rest())
        identify = self._after_login_id()
        if self._capabilities is None:
            yield from self._run_all([b"CAPABILITY", *identify])
            identify = []
        offered = self._capabilities or ()
        commands = [b'LIST "" ""']
        if b"NAMESPACE" in offered_by(offered):
            commands.insert(0, b"NAMESPACE")
        for command in commands:
            done = yield from self._run_all([*identify, command])
            identify = []
            if done.status == b"OK":
                name = command.split(b" ")[0].decode("ascii")
                return Proved(offered, name, self._buffer.take_rest())
            self._refusal = self._refusal or self._refused(done, judged=True)
        assert self._refusal is not None
        return self._refusal

    def _after_login_id(self) -> list[bytes]:
        wanted = self._profile.send_id
        if not self._client_id or wanted in {SendId.NEVER, SendId.BEFORE}:
            return []
        return [_id(self._client_id)]

    def _run(self, command: bytes) -> Generator[Wait, Response | None, Tagged]:
        return (yield from self._run_all([command]))

    def _run_all(self, commands: Sequence[bytes]) -> Generator[Wait, Response | None, Tagged]:
        """Send commands in one go; returns the completion of the last."""
        pending: set[bytes] = set()
        lines = tag = b""
        for command in commands:
            tag = next(self._tags)
            pending.add(tag)
            lines += b"%s %s\r\n" % (tag, command)
        self._send(lines)
        last: Tagged | None = None
        while pending:
            answer = yield Wait.ANSWER
            if isinstance(answer, Tagged) and answer.tag in pending:
                pending.discard(answer.tag)
                self._note_code(answer.code)
                if answer.status != b"OK" and self._stage is Stage.PROOF:
                    # Exchange accepts a wrong password and says so to whatever command comes next
                    self._unproved = self._refused(answer, judged=True)
                if answer.tag == tag:
                    last = answer
                continue
            self._note(answer)
        assert last is not None
        return last

    def _note(self, answer: Response | None) -> None:
        """Keep what an untagged response tells; raises `Broken` for answers to nobody's command."""
        if not isinstance(answer, Untagged) or answer.kind == b"PREAUTH":
            raise Broken("an answer that belongs to no command of ours")
        if answer.kind == b"CAPABILITY":
            self._capabilities = capabilities(answer)
        elif answer.kind == b"BYE":
            raise _SaidBye(answer.code, answer.text)
        elif answer.kind in {b"OK", b"NO", b"BAD"}:
            self._note_code(answer.code)
            if (answer.kind != b"OK" or (answer.code and answer.code.name == "ALERT")) and len(
                self._notes
            ) < 4:
                # Gmail puts the reason (`* NO [WEBALERT ...]`) in front of its tagged NO.
                self._notes.append(_with_code(answer.code, answer.text))

    def _note_code(self, code: Code | None) -> None:
        if code and code.name == "CAPABILITY":
            self._capabilities = code.words()

    def _refused(self, done: Tagged, *, judged: bool) -> Failed:
        code = _name(done.code)
        if code is None and not judged and done.status == b"BAD":
            code = BROKEN  # the command was not understood, whatever its text says
        return self._failed(judged=judged, code=code, text=self._words(done))

    def _words(self, said: Tagged | _SaidBye) -> bytes:
        return b" / ".join([*self._notes, _with_code(said.code, said.text)])

    def _at_close(self) -> Failed:
        return self._refusal or super()._at_close()

    def _next_answer(self) -> Response | None:
        while True:
            if len(self._parts) % 2 == 0:
                line = self._buffer.next_line()
                if line is None:
                    return None
                self._parts.append(line)
                if len(self._parts) > 1 and sum(map(len, self._parts)) > 2 * MAX_LITERAL_OCTETS:
                    raise Broken("an answer of too many octets")
            last = self._parts[-1]
            octets = self._literal_after(last) if last.endswith(b"}") else None
            if octets is None:
                answer = self._parsed()
                if answer is _NOTHING and self._stage is not Stage.GREETING:
                    continue
                return answer
            if len(self._buffer) < octets:
                return None
            self._parts.append(self._buffer.take(octets))

    def _literal_after(self, line: bytes) -> int | None:
        if len(self._parts) == 1 and is_free_text(line):
            return None
        try:
            announced = announced_literal(line)
        except FramingError as fault:
            raise Broken(str(fault)) from None
        if announced is None:
            return None
        if announced[0] > MAX_LITERAL_OCTETS:
            raise Broken("a literal of too many octets")
        return announced[0]

    def _parsed(self) -> Response:
        parts, self._parts = self._parts, []
        if parts[0].startswith(b"* ") and not _TELLING.match(parts[0]):
            return _NOTHING
        try:
            return parse_response(parts)
        except BadResponse:
            if parts[0].startswith(b"* "):
                return _NOTHING
            raise Broken("an answer that is not IMAP") from None


def identifies(profile: Profile) -> bool:
    """Whether a server of this kind is told who we are (RFC 2971)."""
    return profile.send_id is not SendId.NEVER


def _name(code: Code | None) -> str | None:
    return code.name if code else None


def _with_code(code: Code | None, text: bytes) -> bytes:
    """Put the code back in front of the text, where the patterns of known refusals look for it."""
    if code is None:
        return text
    words = f"[{code.name}".encode() + (b" " + code.arguments if code.arguments else b"")
    return words + b"] " + text
