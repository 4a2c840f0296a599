"""Holds a conversation with a dialogue at every split of its octets.

A script is a list of steps: what happens, and the actions that must come of it. What happens is
octets (fed) or a function of the dialogue (`lambda d: d.secured()`). Sends that follow each other
count as one, so a split may divide them differently but may change no octet and no order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from mailferry.login.actions import Action, Attempt, Send


class Dialogue(Protocol):
    def start(self) -> list[Action]: ...

    def feed(self, data: bytes) -> list[Action]: ...


Event = bytes | Callable[[Any], list[Action]]
Step = tuple[Event, Sequence[Action]]

EVERY_SPLIT_UP_TO = 600
"""Longer octets are split at a sample of places."""


def conversation(dialogue: Callable[[], Dialogue], script: Sequence[Step]) -> None:
    """Run `script` with whole feeds, byte by byte, and with each feed cut in two at each place."""
    for cut in ways_to_cut([event for event, _ in script if isinstance(event, bytes)]):
        run(dialogue(), script, cut)


def run(dialogue: Dialogue, script: Sequence[Step], cut: Callable[[bytes, int], list[bytes]]) -> None:
    """Run `script` once; `cut` divides the octets of feed number n."""
    feeds = 0
    for number, (event, expected) in enumerate(script):
        actual: list[Action] = []
        if isinstance(event, bytes):
            for piece in cut(event, feeds):
                actual += dialogue.feed(piece)
            feeds += 1
        else:
            actual += event(dialogue)
        shown = [
            (type(action).__name__, action.data) if isinstance(action, Send) else action
            for action in joined(actual)
        ]
        wanted = [
            (type(action).__name__, action.data) if isinstance(action, Send) else action
            for action in joined(expected)
        ]
        assert shown == wanted, f"step {number}"


def ways_to_cut(feeds: Sequence[bytes]) -> Iterator[Callable[[bytes, int], list[bytes]]]:
    """Give every way to divide the feeds that is worth a run."""
    yield lambda data, _: [data]
    yield lambda data, _: [data[i : i + 1] for i in range(len(data))]
    for number, feed in enumerate(feeds):
        step = max(1, len(feed) // EVERY_SPLIT_UP_TO)
        for place in range(1, len(feed), step):

            def cut(data: bytes, n: int, number: int = number, place: int = place) -> list[bytes]:
                return [data[:place], data[place:]] if n == number else [data]

            yield cut


def joined(actions: Sequence[Action]) -> list[Action]:
    """Return the actions with sends that follow each other made one."""
    out: list[Action] = []
    for action in actions:
        if isinstance(action, Send) and out and isinstance(out[-1], Send):
            out[-1] = Send(out[-1].data + action.data)
        else:
            out.append(action)
    return out


def sent(actions: Sequence[Action]) -> bytes:
    """Return all octets that the actions send."""
    return b"".join(action.data for action in actions if isinstance(action, Send))


def attempts(actions: Sequence[Action]) -> list[tuple[str, bytes, str]]:
    """Return name, password and mechanism of each attempt."""
    return [
        (action.credentials.authcid, action.credentials.password.reveal(), action.mechanism)
        for action in actions
        if isinstance(action, Attempt)
    ]
