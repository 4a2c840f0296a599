"""The two connections that copy together, and whose failure a failure is.

A client raises the same two exceptions whichever host it talks to. What an account is shown, and who
must act, depends on the host: here the target's failures get the target's causes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mailferry.copying.side_by_side import both
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client

_TARGET_OWN = frozenset(
    {
        Cause.TARGET_DOWN,
        Cause.TARGET_REFUSED,
        Cause.TARGET_OVER_QUOTA,
        Cause.UIDVALIDITY_EQUAL,
        Cause.INTERNAL,
    }
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How sessions of one account are opened; each call opens one more, or raises Refused or Unavailable."""

    target_imap: Callable[[], Awaitable[ImapClient]]
    source_imap: Callable[[], Awaitable[ImapClient]] | None = None
    source_pop3: Callable[[], Awaitable[Pop3Client]] | None = None
    target_pop3: Callable[[], Awaitable[Pop3Client]] | None = None


@contextmanager
def at_target() -> Iterator[None]:
    """Give what the target does not do the target's causes."""
    try:
        yield
    except Refused as failure:
        if failure.cause in _TARGET_OWN:
            raise
        raise Refused(Cause.TARGET_REFUSED, failure.text, retry_after=failure.retry_after) from failure
    except Unavailable as failure:
        if failure.cause in _TARGET_OWN:
            raise
        raise Unavailable(Cause.TARGET_DOWN, failure.text, retry_after=failure.retry_after) from failure


@dataclass(slots=True, eq=False)
class Pair:
    """One session at the source and one at the target."""

    source: ImapClient
    target: ImapClient

    def close(self) -> None:
        """Break both off; a command that waits for its answer fails."""
        self.source.close()
        self.target.close()

    @property
    def usable(self) -> bool:
        """Whether both sessions still stand."""
        return not self.source.closed and not self.target.closed

    async def leave(self) -> None:
        """Say goodbye on both sides; a server that does not answer is left without."""
        await both(_leave(self.source), _leave(self.target))


async def _leave(client: ImapClient) -> None:
    try:
        if not client.closed:
            await client.logout()
    except RemoteFailure:
        client.close()


async def open_pair(endpoints: Endpoints) -> Pair:
    """Open both sessions. Raises Refused or Unavailable; then, and when cancelled, neither is left open."""
    if endpoints.source_imap is None:
        raise Refused(Cause.PROTOCOL_DISABLED, "the source has no IMAP")
    opened: list[ImapClient] = []

    async def kept(opening: Callable[[], Awaitable[ImapClient]]) -> ImapClient:
        opened.append(await opening())
        return opened[-1]

    async def at_the_target() -> ImapClient:
        with at_target():
            return await kept(endpoints.target_imap)

    pair: Pair | None = None
    try:
        pair = Pair(*await both(kept(endpoints.source_imap), at_the_target()))
    finally:
        if pair is None:
            for client in opened:
                client.close()
    return pair
