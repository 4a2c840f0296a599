"""By which name each message of a maildrop is known again: its UIDL, or what stands for one.

Servers without UIDL (it is optional, RFC 1939 7), with UIDLs that change from session to session, or
with one UIDL for several messages are known as well. There the name is made of the message itself: of
its header, or of all of it where headers or UIDLs are alike, so that never two messages are taken for
one. No UIDL holds a blank; each name that is none does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mailferry.copying.maildrop_digests import MaildropDigests
from mailferry.model.causes import Refused
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store.uidls import UidlFact

T = TypeVar("T")
HEADER = b" header "
BODY = b" body "


@dataclass(slots=True)
class Listed:
    """A maildrop as one session shows it, by message number."""

    names: dict[int, bytes] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)
    """What LIST says, as far as it says something."""
    headers: dict[int, bytes] = field(default_factory=dict)
    """Header digests of messages without a UIDL, as far as they were read."""
    bodies: dict[int, bytes] = field(default_factory=dict)
    """Digests of whole messages that had to be read."""
    announced: int = 0
    """How many messages there are by the server's own counts."""
    whole: bool = True
    """Every message that can be read has its name; else the time was over before."""

    def uidls(self) -> dict[int, bytes]:
        """Return what POP3 clients know: real UIDLs, each once."""
        return {number: name for number, name in self.names.items() if is_uidl(name)}


def is_uidl(name: bytes) -> bool:
    """Whether a name is a server's own."""
    return b" " not in name


async def list_maildrop(
    pop: Pop3Client, known: Sequence[UidlFact], *, use_uidls: bool, in_time: Callable[[], bool]
) -> Listed:
    """Return the names of all messages; `known` are those of earlier sessions, with their LIST sizes.

    `use_uidls` is False where UIDLs turned out to mean nothing. Raises Unavailable.
    """
    listing = _Listing(pop, known, in_time)
    await listing.ask(use_uidls=use_uidls)
    await listing.name_alike()
    await listing.name_by_content()
    return listing.listed


class _Listing:
    """The steps of one look."""

    def __init__(self, pop: Pop3Client, known: Sequence[UidlFact], in_time: Callable[[], bool]) -> None:
        self._pop = pop
        self._known = known
        self._digests = MaildropDigests(pop, in_time)
        self._alike: dict[bytes, list[int]] = {}
        self._nameless: list[int] = []
        self.listed = Listed()

    async def ask(self, *, use_uidls: bool) -> None:
        """Ask for the server's own counts, sizes and UIDLs; LIST and UIDL are done without where refused."""
        count, _ = await self._pop.stat()
        sizes = await _unless_refused(self._pop.list()) or {}
        uidls = (await _unless_refused(self._pop.uidl()) or {}) if use_uidls else {}
        listed = self.listed
        listed.sizes = sizes
        listed.announced = max(count, *sizes, *uidls, 0)
        often = Counter(uidls.values())
        alike: dict[bytes, list[int]] = defaultdict(list)
        for number in range(1, listed.announced + 1):
            uidl = uidls.get(number)
            if uidl is None:
                self._nameless.append(number)
            elif often[uidl] > 1:
                alike[uidl].append(number)
            else:
                listed.names[number] = uidl
        self._alike = dict(alike)

    async def name_alike(self) -> None:
        """Tell messages apart that share a UIDL, by their bodies; not again while nothing changed."""
        groups: dict[bytes, list[UidlFact]] = defaultdict(list)
        for fact in self._known:
            uidl, _, rest = fact.uidl.partition(b" ")
            if rest:
                groups[uidl].append(fact)
        for uidl, numbers in self._alike.items():
            before = groups.get(uidl, [])
            sizes = [self.listed.sizes.get(number) for number in numbers]
            if sizes == [fact.size for fact in before] and None not in sizes:
                self.listed.names.update(zip(numbers, (fact.uidl for fact in before), strict=True))
            else:
                await self._name_by_bodies(numbers, uidl)

    async def name_by_content(self) -> None:
        """Name messages without a UIDL."""
        if not self._nameless:
            return
        numbers = await self._unlike_before()
        headers = await self._digests.headers(numbers)
        self._note_unread()
        groups: dict[bytes, list[int]] = defaultdict(list)
        for number, digest in sorted(headers.items()):
            groups[digest].append(number)
        taken = Counter(self.listed.headers.values())
        for digest, alike in groups.items():
            if len(alike) + taken[digest] == 1:
                self.listed.names[alike[0]] = HEADER + digest.hex().encode()
            else:
                await self._name_by_bodies(alike, b"")
        self.listed.headers.update(headers)

    async def _unlike_before(self) -> Sequence[int]:
        """Return the messages to look at: those behind the known ones, where these stand as they stood.

        New mail comes at the end. A message that went away moves all behind it, so that the last known
        one and one in the middle would be others; one whose header is not its own proves nothing.
        """
        known = [fact for fact in self._known if fact.uidl.startswith((HEADER, BODY))]
        numbers = self._nameless
        if len(numbers) != self.listed.announced or not known or len(known) > len(numbers):
            return numbers
        places = sorted({len(known) // 2, len(known) - 1})
        if not all(known[place].uidl.startswith(HEADER) for place in places):
            return numbers
        seen = await self._digests.headers([numbers[place] for place in places])
        if any(seen.get(numbers[place]) != known[place].digest for place in places):
            return numbers
        for number, fact in zip(numbers, known, strict=False):
            self.listed.names[number] = fact.uidl
            self.listed.headers[number] = fact.digest
        return numbers[len(known) :]

    async def _name_by_bodies(self, numbers: Sequence[int], uidl: bytes) -> None:
        _, whole = await self._digests.bodies(numbers)
        self._note_unread()
        self.listed.bodies.update(whole)
        taken = set(self.listed.names.values())
        for number, digest in sorted(whole.items()):
            name = first = uidl + BODY + digest.hex().encode()
            twins = 1
            while name in taken:
                twins += 1
                name = b"%s %d" % (first, twins)
            taken.add(name)
            self.listed.names[number] = name

    def _note_unread(self) -> None:
        self.listed.whole = self.listed.whole and not self._digests.unread


async def _unless_refused(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except Refused:
        return None
