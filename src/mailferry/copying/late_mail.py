"""Late mail that the target has already, whoever brought it there (design A7).

A message is there when the ledger holds its digest, or when target-only mail bears its Message-ID and
the same body: what differs between two deliveries of one mail are its trace headers.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailferry.copying.digests import ContentSink, HeaderSink
from mailferry.copying.learning import facts_from
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.sides import at_target
from mailferry.model.mail import MessageFacts
from mailferry.plan.differences import flags_key
from mailferry.store.ledger_blocks import LedgerEntry


async def without_twins(box: OpenMailbox, new: Sequence[MessageFacts]) -> list[MessageFacts]:
    """Return the messages that the target lacks; the others are ledgered with the copy that was found."""
    book = box.book
    mine = ContentSink()
    await box.source.fetch_bodies([facts.uid for facts in new], mine)
    ledgered = {entry.digest: entry.target_uid for entry in book.entries()}
    fresh = {uid for uid, digest in mine.whole.items() if digest not in ledgered}
    wanted = {message_id for uid, message_id in mine.message_ids.items() if uid in fresh}
    strangers = await _strangers(box, wanted)
    there: list[LedgerEntry] = []
    for facts in new:
        digest = mine.whole.get(facts.uid)
        if digest is None:
            continue
        found = ledgered.get(digest)
        if found is None and facts.uid in mine.message_ids:
            found = strangers.get((mine.message_ids[facts.uid], mine.bodies[facts.uid]))
        if found is not None:
            there.append(LedgerEntry(facts.uid, found, digest, flags_key(facts.flags), found=True))
    await book.add(there)
    box.run.already(box.work, len(there))
    known = {entry.source_uid for entry in there}
    return [facts for facts in new if facts.uid not in known]


async def _strangers(box: OpenMailbox, wanted: set[bytes]) -> dict[tuple[bytes, bytes], int]:
    """Return (Message-ID, digest of the body) to UID, for target-only mail with one of these ids."""
    if not wanted or not box.status.exists:
        return {}
    with at_target():
        known = box.book.target_uids() | box.others
        uids = [facts.uid for facts in await facts_from(box.target, 1) if facts.uid not in known]
        headers = HeaderSink()
        if uids:
            await box.target.fetch_headers(uids, headers)
        likely = [uid for uid, message_id in headers.message_ids.items() if message_id in wanted]
        contents = ContentSink()
        if likely:
            await box.target.fetch_bodies(likely, contents)
    return {
        (contents.message_ids[uid], body): uid
        for uid, body in contents.bodies.items()
        if uid in contents.message_ids
    }
