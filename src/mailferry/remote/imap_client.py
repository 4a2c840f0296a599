"""An IMAP session of our own, after login: mailboxes, listings, bodies, appends (RFC 3501).

Every call raises `Refused` when the server heard the command and said no, and `Unavailable` when it
would not do it now, or when the session broke, fell silent, or answered what cannot be understood.
After a break the client is `closed` and stays so; after a refusal it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum

from twisted.internet.interfaces import IReactorTime

from mailferry.model.access import Protocol
from mailferry.model.causes import Unavailable
from mailferry.model.mail import Mailbox, MailboxStatus, MessageFacts
from mailferry.model.profile import Profile
from mailferry.remote import imap_changes, imap_mailboxes, imap_rights
from mailferry.remote.append_replies import AppendReplies
from mailferry.remote.imap_answers import Listener
from mailferry.remote.imap_append import AppendStream
from mailferry.remote.imap_changes import Vanished
from mailferry.remote.imap_fetch import BODY, HEADER, fetch_messages, fetch_once
from mailferry.remote.imap_link import ImapLink, upper
from mailferry.remote.imap_listing import FACTS, FLAGS, FactReader, FlagReader
from mailferry.remote.message_sink import FetchOutcome, MessageSink
from mailferry.remote.open import OpenSession
from mailferry.wire.imap_commands import astring, flag_list, uid_sets
from mailferry.wire.imap_responses import Code, Tagged, Untagged, sequence_numbers
from mailferry.wire.imap_values import BadResponse, as_bytes, as_list

COMMAND_SECONDS = 120.0
LOGOUT_SECONDS = 10.0

UidSet = bytes | Collection[int]
"""A set as on the wire (`b"1:*"`), or UIDs; UIDs go ascending, in as many commands as the profile asks."""


class FlagChange(Enum):
    """What STORE does with the flags named (RFC 3501 6.4.6)."""

    ADD = b"+FLAGS.SILENT"
    REMOVE = b"-FLAGS.SILENT"
    REPLACE = b"FLAGS.SILENT"


class ImapClient:
    """One session; commands are pipelined in the order of the calls.

    `timeout` is the silence in seconds, while an answer is owed, that ends the session. Await a
    `select` before asking for anything of its mailbox.
    """

    def __init__(
        self,
        session: OpenSession,
        profile: Profile,
        reactor: IReactorTime,
        *,
        timeout: float = COMMAND_SECONDS,
    ) -> None:
        if session.protocol is not Protocol.IMAP:
            raise ValueError("an IMAP client needs an IMAP session")
        self._reactor = reactor
        self._link = ImapLink(
            session.carrier,
            profile,
            reactor,
            timeout=timeout,
            offered=upper(session.capabilities),
            residual=session.residual,
        )
        self._append_replies = AppendReplies(self._link)
        self._tells_vanished: bool | None = None
        self.unread_lists: tuple[bytes, ...] = ()
        """Lines of the last `list_mailboxes` that name a mailbox in a way that cannot be understood."""

    # ---- what the server offers

    @property
    def capabilities(self) -> frozenset[bytes]:
        """What the server offers after login, in upper case."""
        return self._link.capabilities

    def offers(self, capability: bytes) -> bool:
        """Whether the server offers a capability; letter case does not matter."""
        return capability.upper() in self._link.capabilities

    @property
    def batches(self) -> bool:
        """Whether several messages go in one APPEND (MULTIAPPEND, RFC 3502)."""
        return self.offers(b"MULTIAPPEND")

    @property
    def tells_uids(self) -> bool:
        """Whether APPEND tells the new UIDs (UIDPLUS, RFC 4315)."""
        return self.offers(b"UIDPLUS")

    @property
    def append_limit(self) -> int | None:
        """The largest message in octets that APPEND takes (RFC 7889); None when it is not told."""
        for capability in self._link.capabilities:
            name, _, limit = capability.partition(b"=")
            if name == b"APPENDLIMIT" and limit.isdigit():
                return int(limit)
        return None

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._link.over

    # ---- mailboxes

    async def list_mailboxes(self) -> list[Mailbox]:
        """Return all mailboxes in the server's order, each raw name once, roles among the attributes."""
        reader = await imap_mailboxes.list_mailboxes(self._link)
        self.unread_lists = tuple(reader.unread)
        return list(reader.mailboxes.values())

    async def namespace(self) -> tuple[bytes, bytes | None] | None:
        """Return prefix and delimiter of the first personal namespace; None when it is not told.

        189.cn offers NAMESPACE and answers BAD to it.
        """
        if not self.offers(b"NAMESPACE"):
            return None
        found: list[tuple[bytes, bytes | None]] = []

        class Reader(Listener):
            def untagged(self, response: Untagged) -> None:
                if response.kind == b"NAMESPACE":
                    found.extend(_personal(response))

        await self._link.answer(self._link.send("namespace", b"NAMESPACE", listener=Reader()))
        return found[0] if found else None

    async def subscribed(self) -> frozenset[bytes]:
        """Return the raw names of the mailboxes that the user has subscribed to."""
        return await imap_mailboxes.subscribed(self._link)

    async def subscribe(self, name: bytes) -> None:
        """Subscribe to a mailbox."""
        await self._link.run("subscribe", b"SUBSCRIBE", astring(name))

    async def shared_with(self, names: Sequence[bytes]) -> dict[bytes, tuple[bytes, ...]]:
        """Return those of the named mailboxes that others may open (ACL, RFC 4314), with all identifiers."""
        return await imap_rights.shared_with(self._link, names)

    async def create(self, name: bytes, role: str | None = None) -> bool:
        """Create a mailbox; False when it existed. `role` (`sent`, ...) is marked where the server can."""
        return await imap_mailboxes.create(self._link, name, role)

    async def delete_mailbox(self, name: bytes) -> None:
        """Delete a mailbox; meant for one that we made ourselves and that is still empty."""
        await self._link.run("delete", b"DELETE", astring(name))

    async def select(self, name: bytes, *, read_only: bool = False) -> MailboxStatus:
        """Open a mailbox, for looking at only when `read_only`.

        Courier gives another UIDVALIDITY at each read-only opening of a mailbox never opened otherwise.
        """
        return await imap_mailboxes.select(self._link, name, read_only=read_only)

    async def status_all(self, names: Sequence[bytes]) -> dict[bytes, MailboxStatus]:
        """Return the numbers of the named mailboxes; those that the server does not tell are left out."""
        return await imap_mailboxes.status_all(self._link, names)

    # ---- listings of the mailbox that is open

    async def fetch_facts(self, uids: UidSet, on_fact: Callable[[MessageFacts], None]) -> None:
        """List messages: each goes to `on_fact` once; its date is empty where the server gave none."""
        reader = FactReader(on_fact)
        await self._each(uids, b"UID FETCH %s " + FACTS, "fetch", reader)
        if half_told := reader.half_told():
            await self._each(half_told, b"UID FETCH %s " + FACTS, "fetch", reader)
        reader.finish()

    async def fetch_flags(
        self,
        uids: UidSet,
        on_flags: Callable[[int, frozenset[bytes]], None],
        *,
        changed_since: int | None = None,
    ) -> None:
        """List UIDs and flags; with `changed_since` (CONDSTORE) only of messages changed after it.

        A message may come twice; the last word counts.
        """
        words = b"UID FETCH %s " + FLAGS
        if changed_since is not None:
            words += b" (CHANGEDSINCE %d)" % changed_since
        await self._each(uids, words, "fetch", FlagReader(on_flags))

    async def fetch_changes(self, since: int, on_fact: Callable[[MessageFacts], None]) -> Vanished:
        """List what changed after the mod-sequence `since` (CONDSTORE); return what vanished (QRESYNC).

        A server without QRESYNC names nothing that vanished.
        """
        if self._tells_vanished is None:
            self._tells_vanished = await imap_changes.tells_vanished(self._link)
        return await imap_changes.fetch_changes(self._link, since, on_fact, vanished=self._tells_vanished)

    async def find_header(self, name: bytes, value: bytes) -> tuple[int, ...]:
        """Return the UIDs of the messages whose header field `name` holds `value`; ASCII, compared without case."""
        found: list[int] = []

        class Reader(Listener):
            def untagged(self, response: Untagged) -> None:
                if response.kind == b"SEARCH":
                    found.extend(sequence_numbers(response))

        await self._link.run("search", b"UID SEARCH HEADER", astring(name), astring(value), listener=Reader())
        return tuple(found)

    async def fetch_headers(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Stream the headers of messages, up to and with the empty line; nothing becomes `\\Seen`."""
        return await fetch_messages(self._link, HEADER, uids, sink)

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Stream whole messages in the server's order; nothing becomes `\\Seen`.

        A message that breaks off raises Unavailable, behind `sink.broken()`.
        """
        return await fetch_messages(self._link, BODY, uids, sink)

    async def fetch_bodies_once(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Do so without asking twice: the command is on its way when this returns its first time, and what
        does not come is `missing`. Several of these may be on their way.
        """
        return await fetch_once(self._link, BODY, uids, sink)

    @property
    def names_uids_late(self) -> bool:
        """Whether the server was seen to name a UID only behind the body: several at once then fail."""
        return self._link.uid_comes_late

    def pause(self) -> None:
        """Stop reading from this server; what was read already is still handed on."""
        self._link.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._link.resume()

    # ---- changes

    async def store_flags(self, uids: UidSet, flags: Collection[bytes], how: FlagChange) -> None:
        """Change flags; with no flags, REPLACE takes all off and the others do nothing."""
        if flags or how is FlagChange.REPLACE:
            await self._each(uids, b"UID STORE %s " + how.value + b" " + flag_list(flags), "store")

    async def delete(self, uids: Collection[int]) -> bool:
        """Remove messages for good; False when they could only be flagged `\\Deleted` (no UIDPLUS)."""
        await self.store_flags(uids, (b"\\Deleted",), FlagChange.ADD)
        if not self.tells_uids:
            return False
        await self._each(uids, b"UID EXPUNGE %s", "expunge")
        return True

    async def move(self, uids: Collection[int], to: bytes) -> dict[int, int]:
        """Move messages to the mailbox `to`; return old to new UIDs, as far as the server tells them.

        Without MOVE (RFC 6851) they are copied, then deleted as `delete` does.
        """
        reader = _CopyReader()
        moves = self.offers(b"MOVE")
        for part in uid_sets(uids, self._link.set_octets):
            words = (b"UID MOVE " if moves else b"UID COPY ") + part
            answer = await self._link.run("move", words, astring(to), listener=reader)
            reader.note(answer.code)
        if not moves:
            await self.delete(uids)
        return reader.new_uids

    def append_batch(
        self,
        mailbox: bytes,
        *,
        batches: bool | None = None,
        on_pressure: Callable[[bool], None] | None = None,
    ) -> AppendStream:
        """Begin a batch of messages for `mailbox`; other commands wait until it is finished.

        `batches` False sends single APPENDs also where the server offers MULTIAPPEND.
        """
        together = self.batches if batches is None else batches and self.batches
        return AppendStream(
            self._link, mailbox, batches=together, replies=self._append_replies, on_pressure=on_pressure
        )

    def tell_pressure(self, on_pressure: Callable[[bool], None] | None) -> None:
        """Have this called whenever the server takes no more octets, or takes them again."""
        self._link.on_congestion = on_pressure

    # ---- the session

    async def keepalive(self) -> None:
        """Keep an idle session alive, by the command that the provider counts (NetEase: not NOOP)."""
        words = self._link.profile.keepalive_command.encode("ascii")
        if words.upper() == b"STATUS":
            words = b'STATUS "INBOX" (MESSAGES)'
        await self._link.run("keepalive", words)

    async def logout(self) -> None:
        """Say LOGOUT and close; a server that closes without a word, or stays silent, is as good."""
        if not self._link.over:
            limit = self._reactor.callLater(LOGOUT_SECONDS, self._link.close)
            try:
                await self._link.answer(self._link.send("logout", b"LOGOUT"))
            except Unavailable:
                pass
            if limit.active():
                limit.cancel()
        self._link.close()

    def close(self) -> None:
        """End the session at once and without a word."""
        self._link.close()

    async def _each(self, uids: UidSet, words: bytes, stage: str, listener: Listener | None = None) -> None:
        """Run one command for each part of a set of UIDs, all on their way at once."""
        parts: Iterable[bytes] = (uids,) if isinstance(uids, bytes) else uid_sets(uids, self._link.set_octets)
        listener = listener or Listener()
        commands = [self._link.send(stage, words % part, listener=listener) for part in parts]
        refused: Tagged | None = None
        for command in commands:
            answer = await self._link.answer(command)
            if answer.status != b"OK" and refused is None:
                refused = answer
        if refused is not None:
            raise self._link.refusal(refused, stage)


class _CopyReader(Listener):
    """Gathers COPYUID, which MOVE tells in an untagged OK and COPY in its tagged one."""

    def __init__(self) -> None:
        self.new_uids: dict[int, int] = {}

    def untagged(self, response: Untagged) -> None:
        self.note(response.code)

    def note(self, code: Code | None) -> None:
        if code is None or code.name != "COPYUID":
            return
        try:
            _, old, new = code.copy_uid()
        except BadResponse:
            return  # told in a way that cannot be understood: as if it were not told
        if len(old) == len(new):
            self.new_uids.update(zip(old, new, strict=True))


def _personal(response: Untagged) -> list[tuple[bytes, bytes | None]]:
    """Return prefixes and delimiters of the personal namespaces (RFC 2342 5)."""
    try:
        spaces = [as_list(space) for space in as_list(response.values[0])]
        return [(as_bytes(s[0]), None if s[1] is None else as_bytes(s[1])) for s in spaces]
    except (BadResponse, IndexError):
        return []
