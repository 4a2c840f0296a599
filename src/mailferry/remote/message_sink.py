"""What a fetch hands its messages to, and what it says when it is over.

A message comes as `begin`, any number of `chunk`, and then either `end` or `broken`; messages never
interleave. Nothing here holds a message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailferry.model.causes import RemoteFailure


class MessageSink(Protocol):
    """Where the octets of fetched messages go.

    `key` is the message's UID (IMAP) or its number in this session (POP3). An exception raised in
    here ends the session and comes out of the fetch that was running.
    """

    def begin(self, key: int, size: int | None) -> None:
        """A message of `size` octets begins; None where the protocol does not announce it (POP3)."""
        ...

    def chunk(self, data: bytes) -> None:
        """The next octets of the message that has begun."""
        ...

    def end(self) -> None:
        """The message is whole: all announced octets came and the answer around them was sound."""
        ...

    def broken(self) -> None:
        """The message that has begun will not be completed; what came of it must be thrown away."""
        ...


class WholeSink(ABC):
    """What a sink is besides when it also takes small messages in one step, many from one read."""

    @abstractmethod
    def whole(self, key: int, octets: memoryview) -> None:
        """A whole message, in place of `begin`, `chunk` and `end`; `octets` are lent until `so_far`."""

    def so_far(self) -> None:  # noqa: B027 - a sink that keeps nothing back has nothing to do
        """These were the messages of one read."""


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """What became of the messages asked for that did not reach the sink."""

    missing: tuple[int, ...] = ()
    """Asked for twice and not sent, without any word. That is not a proof of absence: the caller
    looks at a new listing before it believes that the message is gone."""
    refused: Mapping[int, RemoteFailure] = field(default_factory=dict)
    """Asked for alone and refused, with the server's reason."""
