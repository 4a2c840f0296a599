"""Which messages that left IMAP's listing POP3 still shows: by name, by their octets, at last by header.

POP3 may give no more of such a message than its header (263), so that its octets need not be those that
were copied. Then the header is all that tells which copy is the message's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_NONE_GUESSED: Mapping[bytes, bytes] = {}


class Departed(NamedTuple):
    """A message that IMAP lists no more, and its copy."""

    uid: int
    digest: bytes
    """Of the octets that were copied."""
    header: bytes | None = None
    """Of the copy's header, None when it is not known."""
    name: bytes | None = None
    """Its UIDL, as far as it was learnt while IMAP showed it."""


class OverPop3(NamedTuple):
    """A message that POP3 shows and IMAP does not: its UIDL, and digests of header and octets."""

    name: bytes
    header: bytes
    whole: bytes


class StillShown(NamedTuple):
    """What is there still, and what nobody can tell."""

    names: Mapping[int, bytes]
    """UID to UIDL."""
    unclear: frozenset[int] = frozenset()
    """UIDs of messages with one header of which some are there, and nobody knows which."""


def still_shown(
    departed: Iterable[Departed], shown: Iterable[OverPop3], guessed: Mapping[bytes, bytes] = _NONE_GUESSED
) -> StillShown:
    """Tell which departed messages are shown still; each name serves once, the others have gone.

    `guessed` are messages that got their copies by header alone before: header to digest of the copy.
    """
    left = sorted(departed)
    free = {message.name: message for message in shown}
    names = {one.uid: one.name for one in left if one.name is not None and one.name in free}
    by_whole: dict[bytes, list[bytes]] = defaultdict(list)
    for message in _without(free, names):
        by_whole[message.whole].append(message.name)
    for one in left:
        if one.uid not in names and by_whole[one.digest]:
            names[one.uid] = by_whole[one.digest].pop(0)
    by_header: dict[bytes, list[bytes]] = defaultdict(list)
    for message in _without(free, names):
        by_header[message.header].append(message.name)
    unclear: set[int] = set()
    for header, alike in _by_header(one for one in left if one.uid not in names).items():
        here = by_header.get(header, [])
        names |= {one.uid: name for one, name in zip(alike, here, strict=False)}
        sure = guessed.get(header, alike[0].digest if here else None)
        unclear |= {one.uid for one in alike[len(here) :] if sure is not None and one.digest != sure}
    return StillShown(names, frozenset(unclear))


def _without(free: Mapping[bytes, OverPop3], names: Mapping[int, bytes]) -> Iterable[OverPop3]:
    taken = set(names.values())
    return [message for name, message in free.items() if name not in taken]


def _by_header(departed: Iterable[Departed]) -> Mapping[bytes, Sequence[Departed]]:
    groups: dict[bytes, list[Departed]] = defaultdict(list)
    for one in departed:
        if one.header is not None:
            groups[one.header].append(one)
    return groups
