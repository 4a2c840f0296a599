"""Whether a message came shorter than its source says it is, where the source is known to say so truly.

RFC822.SIZE is the message's size (RFC 3501 2.3.4), and most servers keep to that to the octet; Exchange
estimates it, others count line ends that they do not send. So nothing is concluded from a size before
others have proved true: of the messages that came in this pass at least three, and three out of four,
must have had just the size that was told. Then one that lacks a sixteenth of its octets (at least 64)
was cut short on the way out (some hosts stop at 20 MB), and one without any body lost it.

What this takes for incomplete though it is whole: at a server that stores bare line feeds, counts two
octets for each and sends one, a message of lines shorter than 16 octets among others of long lines. It is
kept at the target all the same, and the account waits for `account approve`. What goes unseen: bodies of
less than 64 octets; less than a sixteenth missing; a message that comes in a pass with fewer than three
others, unless an earlier pass had it on the list.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST_MISSING = 64
LEAST_SHARE = 16
ENOUGH = 3


@dataclass(slots=True)
class TrueSizes:
    """What one pass saw of a source's sizes, of messages that have a body. `usual` is False where its sizes are known as estimates."""

    usual: bool = True
    exact: int = 0
    other: int = 0

    def note(self, octets: int, announced: int | None) -> None:
        """Take a message that came in so many octets."""
        if announced == octets:
            self.exact += 1
        elif announced is not None:
            self.other += 1

    @property
    def believed(self) -> bool:
        """Whether a size that does not fit speaks against the message and not against the server."""
        return self.usual and self.exact >= ENOUGH and self.exact >= ENOUGH * self.other

    @property
    def may_be_believed(self) -> bool:
        """Whether it is worth waiting for what the other messages tell."""
        return self.usual and (self.other < ENOUGH or self.believed)


def is_short(octets: int, announced: int | None, *, bodyless: bool) -> bool:
    """Whether so many octets are missing that no way of counting lines accounts for it."""
    missing = 0 if announced is None else announced - octets
    return missing >= LEAST_MISSING and (bodyless or missing * LEAST_SHARE >= (announced or 0))
