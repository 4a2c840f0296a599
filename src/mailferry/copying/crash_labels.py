"""Every place of the copier at which a test may kill it (`observe.crash_points`), in order of time.

A label stands between two steps of which one may be lost: the next pass must find that out by itself.
A test compares this table with the places in the code.
"""

from __future__ import annotations

from collections.abc import Mapping

COPY_LABELS: Mapping[str, str] = {
    "mailbox-created": "The target has the mailbox; it is not yet subscribed there.",
    "intent-written": "The store holds the intent; nothing was sent.",
    "literal-begun": "A message was begun; part of it was sent, or is held back to go with others.",
    "literal-sent": "A message was sent whole, or is held back so; the command is not ended.",
    "batch-sent": "All messages were sent; the target's answer is awaited.",
    "append-acknowledged": "The target said where it keeps the messages; the ledger does not know.",
    "ledger-committed": "The ledger knows the messages and the intent is settled.",
    "flags-stored": "The target has the new flags; the ledger still has the old ones.",
    "deleted-at-target": "Copies of vanished messages are gone at the target; the ledger still has them.",
    "intent-examined": "Both servers were read for an intent of an earlier run; it is not settled yet.",
    "surplus-removed": "A copy that a killed run sent late is gone; its intent is not settled yet.",
    "incomplete-removed": "An incomplete copy is gone, the whole one is there; the ledger still has both.",
    "moved-at-target": "Copies stand in another mailbox of the target; the ledger has them in the old one.",
    "matched-again": "Messages were found again under other UIDs; the ledger has the old ones.",
    "mailbox-finished": "A mailbox is done; what was seen of it is not remembered yet.",
}
"""Label to what has and has not happened there."""
