"""Lays a notice into the INBOX of the new mailbox, once: it is looked for by its Message-ID before each try.

The source is never touched, and the target only where it serves the user (plan/notices). To the copy a
notice is mail that somebody laid into the target: no ledger knows it, nothing counts or removes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mailferry.copying.sides import at_target
from mailferry.model.causes import Refused
from mailferry.observe.crash_points import crash_point
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient

_FIELD = b"Message-ID"


class TooLate(Exception):
    """The time in which this notice was ours is over; nothing was sent."""


async def deliver(
    opening: Callable[[], Awaitable[ImapClient]],
    octets: bytes,
    identity: str,
    *,
    ours: Callable[[], bool],
    repeated: bool,
) -> bool:
    """Append the message unless it lies there already; say whether it was appended.

    `ours` is asked right before the APPEND: whether nobody else may have taken the notice meanwhile. A
    target that refuses to search is believed to have none at the first try only. Raises Refused or
    Unavailable with a target's cause, TooLate.
    """
    with at_target():
        client = await opening()
        try:
            await client.select(INBOX)
            if await _is_there(client, identity, repeated=repeated):
                return False
            if not ours():
                raise TooLate
            stream = client.append_batch(INBOX, batches=False)
            stream.begin_message((), None, len(octets))
            stream.chunk(octets)
            stream.end_message()
            (result,) = await stream.finish()
            if result.refusal is not None:
                raise result.refusal
            crash_point("notice-appended")
            await client.logout()
        finally:
            client.close()
    return True


async def _is_there(client: ImapClient, identity: str, *, repeated: bool) -> bool:
    try:
        return bool(await client.find_header(_FIELD, identity.encode("ascii")))
    except Refused:
        return repeated
