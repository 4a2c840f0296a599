"""Where a target keeps what it was sent, when it does not say so (no UIDPLUS, RFC 4315).

Everything at or above the UIDNEXT of before is read; what no one else explains is ours: in order when
number and sizes agree, else by the digests of the octets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from mailferry.copying.digests import body_digests
from mailferry.copying.sources import ImapBodies
from mailferry.model.mail import MessageFacts
from mailferry.remote.imap_client import ImapClient

UNKNOWN_UID = 0
"""Stands in the ledger for a copy that the target took and that could not be found again."""


async def learn_target_uids(
    target: ImapClient,
    uidnext: int,
    known: Collection[int],
    sizes: Mapping[int, int],
    digests: Mapping[int, bytes],
) -> dict[int, int]:
    """Return source UID to target UID for the messages of `sizes`, which are in the order of sending.

    The mailbox is selected at `target`. `known` are target UIDs that belong to other messages. Every
    message gets an answer, UNKNOWN_UID at worst: it was acknowledged and is never sent again.
    """
    found = await facts_from(target, uidnext)
    fresh = [facts for facts in found if facts.uid not in known]
    mine = list(sizes)
    if len(fresh) == len(mine) and all(
        facts.size == sizes[uid] for uid, facts in zip(mine, fresh, strict=True)
    ):
        return {uid: facts.uid for uid, facts in zip(mine, fresh, strict=True)}
    there = (await body_digests(ImapBodies(target), [facts.uid for facts in fresh])).by_uid
    learnt = match_digests({uid: digests[uid] for uid in mine}, there)
    left = [uid for uid in mine if uid not in learnt]
    free = sorted(set(there) - set(learnt.values()))
    if left and len(left) == len(free):
        learnt.update(zip(left, free, strict=True))
    elif left and not free and len(there) == len(fresh):  # it keeps no twins (Gmail): one copy stands for all
        shared = {digests[uid]: copy for uid, copy in learnt.items()}
        learnt.update((uid, shared[digests[uid]]) for uid in left if digests[uid] in shared)
    return {uid: learnt.get(uid, UNKNOWN_UID) for uid in mine}


async def find_copies(
    target: ImapClient, uidnext: int, known: Collection[int], digests: Mapping[int, bytes]
) -> dict[int, int]:
    """Return source UID to target UID of those messages that lie in the selected mailbox, from a UID on, all the same."""
    fresh = [facts.uid for facts in await facts_from(target, uidnext) if facts.uid not in known]
    there = (await body_digests(ImapBodies(target), fresh)).by_uid
    return match_digests(digests, there)


async def facts_from(client: ImapClient, first_uid: int) -> list[MessageFacts]:
    """Return the selected mailbox's listing from a UID on, ascending.

    `n:*` also gives the last message when its UID is below n (RFC 3501 6.4.8); that one is left out.
    """
    found: dict[int, MessageFacts] = {}

    def note(facts: MessageFacts) -> None:
        if facts.uid >= first_uid:
            found[facts.uid] = facts

    await client.fetch_facts(b"%d:*" % first_uid, note)
    return [found[uid] for uid in sorted(found)]


def match_digests(mine: Mapping[int, bytes], there: Mapping[int, bytes]) -> dict[int, int]:
    """Pair UIDs of equal digest, twins in order, each at most once."""
    free: dict[bytes, list[int]] = defaultdict(list)
    for uid in sorted(there):
        free[there[uid]].append(uid)
    pairs: dict[int, int] = {}
    for uid in sorted(mine):
        candidates: Sequence[int] = free.get(mine[uid], ())
        if candidates:
            pairs[uid] = free[mine[uid]].pop(0)
    return pairs
