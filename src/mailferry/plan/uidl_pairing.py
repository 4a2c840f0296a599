"""Which POP3 message is which IMAP message of the same mailbox.

By the formula of servers that make a UIDL from UIDVALIDITY and UID, as far as it explains them; else by
header digests; where headers are alike on more than one message, by digests of
whole bodies, which `pair_by_headers` asks for by name. True twins are paired in order: whichever of
them gets which UIDL, the user has each of them once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PopMessage:
    """A message of the maildrop, in the order of LIST; `digest` of its header or of its whole body."""

    number: int
    uidl: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class ImapMessage:
    """A message of the mailbox behind it; `digest` as above."""

    uid: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Pairing:
    """What is sure, and what is not yet."""

    pairs: Mapping[bytes, int]
    """UIDL to IMAP UID."""
    ambiguous: tuple[tuple[tuple[PopMessage, ...], tuple[ImapMessage, ...]], ...] = ()
    """Groups with one header: whole-body digests of these decide."""
    unpaired: tuple[PopMessage, ...] = ()
    """POP3 shows them, IMAP does not."""
    hidden: tuple[ImapMessage, ...] = ()
    """IMAP shows them, POP3 does not."""


_FORMULAS: tuple[Callable[[int, int], bytes], ...] = (
    lambda validity, uid: b"%08x%08x" % (uid, validity),  # Dovecot's default, %08Xu%08Xv
    lambda validity, uid: b"%d.%d" % (validity, uid),  # Cyrus
    lambda validity, uid: b"%d-%d" % (validity, uid),  # Courier
    lambda validity, uid: b"UID%d-%d" % (uid, validity),  # Courier, older
)


def pair_by_formula(uidls: Collection[bytes], uids: Iterable[int], uidvalidity: int) -> dict[bytes, int]:
    """Return UIDL to UID by the formula that explains most of a maildrop's UIDLs, if it explains half of them.

    Each formula carries the UIDVALIDITY, so that no other numbering is mistaken for it. What stays
    unexplained is not shown by IMAP, or is older than the formula.
    """
    listed = list(uids)
    best: dict[bytes, int] = {}
    for formula in _FORMULAS:
        made = {formula(uidvalidity, uid): uid for uid in listed}
        pairs = {uidl: made[uidl] for uidl in uidls if uidl in made}
        if len(pairs) > len(best):
            best = pairs
    return best if 2 * len(best) >= len(uidls) else {}


def pair_by_headers(pop: Sequence[PopMessage], imap: Sequence[ImapMessage]) -> Pairing:
    """Pair what has a header of its own; name the groups whose bodies must be looked at."""
    pairs: dict[bytes, int] = {}
    ambiguous: list[tuple[tuple[PopMessage, ...], tuple[ImapMessage, ...]]] = []
    unpaired: list[PopMessage] = []
    hidden: list[ImapMessage] = []
    for here, there in _groups(pop, imap):
        if len(here) == 1 and len(there) == 1:
            pairs[here[0].uidl] = there[0].uid
        elif here and there:
            ambiguous.append((here, there))
        else:
            unpaired.extend(here)
            hidden.extend(there)
    return Pairing(pairs, tuple(ambiguous), tuple(unpaired), tuple(hidden))


def pair_by_bodies(pop: Sequence[PopMessage], imap: Sequence[ImapMessage]) -> Pairing:
    """Pair by digests of whole bodies: twins in order, never one message twice."""
    pairs: dict[bytes, int] = {}
    unpaired: list[PopMessage] = []
    hidden: list[ImapMessage] = []
    for here, there in _groups(pop, imap):
        pairs.update((mine.uidl, other.uid) for mine, other in zip(here, there, strict=False))
        unpaired.extend(here[len(there) :])
        hidden.extend(there[len(here) :])
    return Pairing(pairs, (), tuple(unpaired), tuple(hidden))


def _groups(
    pop: Sequence[PopMessage], imap: Sequence[ImapMessage]
) -> Iterable[tuple[tuple[PopMessage, ...], tuple[ImapMessage, ...]]]:
    """Group by digest; POP3 messages by number, IMAP messages by UID."""
    groups: dict[bytes, tuple[list[PopMessage], list[ImapMessage]]] = defaultdict(lambda: ([], []))
    for mine in sorted(pop, key=lambda m: m.number):
        groups[mine.digest][0].append(mine)
    for other in sorted(imap, key=lambda m: m.uid):
        groups[other.digest][1].append(other)
    return [(tuple(here), tuple(there)) for here, there in groups.values()]
