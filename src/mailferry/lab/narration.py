"""How a rehearsal is told: acts, sentences, and claims that hold or end the story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


class ClaimBroken(Exception):
    """A claim that was told does not hold; the message says which and why."""


@dataclass(slots=True)
class Narrator:
    """Tells through `say`, one line at a time, and counts the claims that held."""

    say: Callable[[str], None]
    held: int = 0
    acts: int = field(default=0)

    def act(self, title: str) -> None:
        """Begin the next part."""
        self.acts += 1
        self.say("")
        self.say(f"{self.acts}. {title}")

    def tell(self, sentence: str) -> None:
        """Say what happens, without a promise in it."""
        self.say(f"   {sentence}")

    def claim(self, sentence: str, holds: bool, why: str | Sequence[str] = "") -> None:
        """Say what is promised and was checked. Raises ClaimBroken with the reason when it does not hold."""
        self.say(f"   [{'ok' if holds else 'BROKEN'}] {sentence}")
        if holds:
            self.held += 1
            return
        reasons = [why] if isinstance(why, str) else list(why)
        for reason in reasons[:10]:
            self.say(f"        {reason}")
        if len(reasons) > 10:
            self.say(f"        and {len(reasons) - 10} more")
        raise ClaimBroken(sentence)
