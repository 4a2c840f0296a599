"""The POP3 face of a lab host (RFC 1939, 2449, 2595, 5034): its maildrop is the INBOX of the same account."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from mailferry.lab.connection import LabConnection
from mailferry.lab.listing_quirks import young
from mailferry.lab.mailstore import LabMessage
from mailferry.lab.refusals import nobody_enters, refusal


class Err(Exception):
    """The command is answered -ERR with this text."""


class Pop3Connection(LabConnection):
    """One POP3 connection; a DELE counts only after QUIT."""

    protocol_name = "pop3"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.user: bytes | None = None
        self.address: str | None = None
        self.drop: list[LabMessage] = []
        self.deleted: set[int] = set()
        self.cut: set[int] = set()
        self._before: dict[str, Callable[[list[bytes]], Awaitable[bytes]]] = {
            "CAPA": self._capa,
            "STLS": self._stls,
            "USER": self._user,
            "PASS": self._pass,
            "AUTH": self._auth,
            "QUIT": self._quit,
            "NOOP": self._noop,
        }
        self._after: dict[str, Callable[[list[bytes]], Awaitable[bytes]]] = {
            "CAPA": self._capa,
            "STAT": self._stat,
            "LIST": self._list,
            "UIDL": self._uidl,
            "RETR": self._retr,
            "TOP": self._top,
            "DELE": self._dele,
            "RSET": self._rset,
            "NOOP": self._noop,
            "LAST": self._noop,
            "QUIT": self._quit,
        }

    def greet(self) -> None:
        """Send the greeting."""
        if self.premises.has("greeting_bye"):
            self.send(b"-ERR [SYS/TEMP] Temporarily unavailable\r\n")
            self.hang_up()
        elif self.premises.has("coremail_pop3"):
            self.send(b"+OK Welcome to coremail Mail Pop3 Server (163coms[lab])\r\n")
        else:
            self.send(b"+OK %s ready.\r\n" % self.premises.name.encode())

    def next_command(self) -> bytes | None:
        """Take the next line."""
        return self.take_line()

    async def perform(self, command: bytes) -> None:
        """Carry out one command and answer it."""
        word, _, rest = command.partition(b" ")
        verb = word.upper().decode("latin-1")
        self.record.commands.append(verb if verb in {"PASS", "AUTH"} else command.decode("latin-1"))
        self.heard(verb)
        table = self._before if self.address is None else self._after
        try:
            handler = table.get(verb)
            if handler is None:
                raise Err("Unknown command.")
            # a password may hold blanks (RFC 1939, 7)
            arguments = [rest] if verb == "PASS" else rest.split()
            answer = b"+OK " + await handler(arguments)
        except Err as error:
            text = str(error).encode("latin-1", "replace")
            answer = text if text.startswith(b"-ERR") else b"-ERR " + text
        if command.decode("latin-1") == self.premises.stalls_at:
            await self.line()  # an answer to nobody's question: the client leaves before
        if command.decode("latin-1") == self.premises.breaks_at:
            self.send(answer[: len(answer) // 2])
            self.hang_up()
            return
        self.send(answer + b"\r\n")
        if verb == "STLS" and answer.startswith(b"+OK"):
            self.upgrade()
        if verb == "QUIT":
            self.hang_up()

    def left(self) -> None:
        """Forget what was marked as deleted: the connection ended without QUIT."""
        if self.premises.has("pop3_dele_on_drop"):
            self._remove()
        self.deleted.clear()

    # before the login

    async def _capa(self, _: list[bytes]) -> bytes:
        if self.premises.has("pop3_no_capa"):
            raise Err("Command not implemented")
        words = [b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"]
        if self.premises.has("pop3_login_delay"):
            words.append(b"LOGIN-DELAY %d" % self.premises.login_delay)
        if self.address is None:
            words += [b"USER", b"SASL PLAIN LOGIN"]
            if self.tls_options is not None and not self.secure:
                words.append(b"STLS")
        return b"\r\n".join([b"Capability list follows", *words, b"."])

    async def _stls(self, _: list[bytes]) -> bytes:
        if self.tls_options is None or self.secure:
            raise Err("TLS is not offered here.")
        return b"Begin TLS negotiation now."

    async def _user(self, arguments: list[bytes]) -> bytes:
        if len(arguments) != 1:
            raise Err("USER takes a name.")
        self._need_tls()
        self.user = arguments[0]
        return b"core mail" if self.premises.has("coremail_pop3") else b""

    async def _pass(self, arguments: list[bytes]) -> bytes:
        if self.user is None:
            raise Err("No username given.")
        user, self.user = self.user, None
        return await self._judge(user, arguments[0])

    async def _auth(self, arguments: list[bytes]) -> bytes:
        self._need_tls()
        mechanism = arguments[0].upper() if arguments else b""
        if mechanism == b"PLAIN":
            answer = _decode(arguments[1]) if len(arguments) > 1 else await self._ask(b"")
            parts = answer.split(b"\0")
            if len(parts) != 3:
                raise Err("Invalid PLAIN response.")
            return await self._judge(parts[1], parts[2], authzid=parts[0])
        if mechanism == b"LOGIN":
            name = await self._ask(b"Username:")
            return await self._judge(name, await self._ask(b"Password:"))
        raise Err("Unsupported authentication mechanism.")

    async def _ask(self, prompt: bytes) -> bytes:
        self.send(b"+ " + base64.b64encode(prompt) + b"\r\n")
        line = await self.line()
        if line == b"*":
            raise Err("Authentication aborted by client.")
        return _decode(line)

    def _need_tls(self) -> None:
        if not self.secure and not self.premises.plaintext_login:
            raise Err("[AUTH] Plaintext authentication disallowed on non-secure connections.")

    async def _judge(self, authcid: bytes, password: bytes, authzid: bytes = b"") -> bytes:
        premises = self.premises
        address: str | None = await self.in_thread(premises.judge, authcid, password, authzid)
        if address is None or nobody_enters(premises, "pop3", secure=self.secure):
            row = refusal(premises, "pop3", authcid, secure=self.secure)
            if row.after:
                await self.pause(row.after)
            raise Err(row.pop3.decode("latin-1"))
        if "pop3" not in premises.accounts[address].protocols:
            raise Err("[AUTH] POP3 access is disabled for this account.")
        if premises.has("pop3_lock") and any(r.open for r in premises.logins(address, "pop3")):
            raise Err("[IN-USE] Mailbox is locked by another POP3 session.")
        now = self.reactor.seconds()
        since = now - premises.pop3_logins.get(address, -1e9)
        if premises.has("pop3_login_delay") and since < premises.login_delay:
            raise Err(f"[LOGIN-DELAY] wait {premises.login_delay:.0f} s")
        premises.pop3_logins[address] = now
        self.address = self.record.address = address
        self.drop = [m for m in self._all_mail(address) if self._visible(m)]
        if premises.has("pop3_reversed"):
            self.drop.reverse()
        if premises.has("coremail_pop3"):
            return b"%d message(s) [%d byte(s)]" % (len(self.drop), sum(len(m.octets) for m in self.drop))
        return b"Logged in."

    def _all_mail(self, address: str) -> list[LabMessage]:
        store = self.premises.store(address)
        inbox = list(store.inbox.messages.values())
        if not self.premises.has("pop3_all_mail"):
            return inbox
        others = [m for box in store if box is not store.inbox for m in box.messages.values()]
        return [*inbox, *(replace(m, octets=b"X-UIDL: %s\r\n" % m.uidl + m.octets) for m in others)]

    def _visible(self, message: LabMessage) -> bool:
        if self.premises.has("pop3_retr_hides") and message.sha256 in self.premises.retrieved:
            return False
        return young(message) or not (self.premises.has("window_30d") or self.premises.has("pop3_window_30d"))

    # after the login

    async def _noop(self, _: list[bytes]) -> bytes:
        return b""

    async def _stat(self, _: list[bytes]) -> bytes:
        rows = self._rows()
        return b"%d %d" % (len(rows), sum(len(m.octets) for _, m in rows))

    async def _list(self, arguments: list[bytes]) -> bytes:
        if self.premises.has("pop3_no_list"):
            raise Err("Command not implemented")
        if arguments:
            number = self._number(arguments)
            return b"%d %d" % (number, self._size(self.drop[number - 1]))
        lines = [b"%d %d" % (number, self._size(m)) for number, m in self._rows()]
        return b"\r\n".join([b"%d messages" % len(lines), *lines, b"."])

    async def _uidl(self, arguments: list[bytes]) -> bytes:
        if self.premises.has("pop3_uidl_missing"):
            raise Err("Command not implemented")
        if arguments:
            number = self._number(arguments)
            return b"%d %s" % (number, self._name(self.drop[number - 1]))
        lines = [b"%d %s" % (number, self._name(m)) for number, m in self._rows()]
        return b"\r\n".join([b"", *lines, b"."])

    async def _retr(self, arguments: list[bytes]) -> bytes:
        number = self._number(arguments)
        message = self.drop[number - 1]
        self._download(number, message)
        octets = message.octets
        if self.premises.has("pop3_cut_short") and number % 3 == 0 and number not in self.cut:
            self.cut.add(number)
            octets = octets[: len(octets) // 2]
        if self.premises.troubles("pop3_header_only", message.uid):
            octets = octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.premises.retrieved.add(message.sha256)
        return b"%d octets\r\n%s." % (len(message.octets), self._on_the_wire(octets))

    def _download(self, number: int, message: LabMessage) -> None:
        """Raise Err where Coremail does not give a message out."""
        premises = self.premises
        if premises.troubles("coremail_letter", message.uid):
            raise Err(f"Can't get the letter {message.uidl.decode()}[301], try again later")
        if premises.has("coremail_exceed"):
            if premises.spent["downloads"] >= premises.patience:
                raise Err(f"Download exceed. msg={number}")
            premises.spent["downloads"] += 1

    async def _top(self, arguments: list[bytes]) -> bytes:
        if self.premises.has("pop3_no_top"):
            raise Err("Message can not load")
        if len(arguments) != 2 or not arguments[1].isdigit():
            raise Err("TOP takes a message number and a line count.")
        octets = self.drop[self._number(arguments[:1]) - 1].octets
        header, blank, body = octets.partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")
        kept = b"\r\n".join(lines[: int(arguments[1])])
        if 0 < int(arguments[1]) < len(lines):
            kept += b"\r\n"
        return b"top of message follows\r\n%s." % self._on_the_wire(header + blank + kept)

    async def _dele(self, arguments: list[bytes]) -> bytes:
        self.deleted.add(self._number(arguments))
        return b"Marked to be deleted."

    async def _rset(self, _: list[bytes]) -> bytes:
        self.deleted.clear()
        return b""

    async def _quit(self, _: list[bytes]) -> bytes:
        self._remove()
        self.deleted.clear()
        return b"Logging out."

    def _remove(self) -> None:
        if self.address is not None and self.deleted:
            inbox = self.premises.store(self.address).inbox
            inbox.remove([self.drop[number - 1].uid for number in self.deleted])

    def _rows(self) -> list[tuple[int, LabMessage]]:
        return [(n, m) for n, m in enumerate(self.drop, 1) if n not in self.deleted]

    def _number(self, arguments: list[bytes]) -> int:
        if len(arguments) != 1 or not arguments[0].isdigit():
            raise Err("A message number was expected.")
        number = int(arguments[0])
        if not 1 <= number <= len(self.drop) or number in self.deleted:
            raise Err("There is no such message.")
        return number

    def _size(self, message: LabMessage) -> int:
        size = len(message.octets)
        return 3 * size + 5000 if self.premises.has("pop3_list_lies") else size

    def _on_the_wire(self, octets: bytes) -> bytes:
        """Return a multi-line answer's body: dots at line starts doubled, the last line ended."""
        if self.premises.has("pop3_no_last_line_end"):
            octets = octets.removesuffix(b"\r\n")
        elif octets and not octets.endswith(b"\r\n"):
            octets += b"\r\n"
        if self.premises.has("pop3_no_stuffing"):
            return octets
        if octets.startswith(b"."):
            octets = b"." + octets
        return octets.replace(b"\r\n.", b"\r\n..")

    def _name(self, message: LabMessage) -> bytes:
        if self.premises.has("pop3_uidl_changes"):
            return b"s%d-%s" % (self.record.number, message.uidl)
        if self.premises.has("pop3_uidl_of_header"):
            return hashlib.md5(message.octets.partition(b"\r\n\r\n")[0]).hexdigest().encode()  # noqa: S324
        if self.premises.has("pop3_uidl_duplicate"):
            return message.sha256[:32].encode()
        return message.uidl


def _decode(octets: bytes) -> bytes:
    try:
        return base64.b64decode(b"" if octets == b"=" else octets, validate=True)
    except binascii.Error as error:
        raise Err("Invalid base64.") from error
